"""Pictures of the page for docs/: a phone and a desktop, light and dark, of a made-up day."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import BrowserContext
from playwright.sync_api import Page as Tab

from lab.chromium import DESKTOP, PHONE, chromium, window
from lab.page import Page
from lab.server import Person, Server

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "web"


def take(tab: Tab, name: str) -> None:
    """One picture, of the whole page."""
    tab.screenshot(path=FOLDER / f"{name}.png", full_page=True, animations="disabled")
    print(f"docs/web/{name}.png", flush=True)


def sign_in(context: BrowserContext, server: Server, person: Person) -> Tab:
    """By a link."""
    tab = context.new_page()
    tab.goto(server.ssh(person, "2fa web", status=0).out.strip())
    tab.get_by_role("button", name=f"Sign in as {person.name}").click()
    tab.wait_for_load_state()
    return tab


def past(server: Server) -> None:
    """A month of decisions, for the charts."""
    rolled = random.Random(7)
    lines = []
    for day in range(30, 0, -1):
        at = int(time.time()) - day * 86400
        for reason, most in (
            ("verification-required", 30),
            ("verification-expired", 22),
            ("enrolment-required", 6),
            ("no-grant", 2),
        ):
            line = f'{{"id":"x","at":{at},"user":"bob","verdict":"refused","reason":"{reason}"}}\n'
            lines += [line] * rolled.randint(0, most)
    with open(server.access_log, "w", encoding="ascii") as log:
        log.writelines(lines)


def refused_push(
    server: Server, person: Person, name: str, *options: str
) -> tuple[subprocess.Popen[bytes], str]:
    """A push that waits, and the page that its refusal names."""
    tree = server.work_tree(person, "team/app", name)
    push = subprocess.Popen(
        ["git", "push", "--quiet", "origin", "HEAD"], cwd=tree, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        env=server.git_env(person, *options),
    )  # fmt: skip
    assert push.stderr is not None
    line = push.stderr.readline().decode()
    return push, next(word for word in line.split() if "/verify/" in word)


def story(server: Server, page: Page) -> None:
    """The pages that a person meets, and the server admin's."""
    alice, admin = server.new_user("alice"), server.new_user("carol")
    newcomer = server.add_user("bob")
    for person in (alice, admin):
        server.ssh(person, "2fa leave")
        server.clear_watermark(person)
    server.configure(git={"admins": ["carol"]})
    server.admin("repo", "create", "team/web", "--admin", "alice")
    past(server)
    with chromium() as browser:
        with window(browser, PHONE) as context:
            tab = sign_in(context, server, newcomer)
            take(tab, "phone-set-up")
            tab.get_by_label("Invite").fill(newcomer.invite)
            tab.get_by_role("button", name="Continue").click()
            take(tab, "phone-recovery-codes")
            tab.get_by_role("button", name="I've saved them").click()
            take(tab, "phone-app")
        push, link = refused_push(server, alice, "here")
        for dark in (False, True):
            with window(browser, PHONE, dark=dark) as context:
                tab = sign_in(context, server, alice)
                tab.goto(link)
                take(tab, f"phone-verify-{'dark' if dark else 'light'}")
        elsewhere, far = refused_push(server, alice, "elsewhere", "-o", "BindAddress=127.0.0.2")
        with window(browser, DESKTOP) as context:
            tab = sign_in(context, server, alice)
            tab.goto(far)
            take(tab, "desktop-number")
            tab.goto(link)
            tab.get_by_label("Code from your app").fill(server.fresh_code(alice))
            tab.get_by_role("button", name="Verify").click()
            tab.get_by_role("status").wait_for()
            take(tab, "desktop-done")
            tab.goto(f"{page.url}/account")
            take(tab, "desktop-account-light")
            tab.goto(f"{page.url}/repository?name=team/web")
            take(tab, "desktop-repository")
        push.wait(30)
        with window(browser, PHONE) as context:
            tab = sign_in(context, server, alice)
            tab.goto(far)
            tab.get_by_role("button", name="This isn't me").click()
            tab.get_by_role("heading", name="Push stopped").wait_for()
            take(tab, "phone-not-me")
        elsewhere.terminate()
        elsewhere.wait(30)
        for dark in (False, True):
            server.clear_watermark(admin)
            with window(browser, DESKTOP, dark=dark) as context:
                tab = sign_in(context, server, admin)
                tab.get_by_label("Code from your app").fill(server.fresh_code(admin))
                tab.get_by_role("button", name="Verify").click()
                tab.get_by_role("heading", name="Your account").wait_for()
                tab.goto(f"{page.url}/admin")
                tab.get_by_role("heading", name="Needs a look").wait_for()
                take(tab, f"desktop-admin-{'dark' if dark else 'light'}")
                if not dark:
                    tab.goto(f"{page.url}/admin/sessions")
                    take(tab, "desktop-sessions")
                if dark:
                    tab.goto(f"{page.url}/admin/person?name=alice")
                    take(tab, "desktop-person-dark")


def main() -> None:
    """Take them and clean up."""
    FOLDER.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="gitguard-pictures-"))
    server = Server(folder / "server")
    try:
        server.install()
        server.configure(session={"wait": "2m"}, second_factor={"issuer": "Example Git"})
        server.start()
        server.admin("repo", "create", "team/app")
        server.admin("repo", "require", "team/app", "push")
        page = Page(server)
        page.start()
        try:
            story(server, page)
        finally:
            page.stop()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
