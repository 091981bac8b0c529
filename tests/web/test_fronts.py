"""The page behind nginx, Apache, HAProxy and Caddy, each with its snippet of etc/ and with the
edit that its comment names.
"""

from __future__ import annotations

import base64
import http.client
import ssl
from pathlib import Path

import pytest

from lab.fronts import LOGIN, PASSWORD, SNIPPETS, Front, behind, edited
from lab.page import NAME, WAIT_SECONDS, Browser, sign_in
from lab.server import Direct

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]


class Signed(Browser):
    """A browser whose front knows who it is: by a password, or (HAProxy) by a certificate."""

    def __init__(self, page: Front, login: str = LOGIN) -> None:
        super().__init__(page)
        self.front = page
        self.login = login

    def _connect(self) -> http.client.HTTPConnection:
        trust = ssl.create_default_context(cafile=str(self.page.server.folder / "web.crt"))
        if self.front.kind == "haproxy":
            trust.load_cert_chain(*map(str, self.front.client()))
        return http.client.HTTPSConnection(NAME, self.page.port, timeout=WAIT_SECONDS, context=trust)

    def _answer(self, method: str, path: str, body: str | None, headers: dict[str, str]):  # type: ignore[no-untyped-def]
        if self.front.kind != "haproxy":
            word = base64.b64encode(f"{self.login}:{PASSWORD}".encode()).decode()
            headers = {**headers, "Authorization": f"Basic {word}"}
        return super()._answer(method, path, body, headers)


@pytest.fixture(params=SNIPPETS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each web server."""
    return str(request.param)


@pytest.fixture
def server(tmp_path: Path) -> Direct:
    """An installation with alice and a repository that requires 2FA."""
    made = Direct(tmp_path / "server")
    made.install()
    made.new_repository("app", "push")
    made.new_user("alice", in_session=False)
    made.clear_watermark(made.people["alice"])
    return made


def test_with_the_snippet_as_it_stands(server: Direct, kind: str) -> None:
    """The address is the browser's own; what it says about address and login counts
    for nothing; a code verifies.
    """
    alice = server.people["alice"]
    with behind(server, kind) as front:
        browser = Browser(front)
        lies = {
            "X-Forwarded-For": "198.51.100.7",
            "X-Forwarded-User": "alice",
            "Forwarded": "for=198.51.100.7",
        }
        assert "Sign in as alice" not in browser.get("/sign-in", lies).text
        browser.get("/sign-in", lies)
        assert browser.post("/sign-in/login", headers=lies).status in (400, 403)
        sign_in(browser, server.ssh(alice, "2fa web", status=0).out.strip())
        browser.get("/verify", lies)
        done = browser.send("/verify", {"request": "", "code": server.fresh_code(alice)})
        assert done.title == "Your account", done.text
        trail = server.admin("audit", "show", "--json").out
        assert "198.51.100.7" not in trail
        assert '"address": "127.0.0.1"' in trail or '"address":"127.0.0.1"' in trail
        assert browser.get("/static/page.css").status == 200
        assert browser.get("//account").status in (200, 301, 308)


def test_single_sign_on_with_the_edit_that_the_comment_names(server: Direct, kind: str) -> None:
    """Button, signed in, verified: by whom the web server has checked. Anyone who is
    nobody here is told so, by name.
    """
    with behind(server, kind, signs_on=True) as front:
        browser = Signed(front)
        shown = browser.get("/account", {"X-Forwarded-User": "somebody"})
        assert shown.status == 401
        assert "Sign in as alice" in shown.text
        done = browser.follow(browser.post("/sign-in/login"))
        assert done.status == 200, done.text
        assert done.title == "Your account", "one lands on what one came for"
        if kind != "haproxy":
            stranger = Signed(front, "nobody-here")
            assert "says you are nobody-here" in stranger.get("/sign-in").text


def test_each_snippet_names_its_edit() -> None:
    """One line to put in the place of one line, and the headers of both locations are one list."""
    for path in SNIPPETS.values():
        text = (ROOT / path).read_text()
        changed = edited(text)
        assert sum(a != b for a, b in zip(text.splitlines(), changed.splitlines(), strict=True)) == 1
