"""A server with sshd and its page, and what is typed at one and clicked on the other."""

from __future__ import annotations

import re
import subprocess
import time

from playwright.sync_api import BrowserContext, Page

from lab.chromium import press
from lab.page import Page as Served
from lab.person import Person
from lab.server import Server

MOST_SECONDS = 30


class Street:
    """A server with sshd, its page, and what is typed and clicked."""

    def __init__(self, server: Server, page: Served) -> None:
        self.server, self.page, self.count = server, page, 0

    def person(self, *, enrolled: bool = True) -> Person:
        """Someone, not in a session."""
        self.count += 1
        name = f"walker{self.count}"
        if not enrolled:
            return self.server.add_user(name)
        person = self.server.new_user(name)
        self.server.end_sessions()
        self.server.clear_watermark(person)
        return person

    def sign_in(self, context: BrowserContext, person: Person) -> Page:
        """Type `2fa web`, open its link, press its button."""
        tab = context.new_page()
        tab.goto(self.server.ssh(person, "2fa web", status=0).out.strip())
        press(tab, f"Sign in as {person.name}")
        return tab


class Push:
    """`git push`, typed, with its terminal's words."""

    def __init__(
        self, street: Street, person: Person, *options: str, wait: bool = True, repository: str = "team/app"
    ) -> None:
        street.count += 1
        label = f"b{street.count}"
        tree = street.server.work_tree(person, repository, label)
        self.street, self.seen, self.person = street, tree / "seen", person
        env = street.server.git_env(person, *options)
        if not wait:
            env |= {"GIT_PROTOCOL": "gitguard=no-wait"}
            env["GIT_SSH_COMMAND"] += " -o SendEnv=GIT_PROTOCOL"
        with open(self.seen, "wb") as err:
            self.process = subprocess.Popen(
                ["git", "push", "--quiet", "origin", f"HEAD:refs/heads/{label}"],
                cwd=tree, stderr=err, stdin=subprocess.DEVNULL, env=env, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        """What the terminal shows by now."""
        return self.seen.read_text()

    def link(self) -> str:
        """The page that the refusal names."""
        return self._find(re.escape(self.street.page.url) + r"/verify/\w+")

    def number(self) -> str:
        """The number that the terminal shows."""
        return self._find(r"push number (\d{4})|number: (\d{4})")[-4:]

    def _find(self, pattern: str) -> str:
        ends = time.monotonic() + MOST_SECONDS
        while time.monotonic() < ends:
            if found := re.search(pattern, self.said):
                return found[0]
            time.sleep(0.05)
        raise AssertionError(self.said)

    def status(self) -> int:
        """How it ended."""
        return self.process.wait(MOST_SECONDS + 10)
