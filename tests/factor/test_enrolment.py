"""Two-phase enrolment: who may, what is stored when, and who wins a race."""

from __future__ import annotations

import pytest

from gitguard.action import steps
from gitguard.config.schema import SecondFactor, SessionTable
from gitguard.factor import change, enrolment
from gitguard.factor.person import Person
from gitguard.factor.verification import verify
from gitguard.message.reasons import Refusal
from tests.conftest import NOW, Bench


@pytest.fixture
def bob(bench: Bench) -> Person:
    """A user with a key who was never enrolled."""
    person = bench.person("bob", 2)
    with bench.desk.store.writing() as tx:
        tx.add_user("bob", NOW)
        bench.add_key(tx, person, 2)
    return person


def invite(bench: Bench, user: str) -> bytes:
    """A fresh invite from the admin."""
    with bench.desk.store.writing() as tx:
        return steps.new_invite(tx, bench.desk.keyring, user, bench.now.at, "test").encode()


def answer(bench: Bench, pending: enrolment.PendingEnrolment, offset: int = 0) -> bytes:
    """The code that the new app shows."""
    return pending.parameters.code(pending.parameters.step(bench.now.at) + offset).encode()


def begin(bench: Bench, person: Person, given: bytes | None) -> enrolment.PendingEnrolment:
    """Authorize, and show."""
    authorization = enrolment.authorize_enrolment(bench.desk, person, given, bench.now)
    return enrolment.begin(bench.desk, person, authorization, bench.now)


def reason(call: object, *arguments: object) -> str:
    """The reason that a call is refused with."""
    with pytest.raises(Refusal) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.reason


def test_nothing_is_stored_until_a_code_confirms(bench: Bench, bob: Person) -> None:
    """A secret that was only shown protects and locks nothing."""
    begin(bench, bob, invite(bench, "bob"))
    with bench.desk.store.reading() as tx:
        assert not tx.has_factor("bob")
        assert tx.invite("bob") is not None, "the invite is used up at confirmation"


def test_confirming_stores_and_opens_a_session(bench: Bench, bob: Person) -> None:
    """The confirming code also opens a session, and cannot be used again."""
    pending = begin(bench, bob, invite(bench, "bob"))
    done = enrolment.confirm(bench.desk, bob, pending, answer(bench, pending), bench.now)
    assert done.session is not None
    assert reason(verify, bench.desk, bob, answer(bench, pending), bench.now) == "code-rejected"
    with bench.desk.store.reading() as tx:
        assert tx.recovery_codes_left("bob") == 6
        assert tx.invite("bob") is None


def test_the_trail_says_on_what_basis_somebody_enrolled(bench: Bench, bob: Person) -> None:
    """By an invite, then by a code of the app before it: the record's keys are
    read by people's own programs.
    """
    enrolment.confirm(
        bench.desk, bob, pending := begin(bench, bob, invite(bench, "bob")), answer(bench, pending), bench.now
    )
    bench.later(60)
    code = answer(bench, pending)
    again = begin(bench, bob, code)
    bench.later(60)
    enrolment.confirm(bench.desk, bob, again, answer(bench, again), bench.now)
    with bench.desk.store.reading() as tx:
        found = [
            one.record
            for one in tx.audit()
            if one.record["event"] == "enrolled" and one.record["user"] == "bob"
        ]
    assert [(one["basis"], one["again"]) for one in found] == [("invite", False), ("factor", True)]


def test_secrets_rest_encrypted(bench: Bench, bob: Person) -> None:
    """The store's file holds neither the secret nor a recovery code in clear."""
    pending = begin(bench, bob, invite(bench, "bob"))
    enrolment.confirm(bench.desk, bob, pending, answer(bench, pending), bench.now)
    data = b"".join(path.read_bytes() for path in bench.folder.glob("gitguard.db*"))
    assert pending.parameters.secret.encode() not in data
    assert not any(code.encode() in data for code in pending.recovery_codes)


