"""Signing in and pending requests, as the holder of a stolen key would use them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gitguard.action import browsers, keys, requests, sessions, steps, toggles, users
from gitguard.action.requests import ApprovalRequest
from gitguard.action.sessions import Which
from gitguard.config.types import UserOrGroup
from gitguard.factor import enrolment
from gitguard.factor.change import ProofWanted
from gitguard.factor.known_networks import KNOWN_AFTER_SECONDS, is_known_network
from gitguard.factor.person import Person
from gitguard.factor.proof import prove
from gitguard.factor.verification import verify
from gitguard.host.key_options import NewKey
from gitguard.message.reasons import Refusal
from gitguard.session import budget
from gitguard.session.credential import credential_of, ssh_key
from gitguard.session.moment import Moment
from gitguard.session.pending import note, pending
from gitguard.session.request_notes import Notes
from tests.house import ACTOR, House


def later(house: House, seconds: int) -> Moment:
    """The house's moment, so much later."""
    house.moment = Moment(house.moment.at + seconds, house.moment.boot, house.moment.boot_seconds + seconds)
    return house.moment


def signed_in(house: House, person: Person, address: str = "") -> tuple[Person, str]:
    """(who acts in a new browser of `person`, what its cookie holds)."""
    token = browsers.new_link(house.site, person, house.moment)
    done = browsers.sign_in_by_link(house.site, token, address or person.address, house.moment)
    visitor = browsers.visitor_of(house.site, done.token, address or person.address, house.moment)
    assert visitor is not None
    return visitor.person, done.token


def refused(
    house: House, person: Person, repository: str = "app", operation: str = "push"
) -> ApprovalRequest:
    """A request of `person` that was refused just now."""
    state = str(house.site.settings.paths.state)
    asked = note(Notes(state), person, repository, operation, house.moment.at)
    assert asked is not None
    found = requests.request_of(house.site, person, asked.id, house.moment)
    assert found is not None
    return found


def test_a_link_is_good_once_and_for_five_minutes(house: House) -> None:
    """Looked at any number of times, used once, by a link that is five minutes old by no one."""
    person, _ = house.invited()
    token = browsers.new_link(house.site, person, house.moment)
    for _ in range(3):
        assert browsers.user_of_link(house.site, token, house.moment) == person.user
    browsers.sign_in_by_link(house.site, token, person.address, house.moment)
    with pytest.raises(Refusal, match="link"):
        browsers.sign_in_by_link(house.site, token, person.address, house.moment)
    old = browsers.new_link(house.site, person, house.moment)
    assert browsers.user_of_link(house.site, old, later(house, 299)) == person.user
    assert browsers.user_of_link(house.site, old, later(house, 1)) == ""
    with pytest.raises(Refusal):
        browsers.sign_in_by_link(house.site, old, person.address, house.moment)


@pytest.mark.parametrize("end", ["key removed", "suspended", "reset", "removed", "revoked", "twelve hours"])
def test_a_browser_ends_with_what_it_stands_on(house: House, end: str) -> None:
    """The key that signed it in, the account, the admin's revoke, and twelve
    hours whatever is done with it.
    """
    person, _ = house.enrolled()
    _, token = signed_in(house, person)
    site, at = house.site, house.moment
    if end == "key removed":
        with site.store.writing() as tx:
            steps.add_key(
                tx, replace(tx.keys(person.user)[0], fingerprint=house.key().fingerprint), at.at, ACTOR
            )
            steps.remove_key(tx, person.credential.text, at.at, ACTOR)
    elif end == "suspended":
        users.set_state(site, person.user, "suspended", at, ACTOR, "x")
        users.set_state(site, person.user, "active", at, ACTOR, "x")
    elif end == "reset":
        users.reset(site, [person.user], at, ACTOR, "x")
    elif end == "removed":
        users.remove(site, person.user, at, ACTOR, "x")
    elif end == "revoked":
        sessions.revoke(site, Which(user=person.user), at, ACTOR, "x")
    else:
        assert browsers.visitor_of(site, token, "192.0.2.1", later(house, 12 * 3600 - 1)) is not None
        later(house, 1)
    assert browsers.visitor_of(site, token, "192.0.2.1", house.moment) is None


