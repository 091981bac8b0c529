"""Every form of the page to its successful end: one table, which must name each route that takes a POST."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyotp
import pytest
from flask import get_flashed_messages

from gitguard.web.app import create_app
from gitguard.web.render import say
from lab.page import Answer, Browser
from tests.web.conftest import Guest, Hall

pytestmark = pytest.mark.slow
Form = dict[str, str]


@dataclass(frozen=True)
class Try:
    """How one form is sent well: who sends it, what is in it, and what must be so afterwards."""

    who: str  # nobody, signed in, verified, admin
    form: Callable[[Hall, Guest], Form]
    said: str  # on the page that follows
    before: str = "/account"  # the page on which the form stands


def _other_browser(hall: Hall, guest: Guest) -> Form:
    other = hall.signed_in(guest.person)
    assert other.browser.get("/account").status == 200
    shown = guest.browser.get("/account")
    return {"browser": re.findall(r'name="browser" value="([^"]+)"', shown.body)[0]}


def _second_key(hall: Hall, guest: Guest) -> Form:
    key = hall.server.add_key(guest.person, f"{guest.person.name}-second")
    return {"key": key.fingerprint, **_code(hall, guest)}


def _code(hall: Hall, guest: Guest) -> Form:
    hall.server.clear_watermark(guest.person)
    return {"code": hall.server.fresh_code(guest.person)}


def _repository(hall: Hall, guest: Guest) -> Form:
    name = f"r-{guest.person.name}"
    hall.server.admin("repo", "create", name, "--admin", guest.person.name)
    guest.browser.get(f"/repository?name={name}")
    return {"name": name}


def _victim(hall: Hall, guest: Guest, *, enrolled: bool = True) -> Form:
    name = hall.name()
    person = hall.server.new_user(name) if enrolled else hall.server.add_user(name)
    guest.browser.get(f"/admin/person?name={person.name}")
    return {"name": person.name, "reason": "a reason"}


def _session(hall: Hall, guest: Guest) -> Form:
    form = _victim(hall, guest)
    with hall.server.acting() as site, site.store.reading() as tx:
        (session,) = tx.sessions(form["name"])
    guest.browser.get("/admin/sessions")
    return {"session": str(session.id), "user": form["name"], "reason": "left"}


def _suspended(hall: Hall, guest: Guest) -> Form:
    form = _victim(hall, guest)
    hall.server.admin("user", "suspend", form["name"], "--reason", "x")
    return form


def _refused(hall: Hall, guest: Guest) -> Form:
    path = hall.refused(guest.person)
    guest.browser.get(path)
    return {"request": path.rpartition("/")[2]}


def _link(hall: Hall, guest: Guest) -> Form:
    link = hall.link(hall.server.new_user(hall.name(), in_session=False))
    guest.browser.get(f"/sign-in/{link.rpartition('/')[2]}")
    return {"link": link.rpartition("/")[2]}


def _begun(hall: Hall, guest: Guest) -> Answer:
    guest.browser.get("/set-up")
    codes = guest.browser.send(
        "/set-up/begin", _code(hall, guest) | {"given": hall.server.fresh_code(guest.person)}
    )
    assert codes.title == "Recovery codes", codes.text
    return codes


def _confirm(hall: Hall, guest: Guest) -> Form:
    _begun(hall, guest)
    app = guest.browser.send("/set-up/kept")
    found = re.search(r"secret=([A-Z2-7]+)", app.body)
    assert found
    return {"name": app.value("name"), "code": pyotp.TOTP(found[1]).now()}


def _reported(hall: Hall, guest: Guest) -> Form:
    other = hall.signed_in()
    other.browser.post("/verify/not-me", _refused(hall, other))
    shown = guest.browser.get("/admin")
    return {"upto": shown.value("upto")}


FORMS: dict[str, Try] = {
    "/sign-in/link": Try("nobody", _link, "Verify", "/sign-in"),
    "/sign-in/login": Try("login", lambda hall, guest: {}, "Verify", "/sign-in"),
    "/sign-out": Try("signed in", lambda hall, guest: {}, "No password needed"),
    "/verify": Try("signed in", lambda h, g: {**_refused(h, g), **_code(h, g)}, "run your Git command again"),
    "/verify/not-me": Try("signed in", _refused, "Every session of this key has ended"),
    "/set-up/begin": Try("signed in", lambda h, g: {"given": _code(h, g)["code"]}, "You won't see them again", "/set-up"),
    "/set-up/kept": Try("signed in", lambda h, g: (_begun(h, g), {})[1], "Scan this", "/set-up"),
    "/set-up/confirm": Try("signed in", _confirm, "Your new app is set up", "/set-up"),
    "/account/leave": Try("verified", lambda h, g: {}, "This browser's session has ended"),
    "/account/leave-all": Try("verified", lambda h, g: {}, "All your sessions have ended"),
    "/account/leave-key": Try("verified", lambda h, g: {"key": (h.server.verify(g.person), g.person.fingerprint)[1]}, "The sessions of that key have ended"),
    "/account/remove-key": Try("verified", _second_key, "The key is removed"),
    "/account/browser-out": Try("verified", _other_browser, "That browser is signed out"),
    "/account/always": Try("verified", lambda h, g: {"switch": "on"}, "Always require 2FA is on"),
    "/account/recovery-codes": Try("verified", _code, "You won't see them again"),
    "/account/remove": Try("verified", _code, "Your second factor is removed", "/account/remove"),
    "/repository/require": Try("verified", lambda h, g: {**_repository(h, g), "require": "all"}, "Saved."),
    "/repository/lifetime": Try("verified", lambda h, g: {**_repository(h, g), "lifetime": "1h"}, "Saved."),
    "/repository/admins": Try("verified", lambda h, g: {**_repository(h, g), "verb": "add", "user": h.server.new_user(h.name()).name}, "is now an admin"),
    "/admin/person/reset": Try("admin", _victim, "Send it over a channel"),
    "/admin/person/invite": Try("admin", lambda h, g: _victim(h, g, enrolled=False), "Send it over a channel"),
    "/admin/person/suspend": Try("admin", _victim, "Suspended."),
    "/admin/person/resume": Try("admin", _suspended, "Resumed."),
    "/admin/person/unthrottle": Try("admin", _victim, "wrong-code limit is cleared"),
    "/admin/person/revoke": Try("admin", _victim, "The sessions have ended"),
    "/admin/sessions/revoke": Try("admin", _session, "The sessions have ended", "/admin/sessions"),
    "/admin/doctor": Try("admin", lambda h, g: {}, "Is every way in guarded", "/admin/doctor"),
    "/admin/seen": Try("admin", _reported, "Nothing needs a look", "/admin"),
}  # fmt: skip


def _guest(hall: Hall, who: str) -> Guest:
    if who in ("nobody", "login"):
        return Guest(hall.server.new_user(hall.name(), in_session=False), Browser(hall.page))
    guest = hall.verified() if who in ("verified", "admin") else hall.signed_in()
    if who == "admin":
        hall.server.configure(git={"admins": [guest.person.name]})
    return guest


def _newest(hall: Hall) -> int:
    with hall.server.acting() as site, site.store.reading() as tx:
        return tx.newest_audit(None, 1)[0].seq


def test_the_table_is_whole(hall: Hall) -> None:
    """A form that is added stands here too."""
    app = create_app(str(hall.server.config))
    posts = {rule.rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())}
    assert posts == set(FORMS)


@pytest.mark.parametrize("path", FORMS)
def test_to_its_successful_end(hall: Hall, path: str) -> None:
    """It answers with a redirection to a page that says what was done, and that page,
    loaded again, repeats nothing.
    """
    attempt = FORMS[path]
    guest = _guest(hall, attempt.who)
    headers: dict[str, str] = {}
    if attempt.who == "login":
        hall.server.configure(web={"trusted_header": "X-Login", "trusted_proxies": ["127.0.0.1"]})
        headers = {"X-Login": guest.person.name, "X-Forwarded-For": "203.0.113.5"}
    try:
        guest.browser.get(attempt.before, headers)
        form = attempt.form(hall, guest)
        answer = guest.browser.post(path, form, headers=headers)
        assert answer.status == 303, (path, answer.status, answer.text)
        place = answer.headers["location"].removeprefix(hall.page.prefix)
        shown = guest.browser.get(place, headers)
        shown = guest.browser.follow(shown) if not headers else guest.browser.get("/verify", headers)
        assert attempt.said in shown.text, (path, shown.text)
        assert 'class="problem"' not in shown.body, (path, shown.text)
        before = _newest(hall)
        again = guest.browser.get(place, headers)
        assert again.status in (200, 303, 401, 410), (path, again.status)
        assert _newest(hall) == before
    finally:
        hall.server.configure(git={"admins": []}, web={"trusted_header": "", "trusted_proxies": []})


def test_a_sentence_that_is_missing_is_no_error(hall: Hall) -> None:
    """What was done is done, though the page has no words for it: `Done.`"""
    app = create_app(str(hall.server.config))
    with app.test_request_context("/"):
        say("repository.done.none-such", user="x")
        assert [str(text) for text in get_flashed_messages()] == ["Done."]
