"""What people do on the page, request by request, against the really served one."""

from __future__ import annotations

import re

import pyotp
import pytest

from lab.page import Browser, sign_in
from tests.web.conftest import Hall


def test_refused_verified_and_let_in(hall: Hall) -> None:
    """The refusal names the page; signed in, the request stands there; a code lets the push continue."""
    guest = hall.signed_in()
    path = hall.refused(guest.person)
    shown = guest.browser.get(path)
    assert "push to app" in shown.text
    assert "127.0.0.1" in shown.text
    assert guest.person.fingerprint in shown.text
    assert "Not verified" in shown.text
    code = hall.server.fresh_code(guest.person)
    done = guest.browser.send("/verify", {"request": path.rpartition("/")[2], "code": code})
    assert "Now run your Git command again." in done.text
    assert "Not verified" not in done.text
    assert hall.may_push(guest.person)


def test_the_link_of_a_refusal_carries_no_authority(hall: Hall) -> None:
    """Who is not signed in is told the command that signs in, and sees nothing of the request."""
    person = hall.server.new_user(hall.name(), in_session=False)
    shown = Browser(hall.page).get(hall.refused(person))
    assert shown.status == 401
    assert "2fa web" in shown.text
    assert "app" not in shown.text.split()
    assert person.name not in shown.text


def test_a_first_enrolment_in_the_browser(hall: Hall) -> None:
    """Never seen gitguard: refused, signed in, apps, codes, secret, first code, and the push continues."""
    person = hall.server.add_user(hall.name())
    browser = Browser(hall.page)
    path = hall.refused(person)
    sign_in(browser, hall.link(person))
    shown = browser.follow(browser.get(path))
    assert shown.title == "Set up your second factor"
    assert "Aegis" in shown.text
    wrong = browser.post("/set-up/begin", {"given": "INV-AAAA", "request": shown.value("request")})
    assert wrong.status == 400
    assert 'aria-invalid="true"' in wrong.body
    assert wrong.value("given") == "" or "INV-AAAA" in wrong.body, "what was typed is kept"
    codes = browser.send("/set-up/begin", {"given": person.invite, "request": shown.value("request")})
    kept = re.findall(r"<code>([A-Z2-9-]{19})</code>", codes.body)
    assert len(kept) == 6
    assert "otpauth" not in codes.body
    app = browser.send("/set-up/kept")
    secret = re.search(r"secret=([A-Z2-7]+)", app.body)
    assert secret is not None
    assert app.body.count("otpauth://") == 2
    assert "<svg" in app.body
    again = browser.send("/set-up/kept")
    assert "otpauth" not in again.body
    assert secret[1] not in again.body.replace(" ", "")
    bad = browser.post("/set-up/confirm", {"code": "000000"})
    assert bad.status == 400
    assert "otpauth" not in bad.body
    done = browser.send("/set-up/confirm", {"code": pyotp.TOTP(secret[1]).now()})
    assert "Now run your Git command again." in done.text, done.text
    assert hall.may_push(person)
    assert "2fa" not in browser.get("/account").title


def test_another_address_needs_the_number(hall: Hall) -> None:
    """A push from elsewhere: without its number nothing opens, with it the
    session is for that address alone.
    """
    guest = hall.signed_in()
    path = hall.refused(guest.person, host="203.0.113.9")
    number = hall.number(guest.person, host="203.0.113.9")
    shown = guest.browser.get(path)
    assert number not in shown.text
    assert "another network" in shown.text
    form = {"request": path.rpartition("/")[2], "code": hall.server.fresh_code(guest.person)}
    wrong = guest.browser.post("/verify", {**form, "number": str(int(number) - 1)})
    assert wrong.status == 400
    assert number not in wrong.body
    done = guest.browser.send("/verify", {**form, "number": f" {number[:2]} {number[2:]} "})
    assert "run your Git command again" in done.text
    assert hall.may_push(guest.person, host="203.0.113.9")
    assert not hall.may_push(guest.person)


