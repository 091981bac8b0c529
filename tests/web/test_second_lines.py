"""What a page says when it could not do all, which field it marks, and both sides of what it counts."""

from __future__ import annotations

import contextlib
import logging
import re
from types import SimpleNamespace
from typing import Any

import pyotp
import pytest

from gitguard.action.effects import Effects
from gitguard.action.requests import Denied
from gitguard.message.reasons import Refusal
from gitguard.web import account, checks, verify
from gitguard.web.results import Results
from lab.meddling import written_by_another
from lab.page import Browser, sign_in
from tests.web.conftest import Hall


def marked(body: str) -> set[str]:
    """The ids of the fields that the page calls wrong."""
    return {
        found[1]
        for field in re.findall(r"<input[^>]*>", body)
        if "aria-invalid" in field and (found := re.search(r'id="(\w+)"', field))
    }


def test_the_set_up_marks_the_field_that_was_wrong(hall: Hall) -> None:
    """A wrong code marks the code; behind a right code a wrong number marks the
    number. A screen reader goes there.
    """
    guest, _ = hall.setting_up()
    path = hall.refused(guest.person, host="203.0.113.9")
    number = hall.number(guest.person, host="203.0.113.9")
    browser = Browser(hall.page)
    sign_in(browser, hall.link(guest.person))
    shown = browser.follow(browser.get(path))
    browser.post("/set-up/begin", {"given": guest.person.invite, "request": shown.value("request")})
    secret = re.search(r"secret=([A-Z2-7]+)", browser.send("/set-up/kept").body)
    assert secret
    other = str(1000 + (int(number) + 1) % 9000)
    assert marked(browser.post("/set-up/confirm", {"code": "000000", "number": number}).body) == {"code"}
    right = pyotp.TOTP(secret[1]).now()
    assert marked(browser.post("/set-up/confirm", {"code": right, "number": other}).body) == {"number"}


def test_a_set_up_with_a_locked_store(own_hall: Hall) -> None:
    """The server's own fault is not called a wrong invite: 503, and the invite is still good."""
    person = own_hall.server.add_user(own_hall.name())
    browser = Browser(own_hall.page)
    sign_in(browser, own_hall.link(person))
    browser.get("/set-up")
    with written_by_another(own_hall.server.store):
        assert browser.post("/set-up/begin", {"given": person.invite}).status == 503
    browser.get("/set-up")
    assert browser.post("/set-up/begin", {"given": person.invite}).status == 303


class Store:
    """A store that knows so many keys and repositories."""

    def __init__(self, *, keys: int = 1, repositories: int = 1) -> None:
        self._keys, self._repositories = keys, repositories

    @contextlib.contextmanager
    def reading(self) -> Any:
        """Itself."""
        yield self

    def keys(self, _: str) -> list[SimpleNamespace]:
        """Made-up ones."""
        return [SimpleNamespace(fingerprint=str(number)) for number in range(self._keys)]

    def find_repositories(self, _containing: str, _after: str, most: int) -> list[str]:
        """At most so many names."""
        return ["r"] * min(self._repositories, most)


def visiting(monkeypatch: pytest.MonkeyPatch, module: Any, store: Store) -> list[dict[str, Any]]:
    """A request of someone enrolled, who may do everything; what its pages are given to show."""
    shown: list[dict[str, Any]] = []
    person = SimpleNamespace(user="a", credential=SimpleNamespace(text="web:a"))
    allowed = SimpleNamespace(allow_keys=True, allow_remove=True)
    here = SimpleNamespace(
        installation=SimpleNamespace(store=store), settings=SimpleNamespace(account=allowed), person=person, moment=None,
        peer=SimpleNamespace(address=""), status=SimpleNamespace(enrolled=True), browser="web:a",
    )  # fmt: skip
    monkeypatch.setattr(module, "current", lambda: here)
    monkeypatch.setattr(module, "show", lambda _, **what: shown.append(what))
    return shown


@pytest.mark.parametrize(("repositories", "is_counted"), [(2, True), (3, True), (4, False)])
def test_what_removal_closes_is_counted_for_few_repositories(
    repositories: int, is_counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the limit and at it; above it nobody waits for it."""
    shown = visiting(monkeypatch, account, Store(repositories=repositories))
    monkeypatch.setattr(account, "FEW_REPOSITORIES", 3)
    monkeypatch.setattr(
        "gitguard.web.account.second_factor.closed_without_factor", lambda *_: {"push": ["r"]}
    )
    account.before_removing()
    assert shown == [{"closed": {"push": 1} if is_counted else {}}]


@pytest.mark.parametrize(("keys", "may"), [(1, False), (2, True)])
def test_a_last_key_is_not_offered_for_removal(keys: int, may: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After "not me": to remove it would be refused, since without a key nobody comes back."""
    shown = visiting(monkeypatch, verify, Store(keys=keys))
    once = Results()
    name = once.put("web:a", Denied(None, [], Effects(), "0"))
    monkeypatch.setattr(verify, "_once", lambda: once)
    verify.stopped(name)
    assert shown[0]["may_remove"] is may


def test_what_could_not_follow_a_denial_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is dead, and the page says why not everything that follows could be done."""
    visiting(monkeypatch, verify, Store())
    fault = Refusal("store-unavailable", "locked")
    told: list[Refusal | None] = []
    monkeypatch.setattr(
        "gitguard.web.verify.requests.deny", lambda *_: Denied(None, [], Effects(0, fault), "0")
    )
    monkeypatch.setattr(verify, "say_not_all", told.append)
    monkeypatch.setattr(verify, "request", SimpleNamespace(form={}))
    for name in ("renew", "typed_code"):
        monkeypatch.setattr(verify, name, lambda: None)
    monkeypatch.setattr(verify, "_once", Results)
    monkeypatch.setattr(verify, "url_for", lambda *_, **__: "")
    verify.not_me()
    assert told == [fault]


@pytest.mark.parametrize(
    ("detail", "text"), [("locked by 7", ""), ("", "no space on it"), ("locked by 7", "in words")]
)
def test_a_fault_of_the_servers_is_logged(
    detail: str, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The page shows nothing of it; the log has the reason, and the detail or else the words."""
    monkeypatch.setattr(checks, "show", lambda *_, **__: "")
    with caplog.at_level(logging.ERROR, logger=checks.LOG.name):
        checks.refused(Refusal("store-unavailable", detail, text=text))
    assert caplog.messages == [f"store-unavailable: {detail or text}"]