def test_a_secret_is_bound_to_its_user(bench: Bench, bob: Person) -> None:
    """ATTACK: someone who writes the store copies their own secret over another's.
    EXPECTED: it does not decrypt.
    """
    bench.backend.meddle(
        "INSERT INTO factors SELECT 'bob', enrolment, secret, cipher_key, digits, period_seconds, algorithm, last_step, enrolled_at FROM factors"
    )
    assert reason(verify, bench.desk, bob, bench.code(), bench.now) == "store-unavailable"


@pytest.mark.parametrize("given", [None, b"", b"123456", b"INV-AAAA", b"INV-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"])
def test_without_an_invite_nobody_enrols(bench: Bench, bob: Person, given: bytes | None) -> None:
    """ATTACK: a key thief enrols before the owner does. EXPECTED: invite-required."""
    assert reason(enrolment.authorize_enrolment, bench.desk, bob, given, bench.now) == "invite-required"


def test_invite_guesses_are_throttled_like_codes(bench: Bench, bob: Person) -> None:
    """Five wrong invites, then the throttle; a right one while throttled is not used up."""
    wrong = b"INV-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"
    right = invite(bench, "bob")
    for _ in range(5):
        assert reason(enrolment.authorize_enrolment, bench.desk, bob, wrong, bench.now) == "invite-required"
    assert reason(enrolment.authorize_enrolment, bench.desk, bob, right, bench.now) == "throttled"
    bench.later(300)
    assert enrolment.authorize_enrolment(bench.desk, bob, right, bench.now).kind == "invite"


def test_an_invite_is_one_users_for_seven_days(bench: Bench, bob: Person) -> None:
    """Another user's invite, and a stale one, are no invites."""
    assert (
        reason(enrolment.authorize_enrolment, bench.desk, bob, invite(bench, "alice"), bench.now)
        == "invite-required"
    )
    token = invite(bench, "bob")
    bench.later(7 * 86400)
    assert reason(enrolment.authorize_enrolment, bench.desk, bob, token, bench.now) == "invite-required"


def test_a_new_invite_voids_the_one_before(bench: Bench, bob: Person) -> None:
    """Only the newest invite works."""
    old, new = invite(bench, "bob"), invite(bench, "bob")
    assert reason(enrolment.authorize_enrolment, bench.desk, bob, old, bench.now) == "invite-required"
    assert enrolment.authorize_enrolment(bench.desk, bob, new, bench.now)


def test_the_first_to_confirm_voids_the_others(bench: Bench, bob: Person) -> None:
    """Two pending enrolments from one invite: one wins."""
    token = invite(bench, "bob")
    first, second = begin(bench, bob, token), begin(bench, bob, token)
    enrolment.confirm(bench.desk, bob, second, answer(bench, second), bench.now)
    assert (
        reason(enrolment.confirm, bench.desk, bob, first, answer(bench, first), bench.now)
        == "invite-required"
    )


def test_open_enrolment_is_first_come(bench: Bench, bob: Person) -> None:
    """`self_enrolment = open`: no invite, and the first to confirm closes the door."""
    bench.set(second_factor=SecondFactor(self_enrolment="open"))
    first, second = begin(bench, bob, None), begin(bench, bob, None)
    enrolment.confirm(bench.desk, bob, first, answer(bench, first), bench.now)
    assert (
        reason(enrolment.confirm, bench.desk, bob, second, answer(bench, second), bench.now)
        == "invite-required"
    )


def test_open_enrolment_is_not_open_twice(bench: Bench) -> None:
    """ATTACK: a key thief polls `2fa enroll` while the admin resets alice. EXPECTED:
    invite-required, even under open.
    """
    bench.set(second_factor=SecondFactor(self_enrolment="open"))
    with bench.desk.store.writing() as tx:
        token = steps.reset_factor(tx, bench.desk.keyring, "alice", bench.now.at, "test")
    assert (
        reason(enrolment.authorize_enrolment, bench.desk, bench.alice, None, bench.now) == "invite-required"
    )
    assert enrolment.authorize_enrolment(bench.desk, bench.alice, token.encode(), bench.now).kind == "invite"


