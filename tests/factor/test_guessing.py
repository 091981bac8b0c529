"""Guessing over months: the day's budget shrinks, the owner hears of it, and the
arithmetic of the threat model holds.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gitguard.action import steps
from gitguard.action.keys import key_row
from gitguard.config.schema import Throttle
from gitguard.config.types import Limit
from gitguard.factor.guessing import MANY_USERS
from gitguard.factor.person import Person
from gitguard.factor.throttle import retry_at, shrunk
from gitguard.factor.verification import verify
from gitguard.host.key_options import NewKey
from gitguard.message.reasons import Refusal
from gitguard.store.rows import Failure
from tests.conftest import NOW, Bench, key_of

DAY = 86400
FITS = 3 / 1_000_000  # three of a million codes are right at any moment


def year_of_guessing() -> int:
    """How many codes one key compares in a year, by someone who never stops and is never right."""
    limits = Throttle()
    failures: list[Failure] = []
    at, count = NOW, 0
    while at < NOW + 365 * DAY:
        retry = retry_at(failures, "k", at, limits, unanswered=count)
        if retry is not None:
            at = retry
            continue
        failures = [f for f in failures if f.at > at - 2 * DAY] + [Failure("k", at, cleared=False)]
        count += 1
    return count


def test_the_arithmetic_of_the_threat_model() -> None:
    """docs/threat-model.md names the guesses of a year and the chances; they are these."""
    guesses = year_of_guessing()
    chance = 1 - (1 - FITS) ** guesses
    text = (Path(__file__).parents[2] / "docs" / "threat-model.md").read_text()
    said = re.search(r"([0-9 ]+) codes a year, a chance of ([0-9.]+) %", text)
    thousand = re.search(r"a thousand stolen keys.*?([0-9]+) of them", text, re.DOTALL)
    assert said is not None
    assert thousand is not None
    assert abs(int(said[1].replace(" ", "")) - guesses) <= 50
    assert abs(float(said[2]) - 100 * chance) < 0.05
    assert abs(int(thousand[1]) - 1000 * chance) <= 1
    assert chance < 0.01


@pytest.mark.parametrize(
    ("unanswered", "left"), [(0, 50), (99, 50), (100, 25), (200, 12), (300, 6), (400, 5), (100_000, 5)]
)
def test_a_days_budget_is_halved_after_each_hundred(unanswered: int, left: int) -> None:
    """Down to five; shorter windows stay, and a budget that the admin set lower stays as low."""
    assert shrunk(Limit(50, DAY), unanswered) == Limit(left, DAY)
    assert shrunk(Limit(20, 3600), unanswered) == Limit(20, 3600)
    assert shrunk(Limit(3, DAY), unanswered) == Limit(3, DAY)


def rejected(bench: Bench, person: Person) -> str:
    """The reason that a wrong code gets."""
    with pytest.raises(Refusal) as caught:
        verify(bench.desk, person, bench.wrong(), bench.now)
    return caught.value.reason


def guess(bench: Bench, person: Person, days: int, most: int = 60) -> list[int]:
    """Guess for some days; how many codes were compared on each."""
    counts = []
    for _ in range(days):
        count = 0
        for _ in range(most):
            bench.later(400)
            count += rejected(bench, person) == "code-rejected"
        counts.append(count)
        bench.later(DAY - 400 * most)
    return counts


def test_a_thief_elsewhere_runs_dry_and_the_owner_does_not(bench: Bench) -> None:
    """ATTACK: the same key, from another network, for a week. EXPECTED: fewer tries each
    day; the owner verifies as ever.
    """
    verify(bench.desk, bench.alice, bench.code(), bench.now)
    thief = bench.person("alice", 1, "203.0.113.9")
    counts = guess(bench, thief, 7)
    assert counts[0] == 50
    assert counts[-1] < 25
    assert counts == sorted(counts, reverse=True)
    done = verify(bench.desk, bench.alice, bench.code(), bench.now)
    assert done.proof.rejected is not None
    assert done.proof.rejected.failures == sum(counts)
    assert done.proof.rejected.last_address == "203.0.113.9"
    assert rejected(bench, thief) == "throttled", "the owner's success at home gives the thief nothing back"
    bench.later(3600)
    rejected(bench, thief)
    assert verify(bench.desk, bench.alice, bench.code(), bench.now).proof.rejected is None


def test_a_success_from_there_gives_the_budget_back(bench: Bench) -> None:
    """Who mistyped for weeks on the road and then verifies there starts again; so
    does whom the admin unthrottles.
    """
    road = bench.person("alice", 1, "198.51.100.7")
    guess(bench, road, 3)
    with bench.desk.store.reading() as tx:
        assert sum(entry.failures for entry in tx.guessing("alice")) > 100
    bench.later(2 * DAY)
    verify(bench.desk, road, bench.code(), bench.now)
    with bench.desk.store.reading() as tx:
        assert tx.guessing("alice") == []
    guess(bench, road, 1, 3)
    with bench.desk.store.writing() as tx:
        steps.forget_guessing(tx, "alice", bench.now.at, "test")
        assert tx.guessing("alice") == []


def test_many_users_tried_is_an_event(bench: Bench) -> None:
    """ATTACK: a thousand stolen keys, one guess each. EXPECTED: the trail says so
    when the tenth user is tried.
    """
    with bench.desk.store.writing() as tx:
        for number in range(2, 13):
            steps.add_user(tx, f"u{number}", NOW, "test")
            steps.add_key(tx, key_row(f"u{number}", NewKey(key_of(number)), NOW), NOW, "test")
            bench.enrol(tx, f"u{number}")
    for number in range(2, 13):
        rejected(bench, bench.person(f"u{number}", number, "203.0.113.9"))
    with bench.desk.store.reading() as tx:
        told = [r.record for r in tx.audit() if r.record["event"] == "many-users-guessed"]
    assert [record["users"] for record in told] == [MANY_USERS[0]]
