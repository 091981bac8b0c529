"""One store for two Git servers, on real parts: two sshds, two database servers of which one follows the
other, and a person with an app. The first database is killed in the midst.

Everything is made below temporary folders and goes with them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.database import wait_until
from lab.estate import Estate
from lab.failures import Scene, pair
from lab.telling import push, show, tell


def story(scene: Scene, folder: Path) -> None:
    """Verified here, pushed there; revoked there, refused here; the database lost, and found again."""
    tell("Two PostgreSQL servers: the second follows the first, and no change counts that it does not have.")
    both = pair(scene, synchronous=True)
    tell("Two Git servers, each with its own sshd and agent; both name the same store in [store] url.")
    estate = Estate(folder / "estate", both.url, 2)
    scene.undo.append(estate.__exit__)
    estate.__enter__()
    first, second = estate.servers
    for number, server in enumerate(estate.servers, 1):
        name = f"team/app{number}"
        show(
            f"server{number}# gitguard admin repo create {name}",
            server.admin("repo", "create", name),
            expect=0,
        )
    alice = first.new_user("alice", in_session=False)
    tell("Alice was added on the first server. The second one's sweep, once a minute, brings her key there.")
    show("server2# gitguard admin session sweep", second.admin("session", "sweep"), expect=0)

    tell("She pushes to the second server with her key alone. A thief with a copy of it would see the same.")
    trees = [server.work_tree(alice, f"team/app{number}") for number, server in enumerate(estate.servers, 1)]
    push(second, alice, trees[1], expect=128)

    tell("She verifies on the first server, and pushes to the second.")
    code = first.fresh_code(alice)
    ssh = f"ssh -T -p {first.port} {first.account}@127.0.0.1"
    show(f"{ssh} 2fa verify {code}", first.ssh(alice, f"2fa verify {code}"), expect=0)
    push(second, alice, trees[1], expect=0)

    tell("The first database server is killed. Within two seconds everyone is told so, and nothing opens.")
    both.primary.stop("immediate")
    began = time.monotonic()
    push(second, alice, trees[1], expect=128)
    took = time.monotonic() - began
    print(f"  (that took {took:.1f} s)")

    tell(
        "Its standby is promoted. Both servers find it by themselves; nothing that was said to be done is lost."
    )
    both.standby.promote()
    wait_until("it writes", lambda: both.standby.ask("SELECT pg_is_in_recovery()") == [(False,)])
    push(second, alice, trees[1], expect=0)
    ssh = f"ssh -T -p {second.port} {second.account}@127.0.0.1"
    tell("The code that she used before is worth nothing now either, at the other server.")
    show(f"{ssh} 2fa verify {code}", second.ssh(alice, f"2fa verify {code}"), expect=12)

    tell("An admin ends her sessions on the second server; the first refuses her next push.")
    show("server2# gitguard admin session revoke alice", second.admin("session", "revoke", "alice"), expect=0)
    push(first, alice, trees[0], expect=128)

    tell("The old database server comes back, which knows nothing of all that: nobody believes it.")
    both.primary.start()
    push(first, alice, trees[0], expect=128)
    tell("What the store says of itself:")
    for server in estate.servers:
        server.admin("session", "sweep")
    show("server1# gitguard admin store status", first.admin("store", "status"), expect=0)
    show("server1# gitguard admin audit verify", first.admin("audit", "verify"), expect=0)


def main() -> None:
    """Run it."""
    with tempfile.TemporaryDirectory(prefix="gitguard-demo-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        scene = Scene(folder)
        try:
            story(scene, folder)
        finally:
            scene.close()
    tell("That was all of it.")


if __name__ == "__main__":
    main()