def test_signed_in_is_not_verified(house: House) -> None:
    """A thief with the key signs in, and finds every door of the second factor as closed as over SSH."""
    person, _ = house.enrolled()
    browser, _ = signed_in(house, person)
    with house.site.store.reading() as tx:
        assert all(s.credential != browser.credential.text for s in tx.sessions(person.user))
    request = refused(house, person)
    with pytest.raises(Refusal, match="not-a-code"):
        requests.approve(house.site, browser, request.request.id, "", b"", house.moment)


def test_every_browser_guesses_on_the_account_of_its_key(house: House) -> None:
    """A thief who signs in again and again has the budget of the key, not one for each browser."""
    person, _ = house.enrolled()
    reasons = []
    for _ in range(6):
        browser, _ = signed_in(house, person)
        request = refused(house, person)
        with pytest.raises(Refusal) as told:
            requests.approve(house.site, browser, request.request.id, "", b"000000", house.moment)
        reasons.append(told.value.reason)
    assert reasons == ["code-rejected"] * 5 + ["throttled"]


def test_a_request_from_elsewhere_goes_on_only_with_its_number(house: House) -> None:
    """The owner, asked by a thief's push, cannot let it through by habit: the
    number is on the thief's terminal.
    """
    person, code = house.enrolled()
    thief = replace(person, address="203.0.113.9")
    browser, _ = signed_in(house, person)
    request = requests.request_of(house.site, browser, refused(house, thief).request.id, house.moment)
    assert request is not None
    assert request.elsewhere
    typed = code()
    for number in ("", "0000", request.request.number[:3], "\uff11234"):
        with pytest.raises(Refusal) as told:
            requests.approve(house.site, browser, request.request.id, number, typed, house.moment)
        assert told.value.reason == "forbidden"
    done = requests.approve(
        house.site, browser, request.request.id, request.request.number, typed, house.moment
    )
    assert (done.session.credential, done.session.network) == (thief.credential.text, "203.0.113.9"), (
        "the code was not used up by the wrong numbers, and the session is for that address alone"
    )


def test_approving_opens_what_the_request_needs_and_no_more(house: House) -> None:
    """The session of that key from that address, and the browser's own; the request is answered."""
    person, code = house.enrolled()
    with house.site.store.writing() as tx:
        tx.end_sessions(person.user)
    browser, _ = signed_in(house, person)
    request = refused(house, person)
    typed = code()
    done = requests.approve(house.site, browser, request.request.id, "", typed, house.moment)
    with house.site.store.reading() as tx:
        there = {(s.scope, s.credential, s.network) for s in tx.sessions(person.user)}
    assert there == {
        ("address", person.credential.text, "192.0.2.1"),
        ("address", browser.credential.text, "192.0.2.1"),
    }
    assert done.session.method == "totp"
    with pytest.raises(Refusal, match="gone"):
        requests.approve(house.site, browser, request.request.id, "", typed, house.moment)


def test_this_is_not_me(house: House) -> None:
    """The request dies, the key's sessions end, and the trail says who was asked for what from where."""
    person, _ = house.enrolled()
    browser, _ = signed_in(house, person)
    request = refused(house, replace(person, address="203.0.113.9"))
    before = house.newest
    done = requests.deny(house.site, browser, request.request.id, "", house.moment)
    assert [s.credential for s in done.sessions] == [person.credential.text]
    assert done.effects.fault is None
    assert house.events(before) == ["request-denied"]
    assert requests.request_of(house.site, browser, request.request.id, house.moment) is None


