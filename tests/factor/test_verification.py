"""Codes count once, failures cost, and nothing else opens a session. A real
SQLite store, time as an argument.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gitguard.config.schema import SecondFactor, SessionTable
from gitguard.factor import change
from gitguard.factor.code import new_recovery_code
from gitguard.factor.person import Person
from gitguard.factor.recovery import void_recovery_codes_if_off
from gitguard.factor.verification import verify
from gitguard.message.reasons import Refusal
from gitguard.session.credential import ssh_key
from gitguard.session.moment import CLOCK_BACK_SECONDS, Moment
from tests.conftest import NOW, Bench, key_of


def refused(
    bench: Bench, typed: bytes, person: Person | None = None, moment: Moment | None = None
) -> Refusal:
    """Verify and expect a refusal."""
    with pytest.raises(Refusal) as caught:
        verify(bench.desk, person or bench.alice, typed, moment or bench.now)
    return caught.value


def sessions(bench: Bench) -> int:
    """How many sessions there are."""
    with bench.desk.store.reading() as tx:
        return len(tx.sessions())


def failures(bench: Bench) -> int:
    """How many failures are charged."""
    with bench.desk.store.reading() as tx:
        return len(tx.failures("alice", 0))


def events(bench: Bench) -> list[str]:
    """The audit trail's events, with the cause of a rejection."""
    with bench.desk.store.reading() as tx:
        return [
            f"{r.record['event']}{':' + str(r.record['cause']) if 'cause' in r.record else ''}"
            for r in tx.audit()
        ]


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_the_window_is_one_step_either_side(bench: Bench, offset: int) -> None:
    """The present code, the one before and the one after are accepted."""
    assert verify(bench.desk, bench.alice, bench.code(offset), bench.now).session.user == "alice"


@pytest.mark.parametrize("offset", [-2, 2, -20, 20, 100])
def test_beyond_the_window_nothing_is(bench: Bench, offset: int) -> None:
    """No drift is learned."""
    assert refused(bench, bench.code(offset)).reason == "code-rejected"
    assert sessions(bench) == 0


def test_a_code_counts_once(bench: Bench) -> None:
    """Code(T-1) at T, again, then code(T): ok, refused, ok."""
    verify(bench.desk, bench.alice, bench.code(-1), bench.now)
    assert refused(bench, bench.code(-1)).reason == "code-rejected"
    verify(bench.desk, bench.alice, bench.code(0), bench.now)
    assert "code-rejected:replayed" in events(bench)


def test_the_watermark_is_the_highest_step(bench: Bench) -> None:
    """A at T, B at T+1, then A again in its window: refused. Only the last value kept would let it in."""
    a, b = bench.code(0), bench.code(1)
    verify(bench.desk, bench.alice, a, bench.now)
    bench.later(30)
    verify(bench.desk, bench.alice, b, bench.now)
    assert refused(bench, a).reason == "code-rejected"


def test_a_later_code_voids_the_earlier_ones(bench: Bench) -> None:
    """Using the next step's code spends the present one too."""
    verify(bench.desk, bench.alice, bench.code(1), bench.now)
    assert refused(bench, bench.code(0)).reason == "code-rejected"


def race(bench: Bench, attempts: list[bytes]) -> list[str]:
    """Verify all `attempts` at once, each on a connection of its own; the outcomes."""

    def attempt(typed: bytes) -> str:
        desk = bench.open(bench.desk.settings)
        try:
            verify(desk, bench.alice, typed, bench.now)
        except Refusal as refusal:
            return refusal.reason
        finally:
            desk.store.close()
        return "verified"

    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(attempt, attempts))


def test_fifty_parallel_uses_of_one_code(bench: Bench) -> None:
    """Exactly one success, anyone who comes first."""
    outcomes = race(bench, [bench.code()] * 50)
    assert outcomes.count("verified") == 1
    assert sessions(bench) == 1