def test_not_me(hall: Hall) -> None:
    """The request dies, and the trail and the page say so."""
    guest = hall.signed_in()
    path = hall.refused(guest.person, host="203.0.113.9")
    guest.browser.get(path)
    done = guest.browser.send("/verify/not-me", {"request": path.rpartition("/")[2]})
    assert "Every session of this key has ended" in done.text
    assert "has been answered" in guest.browser.get(path).text
    trail = hall.server.admin("audit", "show", "--json").out
    assert "request-denied" in trail


def test_everything_of_an_account(hall: Hall) -> None:
    """Leave, always, new codes, a key's session, other browsers: each with the code
    that it needs, none without.
    """
    guest = hall.verified()
    browser, server = guest.browser, hall.server
    other = hall.signed_in(guest.person)
    page = browser.get("/account")
    assert page.text.count("signed in from") == 2
    assert "Recent activity" in page.text
    assert "Recent activity" not in other.browser.get("/account").text
    third = browser.post("/account/browser-out", {"browser": page.value("browser")})
    assert "That browser is signed out" in browser.follow(third).text
    assert other.browser.get("/account").status == 401
    assert (
        "Always require 2FA is on" in browser.follow(browser.post("/account/always", {"switch": "on"})).text
    )
    server.age_sessions(301)
    asked = browser.post("/account/always", {"switch": "off"})
    assert asked.title == "Stop requiring 2FA for everything I do"
    assert asked.value("switch") == "off"
    wrong = browser.post("/account/always", {"switch": "off", "code": "000000"})
    assert wrong.status == 400
    assert wrong.title == "Stop requiring 2FA for everything I do"
    server.clear_watermark(guest.person)
    done = browser.post("/account/always", {"switch": "off", "code": server.fresh_code(guest.person)})
    assert "Always require 2FA is off" in browser.follow(done).text
    asked = browser.post("/account/recovery-codes")
    assert asked.title == "Make new recovery codes"
    codes = browser.send("/account/recovery-codes", {"code": server.fresh_code(guest.person)})
    assert codes.title == "Recovery codes"
    left = browser.follow(browser.post("/account/leave", token=browser.get("/account").token))
    assert "You're still signed in" in left.text
    assert "Not verified" in left.text


def test_removing_the_factor(hall: Hall) -> None:
    """It says what it means first, in numbers, takes a code, and opens the padlock."""
    guest = hall.signed_in()
    shown = guest.browser.get("/account/remove")
    assert "be able to push to" in shown.text
    assert guest.browser.post("/account/remove").title == "Remove the second factor"
    done = guest.browser.post("/account/remove", {"code": hall.server.fresh_code(guest.person)})
    assert "is removed" in guest.browser.follow(done).text
    assert guest.browser.follow(guest.browser.get("/")).title == "Set up your second factor"


def test_a_repository_admin(hall: Hall) -> None:
    """Their repositories and nobody else's; the toggle with a fresh factor or a code."""
    guest = hall.verified()
    name = f"of-{guest.person.name}"
    hall.server.admin("repo", "create", name, "--admin", guest.person.name)
    listed = guest.browser.get("/repositories")
    assert name in listed.text
    assert "app" not in re.findall(r'name=([\w-]+)"', listed.body)
    assert guest.browser.get("/repository?name=app").status == 403
    assert guest.browser.get("/repository?name=none-such").status == 403
    guest.browser.get(f"/repository?name={name}")
    done = guest.browser.follow(guest.browser.post("/repository/require", {"name": name, "require": "all"}))
    assert "Saved." in done.text
    done = guest.browser.follow(guest.browser.post("/repository/lifetime", {"name": name, "lifetime": "1h"}))
    assert "all, lifetime 1h" in done.text
    bad = guest.browser.post("/repository/lifetime", {"name": name, "lifetime": "soon"})
    assert bad.status == 400
    hall.server.age_sessions(301)
    guest.browser.get(f"/repository?name={name}")
    asked = guest.browser.post("/repository/admins", {"name": name, "verb": "add", "user": "guest1"})
    assert asked.title == f"Make guest1 an admin of {name}", (
        asked.status,
        asked.body,
        hall.page.log()[-800:],
    )
    assert hall.server.admin("repo", "show", name).out.count("all, lifetime 1h")


