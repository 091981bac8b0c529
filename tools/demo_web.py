"""The web page on real parts: a refused push that waits, Chromium, a code, and the push continues by itself.

At a terminal it continues being served afterwards, to be clicked through in a browser of one's own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.chromium import PHONE, chromium, window
from lab.page import Page
from lab.server import Person, Server
from lab.telling import BOLD, DIM, PLAIN, tell


def refused_push(server: Server, alice: Person, label: str) -> tuple[subprocess.Popen[str], str]:
    """`git push`, which waits; the page that its refusal names."""
    tree = server.work_tree(alice, "team/app", label)
    print(f"{DIM}${PLAIN} git push", flush=True)
    push = subprocess.Popen(
        ["git", "push", "origin", f"HEAD:refs/heads/{label}"], cwd=tree, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, env=server.git_env(alice), text=True,
    )  # fmt: skip
    assert push.stderr is not None
    link = ""
    for line in push.stderr:
        print(f"  {line.rstrip()}", flush=True)
        if "waiting up to" in line:
            return push, link
        link = next((word for word in line.split() if "/verify/" in word), "")
    raise RuntimeError("the push did not wait")


def rest_of(push: subprocess.Popen[str]) -> None:
    """What the terminal shows in the end."""
    said = push.communicate(timeout=60)[1]
    for line in said.splitlines():
        print(f"  {line}")
    if push.returncode:
        raise RuntimeError(f"the push exited {push.returncode}")


def story(server: Server) -> Person:
    """Refused, signed in, verified on a phone, continued."""
    tell("The server requires 2FA for pushes to team/app, and a refused push may wait. Alice pushes.")
    alice = server.new_user("alice")
    server.ssh(alice, "2fa leave", status=0)
    server.clear_watermark(alice)
    push, link = refused_push(server, alice, "main")

    tell("The refusal names a page. It carries no authority: a link from `2fa web` signs her phone in, once.")
    sign_in = server.ssh(alice, "2fa web", status=0).out.strip()
    print(f"{DIM}${PLAIN} ssh -T -p {server.port} {server.account}@127.0.0.1 2fa web\n  {sign_in}")
    with chromium() as browser, window(browser, PHONE) as context:
        tab = context.new_page()
        tab.goto(sign_in)
        tab.get_by_role("button", name="Sign in as alice").click()
        tab.goto(link)
        tell("On the phone:")
        print(
            "\n".join(f"  | {line}" for line in tab.locator("main").inner_text().splitlines() if line.strip())
        )
        code = server.fresh_code(alice)
        tell(f"She types the code that her app shows, {code}, and presses Verify.")
        tab.get_by_label("Code from your app").fill(code)
        tab.get_by_role("button", name="Verify").click()
        tab.get_by_role("status").wait_for()
        print(
            "\n".join(f"  | {line}" for line in tab.locator("main").inner_text().splitlines() if line.strip())
        )
    tell("And in her terminal:")
    rest_of(push)
    return alice


def stay(server: Server, page: Page, alice: Person) -> None:
    """Go on serving, for a browser of one's own."""
    import pyotp

    tell(
        f"It is still served at {page.url}, until Ctrl-C. Sign in with a link (each is good once, for five minutes):"
    )
    while True:
        print(f"  {BOLD}{server.ssh(alice, '2fa web', status=0).out.strip()}{PLAIN}")
        print(f"  alice's app shows {pyotp.TOTP(alice.secret).now()}; press Enter for a new link and code")
        if not sys.stdin.readline():
            return
        server.clear_watermark(alice)


def main() -> None:
    """Run the story, stay if someone is there, and clean up."""
    folder = Path(tempfile.mkdtemp(prefix="gitguard-demo-"))
    server = Server(folder / "server")
    page = None
    began = time.monotonic()
    try:
        server.install()
        server.configure(session={"wait": "5m"})
        server.start()
        server.admin("repo", "create", "team/app")
        server.admin("repo", "require", "team/app", "push")
        page = Page(server, tls=False)
        page.start()
        alice = story(server)
        tell(
            f"Done in {time.monotonic() - began:.0f} s: refused, one page, one code, and the push continued by itself."
        )
        if sys.stdin.isatty():
            stay(server, page, alice)
    except KeyboardInterrupt:
        pass
    except (AssertionError, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"demo: {error}")
    finally:
        if page is not None:
            page.stop()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print("Everything was made in a temporary folder, which is gone.")


if __name__ == "__main__":
    main()