def test_fifty_parallel_uses_of_one_recovery_code(bench: Bench) -> None:
    """The same for recovery codes."""
    code = bench.give_recovery_codes()[0].encode()
    outcomes = race(bench, [code] * 50)
    assert outcomes.count("verified") == 1
    with bench.desk.store.reading() as tx:
        assert tx.recovery_codes_left("alice") == 2


def test_parallel_guesses_are_bounded(bench: Bench) -> None:
    """Of many wrong codes at once at most five are compared, all others are throttled."""
    outcomes = race(bench, [bench.wrong()] * 100)
    assert outcomes.count("code-rejected") <= 5
    assert set(outcomes) <= {"code-rejected", "throttled", "store-unavailable"}
    assert failures(bench) <= 5


@pytest.mark.parametrize("typed", [b"12_3456", b"", b"letters", b"12345", b"\0" * 64])
def test_not_a_code_is_not_counted(bench: Bench, typed: bytes) -> None:
    """What is no code is refused as such, and no failure."""
    assert refused(bench, typed).reason == "not-a-code"
    assert failures(bench) == 0


def test_six_wrong_codes_then_the_right_one(bench: Bench) -> None:
    """Five are rejected, the sixth is throttled, and so is the right code, which is not burned."""
    for _ in range(5):
        assert refused(bench, bench.wrong()).reason == "code-rejected"
    throttled = refused(bench, bench.wrong())
    assert (throttled.reason, throttled.facts["retry_at"]) == ("throttled", NOW + 300)
    assert refused(bench, bench.code()).reason == "throttled"
    assert failures(bench) == 5, "throttled attempts are not charged"
    bench.later(300)
    assert verify(bench.desk, bench.alice, bench.code(), bench.now)


def test_a_throttle_is_one_keys(bench: Bench) -> None:
    """Another key of the same user verifies while the first is throttled."""
    other = bench.person("alice", 2)
    with bench.desk.store.writing() as tx:
        bench.add_key(tx, other, 2)
    for _ in range(6):
        refused(bench, bench.wrong())
    assert verify(bench.desk, other, bench.code(), bench.now)


def test_a_success_refills_only_the_shortest_window(bench: Bench) -> None:
    """A victim's daily work does not refill a thief's budget: the hour's still ends it."""
    for turn in range(5):
        if turn:
            bench.later(60)
            verify(bench.desk, bench.alice, bench.code(), bench.now)
        for _ in range(4):
            assert refused(bench, bench.wrong()).reason == "code-rejected"
    throttled = refused(bench, bench.code())
    assert (throttled.reason, throttled.facts["retry_at"]) == ("throttled", NOW + 3600)


def test_the_users_budget_spans_keys(bench: Bench) -> None:
    """A thief with many keys of one user has sixty guesses a day, not fifty times as many."""
    people = [bench.person("alice", number) for number in range(10, 30)]
    with bench.desk.store.writing() as tx:
        for number, person in enumerate(people, 10):
            bench.add_key(tx, person, number)
    reasons = [refused(bench, bench.wrong(), person).reason for person in people for _ in range(5)]
    assert reasons.count("code-rejected") == 60
    assert reasons[60:] == ["throttled"] * 40


def test_recovery_codes_share_the_budget(bench: Bench) -> None:
    """Guessing recovery codes spends the same failures."""
    for _ in range(3):
        refused(bench, new_recovery_code().encode())
    for _ in range(2):
        refused(bench, bench.wrong())
    assert refused(bench, new_recovery_code().encode()).reason == "throttled"


def test_another_users_recovery_code(bench: Bench) -> None:
    """Bob's recovery code on alice's key is refused, and bob's is not burned."""
    bob = bench.person("bob", 2)
    with bench.desk.store.writing() as tx:
        tx.add_user("bob", NOW)
        bench.add_key(tx, bob, 2)
        bench.enrol(tx, "bob")
    code = bench.give_recovery_codes("bob")[0].encode()
    assert refused(bench, code).reason == "code-rejected"
    done = verify(bench.desk, bob, code, bench.now)
    assert (done.proof.method, done.proof.recovery_codes_left) == ("recovery-code", 2)
    assert refused(bench, code, bob).reason == "code-rejected"