def test_the_servers_admin(hall: Hall) -> None:
    """People, rules, sessions, trail, log, doctor, charts: behind a factor of the last five minutes."""
    server, admin = hall.server, hall.server.new_user(hall.name())
    server.configure(git={"admins": [admin.name]})
    server.ssh(admin, "2fa leave", status=0)
    server.clear_watermark(admin)
    guest = hall.signed_in(admin)
    assert guest.browser.get("/admin").headers["location"].endswith("/verify?then=/admin")
    shown = guest.browser.get("/verify?then=/admin")
    done = guest.browser.post(
        "/verify", {"request": "", "then": shown.value("then"), "code": server.fresh_code(admin)}
    )
    assert guest.browser.follow(done).title == "Server"
    victim = server.new_user(hall.name())
    for path, word in {
        "/admin": "Refusals by reason",
        f"/admin/people?q={victim.name}": victim.name,
        "/admin/people?which=not-enrolled": "Keys",
        f"/admin/person?name={victim.name}": victim.fingerprint,
        f"/admin/rules?user={victim.name}&repository=app&operation=push": "Allowed:",
        "/admin/rules?user=nobody&repository=app&operation=push": "No user",
        "/admin/sessions": victim.name,
        f"/admin/audit?user={victim.name}": "enrolled",
        "/admin/log": "Verdict",
        "/admin/doctor": "Is every way in guarded?",
        "/repositories": "app",
    }.items():
        shown = guest.browser.get(path)
        assert word in shown.text, (path, shown.text)
    form = {"name": victim.name, "reason": "phone lost"}
    page = guest.browser.send("/admin/person/reset", form)
    assert re.search(r"INV(-[A-Z2-9]{4}){6}", page.text)
    assert "INV-" not in guest.browser.get(f"/admin/person?name={victim.name}").text
    assert guest.browser.post("/admin/person/suspend", {"name": victim.name}).status == 400
    done = guest.browser.follow(guest.browser.post("/admin/person/suspend", form))
    assert "Suspended" in done.text
    assert "Resumed" in guest.browser.follow(guest.browser.post("/admin/person/resume", form)).text
    server.age_sessions(301)
    assert guest.browser.get("/admin/people").status == 200, (
        "the five minutes slide while the pages are in use"
    )
    server.age_sessions(3600)
    there = guest.browser.get("/admin/people?q=gue&which=enrolled").headers["location"]
    assert there.endswith("then=/admin/people?q%3Dgue%26which%3Denrolled"), there
    asked = guest.browser.post("/admin/person/suspend", form)
    assert asked.title == f"Suspend {victim.name}"
    assert (asked.value("name"), asked.value("reason")) == (victim.name, "phone lost"), (
        "what was filled in is kept"
    )
    assert "Nothing has been changed yet" in guest.browser.get("/verify?then=/admin").text
    assert "suspended" not in server.admin("user", "show", victim.name).out
    server.configure(git={"admins": []})
    assert guest.browser.get("/admin/people").status == 403


def test_signing_in_anew_ends_the_sign_in_before_it(hall: Hall) -> None:
    """ATTACK: a cookie that was copied before its owner signed in again in the same
    browser. EXPECTED: it is nobody's.
    """
    guest = hall.signed_in()
    copied = dict(guest.browser.cookies)
    sign_in(guest.browser, hall.link(guest.person))
    thief = Browser(hall.page)
    thief.cookies = copied
    assert thief.get("/account").status == 401
    assert guest.browser.get("/account").status == 200


