"""What one browser sends twice is answered once, what a key alone may cause has its room,
and what changed is told there.
"""

from __future__ import annotations

import fcntl
import re
import threading

import pyotp

from gitguard.factor.enrolment import EnrolmentAuthorization, PendingEnrolment
from gitguard.factor.totp import Parameters
from gitguard.host import notices
from gitguard.session import budget
from gitguard.session.moment import Moment
from gitguard.store.rows import Change
from gitguard.web.double_submit import KEPT_SECONDS, MOST_OF_BROWSER, DoubleSubmits
from gitguard.web.enrolments import MOST, MOST_OF_OWNER, BrowserEnrolment, PendingEnrolments
from lab.page import Answer, Browser, sign_in
from lab.server import step
from tests.web.conftest import Hall


def twice(guest_browser: Browser, hall: Hall, path: str, form: dict[str, str]) -> list[Answer]:
    """The same form by a double click: two connections, at once, with the cookie that the browser has."""
    token = guest_browser.last.token
    answers: list[Answer] = []

    def send() -> None:
        other = Browser(hall.page)
        other.cookies = dict(guest_browser.cookies)
        answers.append(other.post(path, form, token=token))

    clicks = [threading.Thread(target=send) for _ in range(2)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    return answers


def failures(hall: Hall, name: str) -> int:
    """How many are counted."""
    with hall.server.acting() as site, site.store.reading() as tx:
        return len(tx.failures(name, 0))


def test_a_double_click_on_the_last_form_of_the_set_up(hall: Hall) -> None:
    """Both answers say that it is done: the browser shows the second, and nobody deletes
    a good entry from their app.
    """
    guest, secret = hall.setting_up()
    answers = twice(guest.browser, hall, "/set-up/confirm", {"code": pyotp.TOTP(secret).now()})
    assert [answer.status for answer in answers] == [303, 303]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    assert guest.browser.follow(answers[1]).title == "Your account"
    with hall.server.acting() as site, site.store.reading() as tx:
        assert tx.has_factor(guest.person.name)


def test_a_double_click_on_verify(hall: Hall) -> None:
    """Both are the page of success, one code is used, and no failure is counted."""
    guest = hall.signed_in()
    path = hall.refused(guest.person)
    guest.browser.get(path)
    form = {"request": path.rpartition("/")[2], "code": hall.server.fresh_code(guest.person)}
    answers = twice(guest.browser, hall, "/verify", form)
    assert [answer.status for answer in answers] == [303, 303]
    assert all("run your Git command again" in guest.browser.follow(answer).text for answer in answers)
    assert failures(hall, guest.person.name) == 0


def test_a_double_click_with_a_wrong_code_is_one_failure(hall: Hall) -> None:
    """One wrong code was typed, so one is counted; typed again it is another."""
    guest = hall.signed_in()
    guest.browser.get("/verify")
    answers = twice(guest.browser, hall, "/verify", {"request": "", "code": "000000"})
    assert [answer.status for answer in answers] == [400, 400]
    assert failures(hall, guest.person.name) in (1, 2), (
        "two, where the first was answered before the second came"
    )
    before = failures(hall, guest.person.name)
    guest.browser.get("/verify")
    guest.browser.post("/verify", {"request": "", "code": "000000"})
    assert failures(hall, guest.person.name) == before + 1


def test_recovery_codes_and_sign_in_links(hall: Hall) -> None:
    """The second answer of a double click holds the codes that count; a link signs in, both times."""
    guest = hall.verified()
    guest.browser.get("/account")
    hall.server.clear_watermark(guest.person)
    answers = twice(
        guest.browser, hall, "/account/recovery-codes", {"code": hall.server.fresh_code(guest.person)}
    )
    shown = [
        re.findall(r"<code>([A-Z2-9-]{19})</code>", answer.body)
        for answer in map(guest.browser.follow, answers)
    ]
    assert len(shown[0]) == 6
    assert shown[0] == shown[1]
    browser = Browser(hall.page)
    token = hall.link(guest.person).rpartition("/")[2]
    browser.get(f"/sign-in/{token}")
    answers = twice(browser, hall, "/sign-in/link", {"link": token})
    assert [answer.status for answer in answers] == [303, 303]


def test_another_browser_or_form_is_looked_at_anew(hall: Hall) -> None:
    """ATTACK: the answer to a form is someone's page. EXPECTED: nobody else
    gets it, by whatever they send.
    """
    guest, other = hall.signed_in(), hall.signed_in()
    guest.browser.get("/verify")
    form = {"request": "", "code": hall.server.fresh_code(guest.person)}
    token = guest.browser.last.token
    assert guest.browser.post("/verify", form, token=token).status == 303
    other.browser.get("/verify")
    assert other.browser.post("/verify", form).status == 400
    assert other.browser.post("/verify", form, token=token).status == 400, "another browser's token is none"
    thief = hall.signed_in(guest.person)
    thief.browser.get("/verify")
    assert thief.browser.post("/verify", form).status == 400


def test_answers_have_an_end() -> None:
    """Of one browser the newest few, for a minute; what was not answered well is not kept."""
    repeats = DoubleSubmits()
    first, is_first = repeats.begin(b"k", "browser", 0.0)
    assert is_first
    assert repeats.begin(b"k", "browser", KEPT_SECONDS - 1.0) == (first, False)
    assert repeats.begin(b"k", "browser", KEPT_SECONDS + 0.0)[1]
    for number in range(MOST_OF_BROWSER):
        repeats.begin(b"%d" % number, "browser", 100.0)
    assert repeats.begin(b"k", "browser", 100.0)[1]
    answer, _ = repeats.begin(b"gone", "browser", 100.0)
    repeats.drop(answer)
    assert repeats.begin(b"gone", "browser", 100.0)[1]


def pending(ends_at: int = 1000) -> PendingEnrolment:
    """An enrolment that was begun."""
    return PendingEnrolment(EnrolmentAuthorization("open"), Parameters("A" * 32), (), "otpauth://x", ends_at)


def test_who_begins_many_enrolments_loses_their_own() -> None:
    """ATTACK: one key begins a thousand set-ups. EXPECTED: everyone else's is still there; the
    cap takes from who has most.
    """
    held, at = PendingEnrolments(), Moment(10)
    held.put("victim", BrowserEnrolment(pending(), ("bob", "k"), ""))
    for number in range(MOST + 5):
        held.put(f"thief{number}", BrowserEnrolment(pending(), ("mallory", "k"), ""))
    assert held.get("victim", at) is not None
    assert sum(held.get(f"thief{n}", at) is not None for n in range(MOST + 5)) == MOST_OF_OWNER
    for number in range(MOST - 20):
        held.put(f"crowd{number}", BrowserEnrolment(pending(), (f"user{number}", "k"), ""))
    assert held.get("victim", at) is not None
    held.drop("victim")
    assert held.get("victim", at) is None
    assert held.get("crowd1", Moment(1000)) is None, "it has run out"


def test_numbers_are_looked_at_behind_the_code(hall: Hall) -> None:
    """ATTACK: anyone who has the key alone tries numbers in the set-up. EXPECTED: without a
    code every number is the same.
    """
    guest, secret = hall.setting_up()
    path = hall.refused(guest.person, host="203.0.113.9")
    number = hall.number(guest.person, host="203.0.113.9")
    browser = Browser(hall.page)
    sign_in(browser, hall.link(guest.person))
    shown = browser.follow(browser.get(path))
    browser.post("/set-up/begin", {"given": guest.person.invite, "request": shown.value("request")})
    found = re.search(r"secret=([A-Z2-7]+)", browser.send("/set-up/kept").body)
    assert found
    wrong = str(1000 + (int(number) + 1) % 9000)
    right = browser.post("/set-up/confirm", {"code": "000000", "number": number})
    other = browser.post("/set-up/confirm", {"code": "000000", "number": wrong})
    assert right.status == other.status == 400
    assert right.body.replace(number, "") == other.body.replace(wrong, ""), (
        "they differ by what was typed alone"
    )
    with_code = browser.post("/set-up/confirm", {"code": pyotp.TOTP(found[1]).now(), "number": wrong})
    assert with_code.status == 400
    assert "not the number" in with_code.text
    done = browser.send("/set-up/confirm", {"code": pyotp.TOTP(found[1]).now(), "number": number})
    assert "run your Git command again" in done.text
    del secret


def test_nothing_to_deny_tells_nobody(hall: Hall) -> None:
    """ATTACK: "This is not me" two thousand times with nothing pending. EXPECTED: no record and
    no notice but for the first.
    """
    guest = hall.signed_in()
    hall.refused(guest.person)

    def records() -> int:
        with hall.server.acting() as site, site.store.reading() as tx:
            return sum(
                r.record.get("event") == "request-denied"
                for r in tx.audit()
                if r.record.get("user") == guest.person.name
            )

    for _ in range(20):
        guest.browser.get("/verify")
        guest.browser.post("/verify/not-me", {"key": guest.person.fingerprint})
    assert records() == 1


def test_not_me_offers_to_take_away_what_that_key_added(hall: Hall) -> None:
    """A thief's key has added another one: whoever says "not me" of it is offered that one too."""
    guest = hall.verified()
    extra = hall.server.new_key(f"{guest.person.name}-extra")
    hall.server.clear_watermark(guest.person)
    code = hall.server.fresh_code(guest.person)
    hall.server.ssh(guest.person, f"2fa keys add '{extra.public_line.strip()}'", stdin=code + "\n", status=0)
    hall.refused(guest.person)
    guest.browser.get("/verify")
    said = guest.browser.send("/verify/not-me", {"key": guest.person.fingerprint})
    assert "added these keys" in said.text
    assert extra.fingerprint in said.body


def test_links_of_one_key_have_a_budget(hall: Hall) -> None:
    """ATTACK: a key alone makes and uses links for ever, two records each. EXPECTED: so many an
    hour; another key is not held up.
    """
    person = hall.server.new_user(hall.name(), in_session=False)
    laptop = hall.server.add_key(person, f"{person.name}-laptop")
    for _ in range(budget.MOST):
        sign_in(Browser(hall.page), hall.link(person))
    refused = hall.server.ssh(person, "2fa web")
    assert refused.status == 13
    assert "links of this key were made within the hour" in refused.err
    assert hall.server.ssh(laptop, "2fa web").status == 0


def test_what_changed_is_told_in_the_next_browser(hall: Hall) -> None:
    """New recovery codes by a thief elsewhere: the owner's next verification says
    so, with key, address and day.
    """
    guest = hall.signed_in()
    laptop = hall.server.add_key(guest.person, f"{guest.person.name}-laptop")
    with hall.server.acting() as site, site.store.writing() as tx:
        tx.note_change(
            guest.person.name,
            Change(int(step() * 30), "recovery-codes-replaced", "", laptop.fingerprint, "203.0.113.66"),
            "203.0.113.66",
        )
    guest.browser.get("/verify")
    done = guest.browser.post("/verify", {"request": "", "code": hall.server.fresh_code(guest.person)})
    told = guest.browser.follow(done).text
    assert f"new recovery codes, by the key {laptop.fingerprint} from 203.0.113.66. Not you?" in told


def test_a_flood_of_one_kind_drops_nothing_of_another(hall: Hall) -> None:
    """A full queue loses what there is most of, and doctor says so until an admin takes the note away."""
    state = str(hall.server.home / "state")
    (hall.server.home / "state" / "notices.lock").touch()
    with open(f"{state}/notices.lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # nobody works
        notices.add(
            state, ("/bin/true",), [{"event": "suspended", "user": "alice", "text": "alice was suspended"}]
        )
        for _ in range(4):
            notices.add(state, ("/bin/true",), [{"event": "not-me", "user": "bob", "text": "x" * 9000}] * 60)
        waiting = (hall.server.home / "state" / "notices").read_text()
    assert "alice was suspended" in waiting
    dropped = notices.last_dropped(state)
    assert dropped is not None
    assert dropped.event == "not-me"
    assert dropped.count >= 100
    notices.add(state, ("/bin/true",), [{"event": "suspended", "user": "carol", "text": "y"}])
    assert notices.last_dropped(state) is not None, "a notice that goes well takes nothing away"
    (hall.server.home / "state" / notices.DROPPED).unlink()
    (hall.server.home / "state" / "notices").unlink(missing_ok=True)


def test_what_was_done_since_is_not_answered_from_memory() -> None:
    """A kept answer goes when the same browser does something else: what it shows may be true no more."""
    kept = DoubleSubmits()
    first, _ = kept.begin(b"on", "browser", 0)
    first.ready.set()
    other, _ = kept.begin(b"other", "another", 0)
    other.ready.set()
    second, _ = kept.begin(b"off", "browser", 1)
    kept.drop_others(second)
    assert kept.begin(b"off", "browser", 2) == (second, False)
    assert kept.begin(b"on", "browser", 2)[1]
    assert kept.begin(b"other", "another", 2) == (other, False), "another browser's stays"