def test_recovery_codes_switched_off_are_void(bench: Bench) -> None:
    """0 switches them off, and invalidates those issued for good, also if they are switched on again."""
    code = bench.give_recovery_codes()[0].encode()
    before = bench.desk.settings
    bench.set(second_factor=SecondFactor(recovery_codes=0))
    assert refused(bench, code).reason == "not-available"
    assert failures(bench) == 0, "a feature that is off costs nothing"
    void_recovery_codes_if_off(bench.desk, NOW, "test")
    bench.set(second_factor=before.second_factor)
    assert refused(bench, code).reason == "code-rejected"


def test_a_wrong_clock_is_told_after_two(bench: Bench) -> None:
    """Four minutes fast: like any wrong code; the second, different one says so;
    the first never comes right.
    """
    first, second = bench.code(8), None
    assert refused(bench, first).hint == ""
    bench.later(30)
    second = bench.code(8)
    told = refused(bench, second)
    assert told.reason == "code-rejected"
    assert told.facts["clock"] == "4 minutes fast"
    assert failures(bench) == 2
    bench.later(7 * 30)
    assert refused(bench, first).reason == "code-rejected", "its step is burned"
    assert "code-rejected:burned" in events(bench)


def test_the_same_code_twice_is_no_wrong_clock(bench: Bench) -> None:
    """One fit alone, even repeated, looks like any wrong code."""
    assert refused(bench, bench.code(-8)).hint == ""
    assert refused(bench, bench.code(-8)).hint == ""
    assert refused(bench, bench.code(12)).hint == "", "another difference"
    assert "slow" not in refused(bench, bench.wrong()).hint


def test_a_wrong_code_between_forgets_the_near_miss(bench: Bench) -> None:
    """The two codes must come in a row."""
    refused(bench, bench.code(8))
    refused(bench, bench.wrong())
    bench.later(30)
    assert refused(bench, bench.code(8)).hint == ""


def test_clock_set_back_an_hour(bench: Bench) -> None:
    """An old code that nobody used is not right again when the clock is set back."""
    seen = bench.code(-120)
    verify(bench.desk, bench.alice, bench.code(), bench.now)
    back = Moment(bench.now.at - 3600, "boot", bench.now.boot_seconds + 60)
    refusal = refused(bench, seen, moment=back)
    assert refusal.reason == "code-rejected"
    assert "clock" in refusal.text


def test_no_record_of_a_key_alone_undoes_that(bench: Bench) -> None:
    """ATTACK: the thief writes a record at the earlier time (`2fa leave`, `always
    on`). EXPECTED: still refused.
    """
    seen = bench.code(-120)
    verify(bench.desk, bench.alice, bench.code(), bench.now)
    back = Moment(bench.now.at - 3600, "boot", bench.now.boot_seconds + 60)
    change.leave(bench.desk, bench.alice, back, everywhere=False)
    assert "clock" in refused(bench, seen, moment=back).text
    with bench.desk.store.writing() as tx:
        tx.accept_clock(back.at)
    assert refused(bench, seen, moment=back).text == "", (
        "the admin accepted the clock; the watermark still stands"
    )