def test_enrolling_again_needs_the_present_factor(bench: Bench) -> None:
    """An enrolled user's key alone shows no new secret; the present code does, and is spent."""
    assert (
        reason(enrolment.authorize_enrolment, bench.desk, bench.alice, None, bench.now) == "invite-required"
    )
    assert (
        reason(enrolment.authorize_enrolment, bench.desk, bench.alice, bench.wrong(), bench.now)
        == "code-rejected"
    )
    verify(bench.desk, bench.alice, bench.code(-1), bench.now)
    pending = begin(bench, bench.alice, bench.code())
    assert reason(verify, bench.desk, bench.alice, bench.code(), bench.now) == "code-rejected"
    done = enrolment.confirm(bench.desk, bench.alice, pending, answer(bench, pending), bench.now)
    assert done.again
    with bench.desk.store.reading() as tx:
        assert [s.id for s in tx.sessions("alice")] == [done.session.id if done.session else 0], (
            "older sessions ended"
        )


def test_a_recovery_code_is_enough_to_enrol_again(bench: Bench) -> None:
    """The phone is lost: one recovery code leads to a new app."""
    code = bench.give_recovery_codes()[0]
    pending = begin(bench, bench.alice, code.encode())
    assert enrolment.confirm(bench.desk, bench.alice, pending, answer(bench, pending), bench.now).again


def test_a_proof_for_an_older_enrolment_is_void(bench: Bench) -> None:
    """Two re-enrolments begun with two codes: the first to confirm invalidates the other."""
    first = begin(bench, bench.alice, bench.code(0))
    second = begin(bench, bench.alice, bench.code(1))
    enrolment.confirm(bench.desk, bench.alice, second, answer(bench, second), bench.now)
    assert (
        reason(enrolment.confirm, bench.desk, bench.alice, first, answer(bench, first), bench.now)
        == "invite-required"
    )


def test_wrong_confirmations_are_not_charged(bench: Bench, bob: Person) -> None:
    """They guard nothing yet."""
    pending = begin(bench, bob, invite(bench, "bob"))
    for _ in range(10):
        assert reason(enrolment.confirm, bench.desk, bob, pending, bench.wrong(), bench.now) in (
            "code-rejected",
            "invite-required",
        )
    with bench.desk.store.reading() as tx:
        assert tx.failures("bob", 0) == []


def test_pending_ends_after_ten_minutes(bench: Bench, bob: Person) -> None:
    """A terminal left open shows a secret that nobody can confirm any more."""
    pending = begin(bench, bob, invite(bench, "bob"))
    bench.later(600)
    assert (
        reason(enrolment.confirm, bench.desk, bob, pending, answer(bench, pending), bench.now)
        == "invite-required"
    )


def test_a_suspended_user_does_not_finish(bench: Bench, bob: Person) -> None:
    """Suspended while the QR code was on the screen."""
    pending = begin(bench, bob, invite(bench, "bob"))
    with bench.desk.store.writing() as tx:
        steps.set_user_state(tx, "bob", "suspended", bench.now.at, "test")
    assert (
        reason(enrolment.confirm, bench.desk, bob, pending, answer(bench, pending), bench.now)
        == "user-suspended"
    )


def test_new_recovery_codes_need_a_code_and_void_the_old(bench: Bench) -> None:
    """A session alone is not enough."""
    old = bench.give_recovery_codes()[0]
    verify(bench.desk, bench.alice, bench.code(-1), bench.now)
    assert (
        reason(change.replace_recovery_codes, bench.desk, bench.alice, bench.wrong(), bench.now)
        == "code-rejected"
    )
    fresh = change.replace_recovery_codes(bench.desk, bench.alice, bench.code(), bench.now)
    assert len(fresh) == 6
    assert reason(verify, bench.desk, bench.alice, old.encode(), bench.now) == "code-rejected"
    assert verify(bench.desk, bench.alice, fresh[0].encode(), bench.now)


