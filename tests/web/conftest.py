"""One served page for each worker, and people who are signed in to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.page import Browser, Page, sign_in
from lab.server import Direct, Person, Server
from tests.web.street import MOST_SECONDS, Street


@dataclass
class Guest:
    """Someone with a key, an app and a browser."""

    person: Person
    browser: Browser


class Hall:
    """An installation whose page is served, with the gate started as sshd would start it."""

    def __init__(self, server: Direct, page: Page) -> None:
        self.server, self.page = server, page
        self.count = 0

    def name(self) -> str:
        """A name that nobody has."""
        self.count += 1
        return f"guest{self.count}"

    def signed_in(self, person: Person | None = None) -> Guest:
        """A browser that is signed in, as an enrolled person of its own or as `person`; not verified."""
        if person is None:
            person = self.server.new_user(self.name(), in_session=False)
            self.server.clear_watermark(person)
        browser = Browser(self.page)
        sign_in(browser, self.link(person))
        return Guest(person, browser)

    def link(self, person: Person) -> str:
        """What `2fa web` prints."""
        return self.server.ssh(person, "2fa web", status=0).out.strip()

    def setting_up(self) -> tuple[Guest, str]:
        """Someone at the last form of the set-up, and the secret that they were shown."""
        person = self.server.add_user(self.name())
        browser = Browser(self.page)
        sign_in(browser, self.link(person))
        browser.get("/set-up")
        browser.post("/set-up/begin", {"given": person.invite})
        found = re.search(r"secret=([A-Z2-7]+)", browser.send("/set-up/kept").body)
        assert found
        return Guest(person, browser), found[1]

    def verified(self, person: Person | None = None) -> Guest:
        """A browser in which a factor was proved just now."""
        guest = self.signed_in(person)
        guest.browser.get("/verify")
        done = guest.browser.post("/verify", {"request": "", "code": self.server.fresh_code(guest.person)})
        assert done.status == 303, done.text
        return guest

    def refused(self, person: Person, repository: str = "app", host: str = "127.0.0.1") -> str:
        """A push that is refused; the path of the page that its refusal names."""
        said = self.server.ssh(person, f"git-receive-pack '{repository}.git'", host=host)
        assert said.status in (10, 11), said
        (link,) = [word for word in said.text.split() if word.startswith(self.page.url)]
        return link.removeprefix(self.page.url)

    def may_push(self, person: Person, host: str = "127.0.0.1") -> bool:
        """Whether the gate lets a push to `app` begin."""
        said = self.server.ssh(person, "git-receive-pack 'app.git'", host=host)
        assert said.status in (10, 128), said  # 128: Git itself, which nobody talks to
        return said.status == 128

    def number(self, person: Person, repository: str = "app", host: str = "127.0.0.1") -> str:
        """The number that the refusal shows."""
        said = self.server.ssh(person, f"git-receive-pack '{repository}.git'", host=host)
        return said.text.partition("asks for a number: ")[2][:4]


def opened(folder: Path) -> Iterator[Hall]:
    """An installation below `folder` with a repository that requires 2FA for pushes, and its page."""
    server = Direct(folder)
    server.install()
    server.new_repository("app", "push")
    page = Page(server)
    page.start()
    yield Hall(server, page)
    page.stop()


@pytest.fixture(scope="session")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """One for all tests of a worker, each with people of its own."""
    yield from opened(tmp_path_factory.mktemp("hall") / "server")


@pytest.fixture
def own_hall(tmp_path: Path) -> Iterator[Hall]:
    """One of the test's own, to break or configure as it likes."""
    yield from opened(tmp_path / "server")


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """One for this file; pushes wait."""
    server = Server(tmp_path_factory.mktemp("street") / "server")
    server.install()
    server.configure(session={"wait": f"{MOST_SECONDS}s"})
    server.start()
    server.new_repository("team/app", "push")
    page = Page(server)
    page.start()
    yield Street(server, page)
    page.stop()
    server.stop()
