"""One phished code changes nothing that lasts: two codes from a strange network, and the owner is told of what changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gitguard.factor import change, enrolment
from gitguard.factor.proof import (
    KNOWN_AFTER_SECONDS,
    SECOND_CODE_SECONDS,
    TOLD_SECONDS,
    Person,
    SecondCodeWanted,
)
from gitguard.factor.verification import verify
from gitguard.message.reasons import Refusal
from gitguard.session.credential import ssh_key
from tests.conftest import Bench, key_of

STRANGE = "203.0.113.66"


def thief(bench: Bench) -> Person:
    """Alice's key, somewhere else."""
    return replace(bench.alice, address=STRANGE)


def codes_left(bench: Bench) -> int:
    """Alice's recovery codes."""
    with bench.desk.store.reading() as tx:
        return tx.recovery_codes_left("alice")


LASTING: dict[str, Callable[[Bench, Person, bytes], object]] = {
    "recovery codes": lambda b, p, code: change.replace_recovery_codes(b.desk, p, code, b.now),
    "remove": lambda b, p, code: change.remove(b.desk, p, code, b.now),
    "always off": lambda b, p, code: change.set_always(b.desk, p, b.now, code, on=False),
    "enrol again": lambda b, p, code: enrolment.establish(b.desk, p, code, b.now),
}


@pytest.mark.parametrize("what", LASTING)
def test_a_change_that_lasts_takes_two_codes_from_a_strange_network(bench: Bench, what: str) -> None:
    """The first is used up and changes nothing; the next one, soon enough, does it; from home one is enough."""
    with bench.desk.store.writing() as tx:
        tx.set_always("alice", on=True)
    before = codes_left(bench)
    with pytest.raises(SecondCodeWanted):
        LASTING[what](bench, thief(bench), bench.code())
    with bench.desk.store.reading() as tx:
        user = tx.user("alice")
        assert user is not None
        assert user.always
        assert tx.factor("alice") is not None
        events = [record.record["event"] for record in tx.audit()]
    assert events[-1] == "first-code"
    assert codes_left(bench) == before
    with pytest.raises(Refusal):
        LASTING[what](bench, thief(bench), bench.code())  # the same code is no second one
    bench.later(30)
    assert LASTING[what](bench, thief(bench), bench.code()) is not None


def test_from_home_one_code_is_enough(bench: Bench) -> None:
    """Where one enrolled, and where one has verified for a day."""
    assert change.replace_recovery_codes(bench.desk, bench.alice, bench.code(), bench.now)
    bench.later(60)
    away = thief(bench)
    verify(bench.desk, away, bench.code(), bench.now)
    bench.later(KNOWN_AFTER_SECONDS - 1)
    with pytest.raises(SecondCodeWanted):
        change.replace_recovery_codes(bench.desk, away, bench.code(), bench.now)
    bench.later(SECOND_CODE_SECONDS + 1)
    assert change.replace_recovery_codes(bench.desk, away, bench.code(), bench.now), (
        "a day after the first time"
    )


def test_the_second_code_comes_soon_and_by_the_same_key(bench: Bench) -> None:
    """A first code does not wait for ever, and is not another key's."""
    other = Person("alice", ssh_key(key_of(7).fingerprint), STRANGE)
    with bench.desk.store.writing() as tx:
        bench.add_key(tx, other, 7)
    with pytest.raises(SecondCodeWanted):
        change.replace_recovery_codes(bench.desk, thief(bench), bench.code(), bench.now)
    bench.later(30)
    with pytest.raises(SecondCodeWanted):
        change.replace_recovery_codes(bench.desk, other, bench.code(), bench.now)
    bench.later(SECOND_CODE_SECONDS)
    assert change.replace_recovery_codes(bench.desk, other, bench.code(), bench.now), "the last second counts"
    bench.later(SECOND_CODE_SECONDS + 30)
    with pytest.raises(SecondCodeWanted):
        change.replace_recovery_codes(bench.desk, thief(bench), bench.code(), bench.now)


def test_a_verification_a_moment_ago_is_the_first_of_two(bench: Bench) -> None:
    """`2fa verify`, then the change: that is two codes, one after the other."""
    verify(bench.desk, thief(bench), bench.code(), bench.now)
    bench.later(30)
    assert change.replace_recovery_codes(bench.desk, thief(bench), bench.code(), bench.now)


def test_a_fresh_session_from_a_strange_network_switches_nothing_off(bench: Bench) -> None:
    """At home a fresh verification stands for the code of `always off`; elsewhere a code is asked for besides."""
    with bench.desk.store.writing() as tx:
        tx.set_always("alice", on=True)
    verify(bench.desk, thief(bench), bench.code(), bench.now)
    with pytest.raises(change.ProofWanted):
        change.set_always(bench.desk, thief(bench), bench.now, None, on=False)
    verify(bench.desk, bench.alice, bench.code(1), bench.now)
    assert change.set_always(bench.desk, bench.alice, bench.now, None, on=False)


def test_a_lost_phone_needs_one_recovery_code(bench: Bench) -> None:
    """Spent in `2fa enroll` it is enough by itself, wherever its owner is; for anything else it is one code."""
    first, second = change.replace_recovery_codes(bench.desk, bench.alice, bench.code(), bench.now)[:2]
    with pytest.raises(SecondCodeWanted):
        change.remove(bench.desk, thief(bench), first.encode(), bench.now)
    bench.later(SECOND_CODE_SECONDS + 1)
    assert enrolment.establish(bench.desk, thief(bench), second.encode(), bench.now).kind == "factor"


def test_what_changed_is_told_once_to_whoever_did_not_do_it(bench: Bench) -> None:
    """By another key, or by this one elsewhere; not to who changed it, not twice, and not after a month."""
    away = thief(bench)
    change.replace_recovery_codes(bench.desk, bench.alice, bench.code(), bench.now)
    bench.later(30)
    assert verify(bench.desk, bench.alice, bench.code(), bench.now).proof.changes == ()
    bench.later(30)
    (told,) = verify(bench.desk, away, bench.code(), bench.now).proof.changes
    assert (told.event, told.credential, told.address) == (
        "recovery-codes-replaced",
        bench.alice.credential.text,
        "192.0.2.1",
    )
    bench.later(30)
    assert verify(bench.desk, away, bench.code(), bench.now).proof.changes == ()
    bench.later(30)
    change.set_always(bench.desk, bench.alice, bench.now, bench.code(), on=True)
    bench.later(30)
    change.set_always(bench.desk, bench.alice, bench.now, bench.code(), on=False)
    bench.later(TOLD_SECONDS + 1)
    assert verify(bench.desk, away, bench.code(), bench.now).proof.changes == ()


def test_the_code_that_has_just_verified_is_no_failure(bench: Bench) -> None:
    """Sent twice by the same key it is refused and not charged; by another key, or a minute later, it is a failure."""
    code = bench.code()
    verify(bench.desk, bench.alice, code, bench.now)

    def failures() -> int:
        with bench.desk.store.reading() as tx:
            return len(tx.failures("alice", 0))

    with pytest.raises(Refusal) as refused:
        verify(bench.desk, bench.alice, code, bench.now)
    assert refused.value.reason == "code-rejected"
    assert failures() == 0
    with pytest.raises(Refusal):
        verify(bench.desk, thief(bench), code, bench.now)
    assert failures() == 1
    bench.later(61)
    with pytest.raises(Refusal):
        verify(bench.desk, bench.alice, code, bench.now)
    assert failures() == 2