def test_removing_needs_a_code_and_ends_everything(bench: Bench) -> None:
    """Afterwards coming back needs an invite, whatever self_enrolment says."""
    bench.set(second_factor=SecondFactor(self_enrolment="open"))
    verify(bench.desk, bench.alice, bench.code(-1), bench.now)
    assert reason(change.remove, bench.desk, bench.alice, bench.wrong(), bench.now) == "code-rejected"
    change.remove(bench.desk, bench.alice, bench.code(), bench.now)
    with bench.desk.store.reading() as tx:
        assert not tx.has_factor("alice")
        assert tx.sessions("alice") == []
    assert (
        reason(enrolment.authorize_enrolment, bench.desk, bench.alice, None, bench.now) == "invite-required"
    )


def test_a_proof_inside_another_command_opens_no_session(bench: Bench) -> None:
    """Replacing recovery codes does not verify on the side."""
    change.replace_recovery_codes(bench.desk, bench.alice, bench.code(), bench.now)
    with bench.desk.store.reading() as tx:
        assert tx.sessions("alice") == []


def always_off(bench: Bench, person: Person | None = None, typed: bytes | None = None) -> bool:
    """Switch `always` off with what session there is, or with a code."""
    return change.set_always(bench.desk, person or bench.alice, bench.now, typed, on=False)


def test_a_fresh_session_stands_in_for_a_code_only_for_five_minutes(bench: Bench) -> None:
    """`always off` and toggles: a verification in scope of at most five minutes also
    counts; otherwise a code is wanted.
    """
    verify(bench.desk, bench.alice, bench.code(), bench.now)
    bench.later(300)
    always_off(bench)
    bench.later(1)
    with pytest.raises(change.ProofWanted):
        always_off(bench)
    with pytest.raises(Refusal) as caught:
        always_off(bench, typed=bench.wrong())
    assert caught.value.reason == "code-rejected"
    with pytest.raises(change.ProofWanted):
        always_off(bench, bench.person("alice", 1, "198.51.100.9"))


def test_what_reaches_other_keys_needs_more_than_this_one(bench: Bench) -> None:
    """ATTACK: a thief with the key ends the owner's sessions everywhere, or locks them out by `always on`.

    EXPECTED: both need a live session in scope, or a code; `leave` for this key alone stays free.
    """
    for wanted in (
        lambda typed: change.leave(bench.desk, bench.alice, bench.now, typed, everywhere=True),
        lambda typed: change.set_always(bench.desk, bench.alice, bench.now, typed, on=True),
    ):
        with pytest.raises(change.ProofWanted):
            wanted(None)
        assert reason(wanted, bench.wrong()) == "code-rejected"
    assert change.leave(bench.desk, bench.alice, bench.now, everywhere=False) == []
    verify(bench.desk, bench.alice, bench.code(), bench.now)
    bench.later(3600)
    assert change.set_always(bench.desk, bench.alice, bench.now, None, on=True)
    assert len(change.leave(bench.desk, bench.alice, bench.now, everywhere=True)) == 1


def test_an_admins_session_proves_no_factor(bench: Bench) -> None:
    """ATTACK: the key alone, while an admin's session is open. EXPECTED:
    `always off` still asks for a code.
    """
    with bench.desk.store.writing() as tx:
        tx.put_session("alice", ("address", bench.alice.credential.text, "192.0.2.1"), bench.now, "admin", 60)
    with pytest.raises(change.ProofWanted):
        always_off(bench)


def test_a_session_that_ran_out_is_not_fresh(bench: Bench) -> None:
    """A lifetime of a minute ends the five minutes too."""
    bench.set(session=SessionTable(lifetime=60))  # type: ignore[arg-type]
    verify(bench.desk, bench.alice, bench.code(), bench.now)
    bench.later(60)
    with pytest.raises(change.ProofWanted):
        always_off(bench)
