"""The main job on real parts: a throw-away sshd on loopback, git, a key, and a person with an app.

Everything is made below one temporary folder and goes with it. The demo computes codes as an app would.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.server import Done, Server
from lab.telling import push, show, tell


def story(server: Server) -> None:
    """Refused, enrolled, verified, pushed, ended, refused."""
    tell(
        "The server admin installs gitguard, makes a repository that requires 2FA for pushes, and adds alice."
    )
    server.install()
    server.start()
    show("gitguard admin repo create team/app", server.admin("repo", "create", "team/app"), expect=0)
    show(
        "gitguard admin repo require team/app push",
        server.admin("repo", "require", "team/app", "push"),
        expect=0,
    )
    alice = server.add_user("alice")
    ssh = f"ssh -T -p {server.port} {server.account}@127.0.0.1"
    show(
        "gitguard admin user add alice --key alice.pub",
        Done(0, f"{ssh} 2fa enroll {alice.invite}\n", ""),
        expect=0,
    )

    tell("Alice pushes with her key alone. A thief with a copy of it would see the same.")
    tree = server.work_tree(alice, "team/app")
    push(server, alice, tree, expect=128)

    tell("She sets up her authenticator app, and types the code it shows.")
    done = server.enroll(alice)
    show(f"{ssh} 2fa enroll {alice.invite}", done, expect=0)

    tell("Confirming has opened a 2FA session; the same push goes through.")
    push(server, alice, tree, expect=0)

    tell("The session ends, and the next push is refused again.")
    show(f"{ssh} 2fa leave", server.ssh(alice, "2fa leave"), expect=0)
    push(server, alice, tree, expect=128)

    tell("She verifies with a code from her app, and pushes.")
    code = server.fresh_code(alice)
    show(f"{ssh} 2fa verify {code}", server.ssh(alice, f"2fa verify {code}"), expect=0)
    push(server, alice, tree, expect=0)

    tell("The same code a second time is worth nothing.")
    show(f"{ssh} 2fa verify {code}", server.ssh(alice, f"2fa verify {code}"), expect=12)

    tell("And the admin can see every decision.")
    show("gitguard admin log", server.admin("log"), expect=0)


def main() -> None:
    """Run the story and clean up."""
    folder = Path(tempfile.mkdtemp(prefix="gitguard-demo-"))
    server = Server(folder / "server")
    try:
        story(server)
    except (AssertionError, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"demo: {error}")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    tell(
        "Done: refused, enrolled, verified, pushed. Everything was made in a temporary folder, which is gone."
    )


if __name__ == "__main__":
    main()
