"""What one server refused or holds, on the page of every other server of the database."""

from __future__ import annotations

import os

import pytest

from gitguard.action import browsers, requests, statistics
from gitguard.action.installation import Installation
from gitguard.factor.person import Person
from gitguard.session import pending
from gitguard.session.credential import credential_of
from gitguard.session.moment import now
from gitguard.session.request_notes import Notes
from gitguard.store.postgresql.shared_notes import LONGEST_WAIT_SECONDS
from lab.estate import Estate
from lab.failures import reason_of
from lab.person import Person as LabPerson
from tests.e2e.waiting import Push
from tests.store.sites import site_of

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module", autouse=True)
def waiting(estate: Estate) -> None:
    """Both have a page, and pushes wait."""
    estate.servers[0].admin("repo", "create", "app")
    estate.configure(host={"web_url": "https://git.example.org"}, session={"wait": "20s"})


def browser_of(site: Installation, person: Person) -> Person:
    """Who acts in a browser of theirs, which a link from the terminal has signed in."""
    token = browsers.new_link(site, person, now())
    done = browsers.sign_in_by_link(site, token, person.address, now())
    visitor = browsers.visitor_of(site, done.token, person.address, now())
    assert visitor is not None
    return visitor.person


def identity(someone: LabPerson) -> Person:
    """As the gate knows them."""
    return Person(someone.name, credential_of(someone.fingerprint), "127.0.0.1")


def test_a_push_that_waits_on_one_server_goes_on_by_the_page_of_another(estate: Estate) -> None:
    """The person looks at the page that they know, whichever server holds their push."""
    first, second = estate.servers
    bob = first.new_user("bob", in_session=False)
    person = identity(bob)
    push = Push(first, bob, "one")
    number = push.number()
    with site_of(second) as site:
        (wanted,) = requests.requests(site, person, now())
        assert (wanted.waits, wanted.request.repository, wanted.request.number) == (True, "app", number)
        assert statistics.statistics(site, now(), 60, []).waiting == 1
        second.admin("session", "sweep")  # as its timer does each minute: then bob's key signs in there, too
        assert f"number {number}" in second.ssh(bob, "2fa", "status").text
        browser, code = browser_of(site, person), second.fresh_code(bob)
        requests.approve(site, browser, wanted.request.id, number, code.encode(), now())
        assert push.end() == 0, push.said
        assert "verified; continuing the push" in push.said
        assert requests.requests(site, person, now()) == []
        assert statistics.statistics(site, now(), 60, []).waiting == 0
    with site_of(first) as site:
        assert requests.requests(site, person, now()) == []


def test_what_is_denied_on_one_server_is_denied_on_all(estate: Estate) -> None:
    """The holder of the stolen key asks again at once, at another server: nothing is shown for a minute."""
    first, second = estate.servers
    carol = first.new_user("carol", in_session=False)
    person = identity(carol)
    assert reason_of(first.ssh(carol, "git-upload-pack", "app")) == "verification-required"
    with site_of(second) as site:
        (wanted,) = requests.requests(site, person, now())
        requests.deny(site, browser_of(site, person), wanted.request.id, "", now())
        assert requests.requests(site, person, now()) == []
    assert reason_of(first.ssh(carol, "git-upload-pack", "app")) == "verification-required"
    with site_of(first) as site:
        assert requests.requests(site, person, now()) == []


def test_a_server_counts_its_own_by_its_own_files(estate: Estate) -> None:
    """The row of a process that died unseen keeps nobody on its server from waiting."""
    first = estate.servers[0]
    person = identity(first.new_user("dora", in_session=False))
    at = now().at
    with site_of(first) as site, site.store.writing() as tx:
        state = str(site.settings.paths.state)
        notes, other = site.notes(tx), tx.notes(state, "another")
        made = pending.hold(notes, person, "app", at, os.getpid())
        assert made is not None
        Notes(state).remove(made.name)
        assert notes.held(at) == []
        assert [one.id for one in other.held(at)] == [made.id]
        assert other.held(at + LONGEST_WAIT_SECONDS) == []
        pending.release(notes, made)
        assert other.held(at) == []
