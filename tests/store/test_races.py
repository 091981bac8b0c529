"""Many at once on two servers of one database, each with its own head outside: real processes."""

from __future__ import annotations

import json

import pyotp
import pytest

from gitguard.store.chain import check
from gitguard.store.contract import Reading
from lab.estate import Estate
from lab.person import Person
from lab.racer import Ran, race
from tests.store.sites import site_of

pytestmark = pytest.mark.e2e
WRONG = "000000"


def racers(
    estate: Estate, deed: str, times: int, who: Person, text: str, count: int
) -> list[tuple[str, ...]]:
    """`count` processes, turn by turn on the one server and the other."""
    configs = [str(server.config) for server in estate.servers]
    return [
        (configs[number % len(configs)], deed, str(times), who.name, who.fingerprint, text)
        for number in range(count)
    ]


def failures(tx: Reading, user: str) -> int:
    """How many wrong codes were charged."""
    return len(tx.failures(user, 0))


def ran(estate: Estate, deed: str, times: int, who: Person, text: str, count: int) -> Ran:
    """The race, and a whole chain after it, of which both servers' heads are a part."""
    done = race(racers(estate, deed, times, who, text, count))
    for server in estate.servers:
        with site_of(server) as site, site.store.reading() as tx:
            assert check(tx.audit(), site.store.head.read()).open_faults == []
    assert sum(done.reasons.values()) == times * count
    return done


def test_of_many_uses_of_one_code_one_counts(estate: Estate) -> None:
    """The adversary has the code that alice types, and sends it to the other server in the same instant."""
    first = estate.servers[0]
    alice = first.new_user("alice", in_session=False)
    done = ran(estate, "prove", 1, alice, first.fresh_code(alice), 24)
    assert done.reasons["done"] == 1
    with site_of(first) as site, site.store.reading() as tx:
        assert len(tx.sessions("alice")) == 1
        assert failures(tx, "alice") <= 5
    assert done.reasons["code-rejected"] + done.reasons["throttled"] == 23
    assert done.reasons["code-rejected"] <= 6  # one was the same code once more, which costs nothing


def test_guesses_at_once_on_two_servers_are_one_budget(estate: Estate) -> None:
    """The holder of a stolen key guesses at both servers, twenty at a time: five are compared."""
    first = estate.servers[0]
    bob = first.new_user("bob", in_session=False)
    done = ran(estate, "prove", 12, bob, WRONG, 20)
    assert done.reasons["code-rejected"] <= 5
    assert done.reasons["throttled"] >= 235
    with site_of(first) as site, site.store.reading() as tx:
        assert failures(tx, "bob") <= 5


def test_one_of_two_enrolments_at_once_stands(estate: Estate) -> None:
    """The same invite, shown at two servers: whoever comes second has none any more."""
    first = estate.servers[0]
    carol = first.new_user("carol", in_session=False)
    first.admin("user", "reset", "carol", "--reason", "new phone")
    first.admin("user", "invite", "carol")
    with site_of(first) as site, site.store.reading() as tx:
        invite = tx.invite("carol")
    assert invite is not None
    text = f"{pyotp.random_base32()} {invite[0].hex()}"
    done = ran(estate, "enrol", 1, carol, text, 8)
    assert done.reasons == {"done": 1, "invite-required": 7}


def test_the_chain_is_one_however_many_write(estate: Estate) -> None:
    """Each record stands behind the one before it; none is lost, and nobody is told to come again."""
    dora = estate.servers[0].new_user("dora")
    done = ran(estate, "record", 25, dora, "x" * 200, 8)
    assert done.reasons == {"done": 200}


@pytest.mark.long
def test_the_chain_of_four_thousand(estate: Estate) -> None:
    """Twenty at once, two hundred each."""
    emil = estate.servers[0].new_user("emil")
    assert ran(estate, "record", 200, emil, "x" * 200, 20).reasons == {"done": 4000}


@pytest.mark.long
def test_of_fifty_uses_of_one_code_one_counts(estate: Estate) -> None:
    """As above, with fifty."""
    first = estate.servers[0]
    frida = first.new_user("frida", in_session=False)
    assert ran(estate, "prove", 1, frida, first.fresh_code(frida), 50).reasons["done"] == 1


@pytest.mark.long
def test_who_is_throttled_slows_down_nobody_else(estate: Estate) -> None:
    """A key with many connections, all of them throttled, beside a person who verifies: theirs is their
    own lock.
    """
    first = estate.servers[0]
    gina, thief = first.new_user("gina", in_session=False), first.new_user("thief", in_session=False)
    assert ran(estate, "prove", 6, thief, WRONG, 1).reasons["throttled"] >= 1
    alone = race(racers(estate, "prove", 40, gina, WRONG, 1))
    beside = race(
        [*racers(estate, "prove", 40, gina, WRONG, 1), *racers(estate, "prove", 40, thief, WRONG, 2)]
    )
    ours = sorted(beside.seconds[:40])
    # Three processes share two cores: so much slower they are by themselves.
    assert ours[20] < sorted(alone.seconds)[20] * 3


def test_both_servers_show_one_trail(estate: Estate) -> None:
    """`audit verify` on each, and the same records."""
    ines = estate.servers[0].new_user("ines")
    ran(estate, "record", 3, ines, "x", 4)
    shown = []
    for server in estate.servers:
        server.admin("audit", "verify")
        shown.append(json.loads(server.admin("audit", "show", "--json").out))
    assert shown[0] == shown[1]
    assert len(shown[0]) >= 12
