"""One phished code changes nothing that lasts: two codes from a strange network, and the
owner is told of what changed.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from gitguard.action import steps
from gitguard.factor import change, enrolment
from gitguard.factor.changes import TOLD_SECONDS
from gitguard.factor.known_networks import KNOWN_AFTER_SECONDS
from gitguard.factor.person import Person
from gitguard.factor.proof import SECOND_CODE_SECONDS, SecondCodeWanted
from gitguard.factor.verification import verify
from gitguard.message.reasons import Refusal
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment
from tests.conftest import NOW, Bench, key_of

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
    "enrol again": lambda b, p, code: enrolment.authorize_enrolment(b.desk, p, code, b.now),
}


@pytest.mark.parametrize("what", LASTING)
def test_a_change_that_lasts_takes_two_codes_from_a_strange_network(bench: Bench, what: str) -> None:
    """The first is used up and changes nothing; the next one, soon enough, does
    it; from home one is enough.
    """
    with bench.desk.store.writing() as tx:
        tx.set_always("alice", on=True)
    before = codes_left(bench)
    with pytest.raises(SecondCodeWanted):
        LASTING[what](bench, thief(bench), bench.code())
    with bench.desk.store.reading() as tx:
        user = tx.user("alice")
        assert user is not None
        assert user.always
        assert tx.has_factor("alice")
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
    """At home a fresh verification stands for the code of `always off`; elsewhere
    a code is asked for besides.
    """
    with bench.desk.store.writing() as tx:
        tx.set_always("alice", on=True)
    verify(bench.desk, thief(bench), bench.code(), bench.now)
    with pytest.raises(change.ProofWanted):
        change.set_always(bench.desk, thief(bench), bench.now, None, on=False)
    verify(bench.desk, bench.alice, bench.code(1), bench.now)
    assert change.set_always(bench.desk, bench.alice, bench.now, None, on=False)


def test_a_lost_phone_needs_one_recovery_code(bench: Bench) -> None:
    """Spent in `2fa enroll` it is enough by itself, wherever its owner is; for
    anything else it is one code.
    """
    first, second = change.replace_recovery_codes(bench.desk, bench.alice, bench.code(), bench.now)[:2]
    with pytest.raises(SecondCodeWanted):
        change.remove(bench.desk, thief(bench), first.encode(), bench.now)
    bench.later(SECOND_CODE_SECONDS + 1)
    assert (
        enrolment.authorize_enrolment(bench.desk, thief(bench), second.encode(), bench.now).kind == "factor"
    )


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
    """Sent twice by the same key it is refused and not charged; by another key, or a
    minute later, it is a failure.
    """
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


@pytest.mark.parametrize("scope", ["user", "key"])
def test_the_owners_own_verification_is_no_first_code_of_a_thief(bench: Bench, scope: str) -> None:
    """ATTACK: sessions count for a key or a user wherever they are; a thief phishes one code
    right behind the owner's own.

    EXPECTED: it takes two codes of theirs all the same, from one network.
    """
    bench.set(session=msgspec.structs.replace(bench.desk.settings.session, scope=scope))
    verify(bench.desk, bench.alice, bench.code(), bench.now)
    bench.later(30)
    with pytest.raises(SecondCodeWanted):
        change.replace_recovery_codes(bench.desk, thief(bench), bench.code(), bench.now)


def test_the_first_code_is_of_one_network(bench: Bench) -> None:
    """ATTACK: the owner, travelling, gave a first code; a thief with the same key elsewhere phishes one.
    EXPECTED: it is a first one.
    """
    travelling = replace(bench.alice, address="198.51.100.7")
    with pytest.raises(SecondCodeWanted):
        change.replace_recovery_codes(bench.desk, travelling, bench.code(), bench.now)
    bench.later(30)
    with pytest.raises(SecondCodeWanted):
        change.replace_recovery_codes(bench.desk, thief(bench), bench.code(), bench.now)


def test_a_first_code_is_told_to_the_owner(bench: Bench) -> None:
    """Someone had a code of theirs, and wanted to change something with it."""
    with pytest.raises(SecondCodeWanted):
        change.remove(bench.desk, thief(bench), bench.code(), bench.now)
    bench.later(30)
    (told,) = verify(bench.desk, bench.alice, bench.code(), bench.now).proof.changes
    assert (told.event, told.address) == ("first-code", STRANGE)


def test_a_thief_does_not_take_away_what_the_owner_is_told(bench: Bench) -> None:
    """ATTACK: verify once from elsewhere, so that the owner hears of no wrong code.
    EXPECTED: only home forgets them.
    """
    with pytest.raises(Refusal):
        verify(bench.desk, thief(bench), bench.wrong(), bench.now)
    verify(bench.desk, thief(bench), bench.code(), bench.now)
    bench.later(30)
    first = verify(bench.desk, bench.alice, bench.code(), bench.now).proof.rejected
    assert first is not None
    assert first.failures == 1
    bench.later(30)
    assert verify(bench.desk, bench.alice, bench.code(), bench.now).proof.rejected is None


def test_who_is_never_at_home_is_not_told_for_ever(bench: Bench) -> None:
    """Someone with a new address each day hears of a wrong code for a week."""
    with pytest.raises(Refusal):
        verify(bench.desk, thief(bench), bench.wrong(), bench.now)
    for day, is_told in ((1, True), (6, True), (8, False)):
        elsewhere = replace(bench.alice, address=f"198.51.100.{day}")
        bench.now = Moment(NOW + day * 86400, bench.now.boot, bench.now.boot_seconds + day * 86400)
        rejected = verify(bench.desk, elsewhere, bench.code(), bench.now).proof.rejected
        assert (rejected is not None) == is_told


def test_what_is_not_shown_is_not_told(bench: Bench) -> None:
    """A code for a change shows no list of changes, so the next verification still does."""
    change.replace_recovery_codes(bench.desk, bench.alice, bench.code(), bench.now)
    with bench.desk.store.writing() as tx:
        tx.note_network("alice", STRANGE, bench.now.at - KNOWN_AFTER_SECONDS)
    bench.later(30)
    change.set_always(bench.desk, thief(bench), bench.now, bench.code(), on=True)
    bench.later(30)
    assert [one.event for one in verify(bench.desk, thief(bench), bench.code(), bench.now).proof.changes] == [
        "recovery-codes-replaced"
    ]


def test_after_a_reset_no_network_is_known(bench: Bench) -> None:
    """ATTACK: a thief's network has been known for a day; the admin resets the factor.
    EXPECTED: two codes from there again.
    """
    away = thief(bench)
    verify(bench.desk, away, bench.code(), bench.now)
    bench.later(KNOWN_AFTER_SECONDS)
    with bench.desk.store.writing() as tx:
        steps.reset_factor(tx, bench.desk.keyring, "alice", bench.now.at, "admin")
        bench.enrol(tx, "alice")
    with pytest.raises(SecondCodeWanted):
        change.replace_recovery_codes(bench.desk, away, bench.code(), bench.now)


def test_a_repeated_code_is_free_once(bench: Bench) -> None:
    """The second click is; whoever continues sending it fills no log for nothing."""
    code = bench.code()
    verify(bench.desk, bench.alice, code, bench.now)
    for expected in (0, 1, 2):
        with pytest.raises(Refusal):
            verify(bench.desk, bench.alice, code, bench.now)
        with bench.desk.store.reading() as tx:
            assert len(tx.failures("alice", 0)) == expected