def test_the_session_of_a_key_ends_by_its_button(hall: Hall) -> None:
    """It ends that key's session and no other; without a key nothing ends and it says so."""
    guest = hall.verified()
    laptop = hall.server.add_key(guest.person, f"{guest.person.name}-laptop")
    hall.server.clear_watermark(guest.person)
    hall.server.verify(laptop)
    guest.browser.get("/account")
    empty = guest.browser.post("/account/leave-key", {})
    assert empty.status == 400
    assert hall.server.ssh(laptop, "2fa status --check").status == 0, "nothing ended"
    guest.browser.get("/account")
    done = guest.browser.post("/account/leave-key", {"key": laptop.fingerprint})
    assert done.status == 303
    assert hall.server.ssh(laptop, "2fa status --check").status == 10
    assert guest.browser.get("/account").status == 200


@pytest.mark.parametrize("path", ["/set-up/kept", "/set-up/confirm"])
def test_a_step_of_the_set_up_with_nothing_begun(hall: Hall, path: str) -> None:
    """After a restart of the page, or in an old tab: it says to begin again, with its own status."""
    person = hall.server.add_user(hall.name())
    browser = Browser(hall.page)
    sign_in(browser, hall.link(person))
    browser.get("/set-up")
    answer = browser.post(path, {"code": "123456"})
    assert answer.status == 410
    assert "Start over" in answer.text


def test_who_has_no_factor_is_led_to_the_set_up(hall: Hall) -> None:
    """By a redirection that browsers follow after a form: 303."""
    person = hall.server.add_user(hall.name())
    browser = Browser(hall.page)
    first = sign_in(browser, hall.link(person))
    del first
    home = browser.get("/")
    assert home.status == 303
    assert home.headers["location"].endswith("/set-up")


def test_a_confirmed_set_up_is_held_no_longer(hall: Hall) -> None:
    """Neither its secret nor its codes stay in the page's memory, and a second confirmation begins again."""
    person = hall.server.add_user(hall.name())
    browser = Browser(hall.page)
    sign_in(browser, hall.link(person))
    browser.get("/set-up")
    browser.post("/set-up/begin", {"given": person.invite})
    found = re.search(r"secret=([A-Z2-7]+)", browser.send("/set-up/kept").body)
    assert found
    code = pyotp.TOTP(found[1]).now()
    wrong = browser.post("/set-up/confirm", {"code": "000000"})
    assert wrong.status == 400
    assert 'id="code"' in wrong.body
    assert browser.post("/set-up/confirm", {"code": code}).status == 303
    token = browser.get("/account").token
    assert browser.post("/set-up/confirm", {"code": code, "number": "1"}, token=token).status == 410


def test_one_phished_code_of_an_admin_gives_nobody_a_way_in(hall: Hall) -> None:
    """ATTACK: a server admin's key and one code, from a network that nobody knows. EXPECTED: each form that
    gives a way in takes a second code.
    """
    server, admin = hall.server, hall.server.new_user(hall.name())
    server.configure(git={"admins": [admin.name]})
    victim = server.new_user(hall.name())
    guest = hall.verified(admin)
    with server.acting() as site, site.store.writing() as tx:
        tx.forget_networks(admin.name)
    form = {"name": victim.name, "reason": "phone lost"}
    guest.browser.get(f"/admin/person?name={victim.name}")
    for path in ("reset", "invite", "resume", "unthrottle"):
        asked = guest.browser.post(f"/admin/person/{path}", form)
        assert 'name="code"' in asked.body, path
        assert "INV-" not in asked.text
    with server.acting() as site, site.store.reading() as tx:
        assert tx.has_factor(victim.name), "nothing was done"
    server.clear_watermark(admin)
    done = guest.browser.send("/admin/person/reset", {**form, "code": server.fresh_code(admin)})
    assert re.search(r"INV(-[A-Z2-9]{4}){6}", done.text), done.text
    assert "Suspended" in guest.browser.follow(guest.browser.post("/admin/person/suspend", form)).text
    server.configure(git={"admins": []})