def test_nobody_sees_or_answers_anothers_request(house: House) -> None:
    """An id that is guessed or seen opens nothing: it names a request of its own user alone."""
    person, _ = house.enrolled()
    other, code = house.enrolled()
    browser, _ = signed_in(house, other)
    request = refused(house, person)
    assert requests.requests(house.site, browser, house.moment) == []
    typed = code()
    for act in (
        lambda: requests.approve(
            house.site, browser, request.request.id, request.request.number, typed, house.moment
        ),
        lambda: requests.deny(house.site, browser, request.request.id, "", house.moment),
    ):
        with pytest.raises(Refusal, match="gone"):
            act()
    assert requests.request_of(house.site, browser, "../../gitguard.db", house.moment) is None


def test_one_request_for_each_key_repository_and_network(house: House) -> None:
    """Pushed again within a minute it is the same note with the same number; then it is written again."""
    person, _ = house.invited()
    first = refused(house, person)
    later(house, 59)
    assert refused(house, person).request.number == first.request.number
    assert refused(house, person, operation="read").request.at == first.request.at
    later(house, 1)
    again = refused(house, person)
    assert again.request.at == house.moment.at
    assert again.request.id != first.request.id, "whoever has not seen its refusal does not know it"
    assert len(requests.requests(house.site, person, house.moment)) == 1
    refused(house, person, "other")
    refused(house, replace(person, address="203.0.113.9"))
    assert len(requests.requests(house.site, person, house.moment)) == 3


def test_what_fetches_in_the_background_is_noted_once_an_hour(house: House) -> None:
    """An editor that fetches every three minutes: one write, and after ten minutes it stands on no page."""
    person, _ = house.invited()
    first = refused(house, person, operation="read")
    for _ in range(19):
        later(house, 180)
        assert refused(house, person, operation="read").request.at == first.request.at
    assert requests.shown(house.site, person, house.moment, verified=True) == []
    later(house, 180)
    assert refused(house, person, operation="read").request.at == house.moment.at


def test_a_flood_of_requests_crowds_out_nothing_elsewhere(house: House) -> None:
    """A thief who asks for a hundred repositories at once leaves twenty notes of their own network; the
    owner's, with the same key, stands.
    """
    person, _ = house.invited()
    mine = refused(house, person)
    thief = replace(person, address="203.0.113.9")
    state = str(house.site.settings.paths.state)

    def asks(number: int) -> bool:
        return note(Notes(state), thief, f"r{number}", "push", house.moment.at) is not None

    assert sum([asks(number) for number in range(100)]) == 20
    assert not any(asks(number) for number in range(200, 210)), "none of them is drawn anew within the minute"
    assert requests.request_of(house.site, person, mine.request.id, house.moment) is not None
    later(house, 60)
    assert asks(300), "an old one goes for it"
    assert len(pending(Notes(state), person.user, house.moment.at)) == 21