def test_clock_set_forward_and_back(bench: Bench) -> None:
    """A code used while the clock was a day ahead leaves a watermark that no older code passes."""
    ahead = Moment(bench.now.at + 86400, "boot", bench.now.boot_seconds)
    verify(bench.desk, bench.alice, bench.parameters.code(ahead.at // 30).encode(), ahead)
    assert refused(bench, bench.code()).reason == "code-rejected"


@pytest.mark.parametrize("state", ["suspended", "removed"])
def test_a_user_who_is_not_active_proves_nothing(bench: Bench, state: str) -> None:
    """The state is asked in the very transaction that would open the session."""
    with bench.desk.store.writing() as tx:
        tx.set_user_state("alice", state)
    assert refused(bench, bench.code()).reason in ("user-suspended", "user-unknown")


def test_a_key_that_was_taken_away_proves_nothing(bench: Bench) -> None:
    """A prompt that was open while the admin removed the key is refused."""
    with bench.desk.store.writing() as tx:
        tx.remove_key(bench.alice.credential.text)
    assert refused(bench, bench.code()).reason == "no-identity"


def test_without_an_address_no_session(bench: Bench) -> None:
    """Scope never widens: the code is not burned for a session that cannot be."""
    nowhere = Person("alice", ssh_key(key_of(1).fingerprint), "")
    assert refused(bench, bench.code(), nowhere).reason == "not-available"
    assert verify(bench.desk, bench.alice, bench.code(), bench.now)


@pytest.mark.parametrize(
    ("scope", "key", "network"), [("address", True, "192.0.2.1"), ("key", True, ""), ("user", False, "")]
)
def test_a_session_binds_what_the_scope_says(bench: Bench, scope: str, key: bool, network: str) -> None:
    """Each scope stores its own data and no more."""
    bench.set(session=SessionTable(scope=scope))  # type: ignore[arg-type]
    session = verify(bench.desk, bench.alice, bench.code(), bench.now).session
    assert (session.scope, session.credential == bench.alice.credential.text, session.network) == (
        scope,
        key,
        network,
    )


def test_verifying_again_restarts_the_same_session(bench: Bench) -> None:
    """One session per scope; its number stays, so a push that it let in continues."""
    first = verify(bench.desk, bench.alice, bench.code(), bench.now).session
    bench.later(60)
    second = verify(bench.desk, bench.alice, bench.code(), bench.now).session
    assert (second.id, second.verified_at) == (first.id, first.verified_at + 60)
    assert sessions(bench) == 1


def test_a_session_number_is_never_used_again(bench: Bench) -> None:
    """A grant names a session; a new one must not inherit an ended one's number."""
    first = verify(bench.desk, bench.alice, bench.code(), bench.now).session
    with bench.desk.store.writing() as tx:
        tx.end_sessions("alice")
    bench.later(60)
    assert verify(bench.desk, bench.alice, bench.code(), bench.now).session.id > first.id


def test_what_cannot_be_recorded_lets_nobody_in(bench: Bench) -> None:
    """If the audit record cannot be written, the code is not burned and no session opens."""
    bench.backend.meddle("ALTER TABLE audit RENAME TO gone")
    assert refused(bench, bench.code()).reason == "store-unavailable"
    assert sessions(bench) == 0
    bench.backend.meddle("ALTER TABLE gone RENAME TO audit")
    with bench.desk.store.reading() as tx:
        assert (factor := tx.totp_of("alice")) is not None
        assert factor.last_step == 0
    assert verify(bench.desk, bench.alice, bench.code(), bench.now)


def test_a_clock_behind_the_records_judges_nothing_from_a_second_on(bench: Bench) -> None:
    """The bound itself is still judged, one second more is not; nothing is charged then."""
    with bench.desk.store.writing() as tx:
        tx.record("noise", bench.now.at + CLOCK_BACK_SECONDS, "test")
    assert verify(bench.desk, bench.alice, bench.code(), bench.now)
    with bench.desk.store.writing() as tx:
        tx.record("noise", bench.now.at + CLOCK_BACK_SECONDS + 1, "test")
    refusal = refused(bench, bench.code(1))
    assert "clock" in refusal.text
    assert failures(bench) == 0


def test_a_burned_recovery_code_is_in_the_trail(bench: Bench) -> None:
    """Who used it, with which key and from where, and how many are left: its owner will want to know."""
    codes = bench.give_recovery_codes()
    verify(bench.desk, bench.alice, codes[0].encode(), bench.now)
    with bench.desk.store.reading() as tx:
        record = next(r.record for r in tx.audit() if r.record["event"] == "recovery-code-burned")
    assert (record["user"], record["key"], record["address"], record["left"]) == (
        "alice", bench.alice.credential.text, bench.alice.address, 2,
    )  # fmt: skip