def test_no_two_requests_have_one_number(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thief who asks again and again never comes to show the number that stands in the owner's terminal."""
    person, _ = house.invited()
    mine = refused(house, person)
    drawn = iter([mine.request.number, mine.request.number, "1234"])
    monkeypatch.setattr("gitguard.session.pending._new_number", lambda: next(drawn))
    thief = refused(house, replace(person, address="203.0.113.9"))
    assert thief.request.number == "1234"


def test_numbers_are_tried_by_nobody_without_a_code(house: House) -> None:
    """Right number or wrong, without a right code the answer is the same, and it is charged."""
    person, code = house.enrolled()
    browser, _ = signed_in(house, person)
    request = refused(house, replace(person, address="203.0.113.9"))
    typed = code()
    told = []
    for number in ("0000", request.request.number):
        with pytest.raises(Refusal) as refusal:
            requests.approve(house.site, browser, request.request.id, number, b"000000", house.moment)
        told.append((refusal.value.reason, refusal.value.text))
    assert told[0] == told[1]
    assert told[0][0] == "code-rejected"
    with pytest.raises(Refusal) as refusal:
        requests.approve(house.site, browser, request.request.id, "0000", typed, house.moment)
    assert refusal.value.detail == "number"
    requests.approve(house.site, browser, request.request.id, request.request.number, typed, house.moment)


def test_not_me_works_whatever_became_of_the_request(house: House) -> None:
    """Let through a moment ago, renewed or gone: the key's sessions end all the
    same, and the admin hears of it.
    """
    person, code = house.enrolled()
    browser, _ = signed_in(house, person)
    thief = replace(person, address="203.0.113.9")
    request = refused(house, thief)
    typed = code()
    requests.approve(house.site, browser, request.request.id, request.request.number, typed, house.moment)
    before = house.newest
    done = requests.deny(house.site, browser, request.request.id, person.credential.text, house.moment)
    assert done.request is None
    assert (person.credential.text, "203.0.113.9") in [(s.credential, s.network) for s in done.sessions]
    assert house.events(before) == ["request-denied"]
    stranger, _ = house.enrolled()
    with pytest.raises(Refusal, match="gone"):
        requests.deny(house.site, browser, "x", stranger.credential.text, house.moment)


def test_what_was_denied_is_noted_again_after_a_minute(house: House) -> None:
    """A thief who denies the owner's read takes it from the page for a minute, not for an hour; a
    note's age does not shorten it.
    """
    person, _ = house.enrolled()
    browser, _ = signed_in(house, person)
    request = refused(house, person, operation="read")
    later(house, 50)
    requests.deny(house.site, browser, request.request.id, "", house.moment)
    state = str(house.site.settings.paths.state)
    asked = (Notes(state), person, "app", "read")
    assert note(*asked, later(house, 59).at) is None
    assert note(*asked, later(house, 1).at) is not None


def test_an_answer_that_cannot_be_noted_is_none(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note cannot be taken away (a read-only disk): no session opens, or the
    request could be answered twice.
    """
    person, code = house.enrolled()
    with house.site.store.writing() as tx:
        tx.end_sessions(person.user)
    browser, _ = signed_in(house, person)
    request = refused(house, person)
    typed = code()

    def full(*_: object) -> None:
        raise OSError(30, "read-only file system")

    monkeypatch.setattr("gitguard.session.pending.take", full)
    with pytest.raises(Refusal) as told:
        requests.approve(house.site, browser, request.request.id, "", typed, house.moment)
    assert told.value.is_our_fault
    with house.site.store.reading() as seen:
        assert seen.sessions(person.user) == []


def test_a_proxys_login_signs_in_its_user_alone(house: House) -> None:
    """By the part before the @ of a domain that is named; who is suspended or unknown, or
    of another domain, is nobody.
    """
    person, _ = house.invited()
    assert browsers.user_of_login(house.site, f"{person.user.upper()}@example.com") == person.user
    for login in (
        "nobody",
        "",
        "../x",
        "root@x",
        f"{person.user}@guest.example",
        f"{person.user}@example.com@guest.example",
    ):
        assert browsers.user_of_login(house.site, login) == ""
        with pytest.raises(Refusal):
            browsers.sign_in_by_login(house.site, login, "192.0.2.1", house.moment)
    done = browsers.sign_in_by_login(house.site, person.user, "192.0.2.1", house.moment)
    visitor = browsers.visitor_of(house.site, done.token, "192.0.2.1", house.moment)
    assert visitor is not None
    assert visitor.person.signed_in_by == credential_of(f"http:{person.user}")


def second_key(house: House, person: Person) -> Person:
    """The same user with another key."""
    key = house.key()
    keys.add(house.site, person.user, [NewKey(key)], house.moment, ACTOR)
    return replace(person, credential=ssh_key(key.fingerprint))


def test_a_thief_with_one_key_ends_nothing_of_another(house: House) -> None:
    """Saying "not me" about another key's request, and signing out another key's browser,
    need a factor in this browser.
    """
    person, _ = house.enrolled()
    thief = second_key(house, person)
    owner_visitor = _visitor(house, person)
    browser, _ = signed_in(house, thief)
    request = refused(house, person)
    with pytest.raises(ProofWanted):
        requests.deny(house.site, browser, request.request.id, "", house.moment)
    visitor = _visitor(house, thief)
    with pytest.raises(ProofWanted):
        browsers.sign_out(house.site, visitor, owner_visitor.browser.credential, house.moment)
    with house.site.store.reading() as tx:
        assert [s.credential for s in tx.sessions(person.user)] == [person.credential.text]
    for _ in range(browsers.MOST_BROWSERS + 5):
        signed_in(house, thief)
    with house.site.store.reading() as tx:
        assert tx.browser(owner_visitor.browser.credential) is not None, (
            "a flood of sign-ins evicts its own alone"
        )


def _visitor(house: House, person: Person) -> browsers.Visitor:
    token = browsers.new_link(house.site, person, house.moment)
    done = browsers.sign_in_by_link(house.site, token, person.address, house.moment)
    visitor = browsers.visitor_of(house.site, done.token, person.address, house.moment)
    assert visitor is not None
    return visitor


def test_links_of_one_key_leave_those_of_another_alone(house: House) -> None:
    """Five open links of a key are enough; the sixth is refused until one is used or
    expires, and nobody else's goes.
    """
    person, _ = house.enrolled()
    thief = second_key(house, person)
    token = browsers.new_link(house.site, person, house.moment)
    for _ in range(browsers.MOST_LINKS):
        browsers.new_link(house.site, thief, house.moment)
    with pytest.raises(Refusal) as told:
        browsers.new_link(house.site, thief, house.moment)
    assert told.value.reason == "throttled"
    assert browsers.user_of_link(house.site, token, house.moment) == person.user
    browsers.new_link(house.site, thief, later(house, browsers.LINK_SECONDS))


def test_not_me_ends_the_thiefs_browsers_and_links(house: House) -> None:
    """What the key has signed in is signed out, but the browser that says so; its open links no longer work;
    it is noted no more for a minute.
    """
    person, _ = house.enrolled()
    browser, _ = signed_in(house, person)
    _, thief_cookie = signed_in(house, person)
    link = browsers.new_link(house.site, person, house.moment)
    thief = replace(person, address="203.0.113.9")
    request = refused(house, thief)
    requests.deny(house.site, browser, request.request.id, "", house.moment)
    assert browsers.visitor_of(house.site, thief_cookie, "203.0.113.9", house.moment) is None
    assert browsers.user_of_link(house.site, link, house.moment) == ""
    with house.site.store.reading() as tx:
        assert [one.credential for one in tx.browsers(person.user)] == [browser.credential.text]
    state = str(house.site.settings.paths.state)
    asked = (Notes(state), thief, "app", "push")
    assert note(*asked, later(house, 59).at) is None
    assert note(*asked, later(house, 1).at) is not None


def test_not_me_is_heard_by_an_approval_under_way(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tabs: one types the code, the other says that it is not them a moment
    before. The request stays dead.
    """
    person, code = house.enrolled()
    browser, _ = signed_in(house, person)
    request = refused(house, replace(person, address="203.0.113.9"))
    typed = code()
    proved = prove

    def denied_meanwhile(*given: Any, **named: Any) -> object:
        requests.deny(house.site, browser, request.request.id, "", house.moment)
        return proved(*given, **named)

    monkeypatch.setattr("gitguard.action.requests.prove", denied_meanwhile)
    with pytest.raises(Refusal, match="gone"):
        requests.approve(house.site, browser, request.request.id, request.request.number, typed, house.moment)
    with house.site.store.reading() as tx:
        assert tx.sessions(person.user) == []


def test_requests_of_other_keys_are_shown_to_who_has_verified(house: House) -> None:
    """A stolen key lists what was asked for with itself alone; by its link a request is shown to its user."""
    person, _ = house.enrolled()
    thief, _ = signed_in(house, second_key(house, person))
    request = refused(house, person, "secret-project")
    assert requests.shown(house.site, thief, house.moment, verified=False) == []
    assert requests.shown(house.site, thief, house.moment, verified=True) != []
    assert requests.request_of(house.site, thief, request.request.id, house.moment) is not None


def test_a_browser_without_an_address_is_elsewhere(house: House) -> None:
    """Behind a proxy that is not believed nothing is known of where the browser
    is: the number is asked for.
    """
    person, _ = house.invited()
    browser, _ = signed_in(house, person)
    nowhere = replace(person, address="")
    request = refused(house, nowhere)
    found = requests.request_of(house.site, replace(browser, address=""), request.request.id, house.moment)
    assert found is not None
    assert found.elsewhere


def test_a_push_that_came_after_a_read_is_shown_as_a_push(house: House) -> None:
    """The same key, network and repository within the minute: what is let through is named as what it is."""
    person, _ = house.invited()
    refused(house, person, operation="read")
    assert refused(house, person, operation="push").request.operation == "push"


def test_a_server_admin_who_has_not_enrolled_needs_an_invite(house: House) -> None:
    """ATTACK: the stolen key of a server admin without a factor, under open
    enrolment. EXPECTED: invite-required.
    """
    person, _ = house.invited()
    settings = house.site.settings
    second_factor = msgspec.structs.replace(settings.second_factor, self_enrolment="open")
    git = msgspec.structs.replace(settings.git, admins=[UserOrGroup(person.user)])
    opened = msgspec.structs.replace(settings, second_factor=second_factor, git=git)
    desk = replace(house.site, settings=opened, reread=None)
    with house.site.store.reading() as tx:
        assert enrolment.needs_authorization(desk, tx, person)
        assert not enrolment.needs_authorization(
            replace(desk, settings=msgspec.structs.replace(opened, git=settings.git)), tx, person
        )


def test_not_me_makes_every_other_network_a_strange_one(house: House) -> None:
    """ATTACK: a phished code a day ago made the thief's network known. EXPECTED: once the owner says so,
    it is strange; theirs is not.
    """
    person, _ = house.enrolled()
    with house.site.store.writing() as tx:
        tx.note_network(person.user, "203.0.113.9", house.moment.at - KNOWN_AFTER_SECONDS)
    browser, _ = signed_in(house, person)
    thief = replace(person, address="203.0.113.9")
    with house.site.store.reading() as tx:
        assert is_known_network(tx, thief, house.moment)
        mine = is_known_network(tx, browser, house.moment)
    requests.deny(house.site, browser, refused(house, thief).request.id, "", house.moment)
    with house.site.store.reading() as tx:
        assert not is_known_network(tx, thief, house.moment)
        assert is_known_network(tx, browser, house.moment) == mine


def test_what_a_repository_demands_lasts(house: House) -> None:
    """ATTACK: a repository admin's key and one phished code, elsewhere: switch it off.
    EXPECTED: that takes a second one.
    """
    person, code = house.enrolled()
    name = house.repository(person)
    thief = replace(person, address="203.0.113.9")
    verify(house.site, thief, code(), house.moment)
    for attempt in (
        lambda: toggles.set_require(house.site, thief, name, "none", house.moment, None),
        lambda: toggles.change_admin(house.site, thief, name, "remove", person.user, house.moment, None),
    ):
        with pytest.raises(ProofWanted):
            attempt()


def test_a_login_of_the_proxy_signs_in_so_often_and_no_more(house: House) -> None:
    """ATTACK: a proxy's login in a loop. EXPECTED: thirty within the hour from one network, so the trail is
    not filled; another one may.
    """
    person, _ = house.enrolled()
    for _ in range(budget.MOST):
        browsers.sign_in_by_login(house.site, person.user, "203.0.113.9", house.moment)
    with pytest.raises(Refusal) as told:
        browsers.sign_in_by_login(house.site, person.user, "203.0.113.9", house.moment)
    assert told.value.reason == "throttled"
    assert browsers.sign_in_by_login(house.site, person.user, "192.0.2.1", house.moment).user == person.user
