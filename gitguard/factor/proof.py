"""Prove a second factor and do what it allows, in one transaction.

This is the heart of the promise. MUST: checking a code, advancing the watermark (or burning the recovery
code), clearing the failure count, the change that the proof allows and its audit records are one
transaction; a failure is charged and committed before its answer is given; whatever cannot be recorded
proves nothing. `prove` returns what the change returned, or raises; there is no boolean to forget.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Self, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from gitguard.config.schema import Settings
from gitguard.factor.changes import TOLD_SECONDS, note_change, rejected
from gitguard.factor.code import Code, read_code
from gitguard.factor.keyring import Keyring
from gitguard.factor.known_networks import is_known_network
from gitguard.factor.person import Person
from gitguard.factor.throttle import longest_window, retry_at
from gitguard.factor.totp import CLOCK_SEARCH, WINDOW, Parameters, fitting_steps
from gitguard.message.moments import duration
from gitguard.message.reasons import Refusal
from gitguard.session.moment import CLOCK_BACK_SECONDS, Moment
from gitguard.session.scope import network_of, scope_of
from gitguard.store.contract import Store, Writing
from gitguard.store.rows import Change, Factor, Guessing, NearMiss, Session

SECOND_CODE_SECONDS = 180  # between the two codes; an app shows another one every half minute
REPEATED_SECONDS = 60
REPEATED = "repeated"  # the code that has just verified this very credential
MANY_USERS = (10, 30, 100, 300, 1000, 3000)  # users with failures within a day, at which the trail says so

T = TypeVar("T")


class Proof(Struct, frozen=True):
    """A second factor was proved. `method` is totp or recovery-code; `rejected`: the wrong codes since the last proof.

    `changes`: what changed since the last proof by this credential from this network, made elsewhere.
    """

    method: str
    enrolment: str
    recovery_codes_left: int
    rejected: Guessing | None = None
    changes: tuple[Change, ...] = ()


class SecondCodeWanted(Exception):  # noqa: N818 - a question, not an error
    """The first of two codes was right: ask for another one, and call again with it."""


class Lasting(Enum):
    """What a proof allows: does it outlive a session, so that one phished code must not be enough from a strange network?"""

    NO = "no"
    YES = "yes"
    BUT_FOR_RECOVERY = "but for recovery"  # a recovery code is enough by itself: the phone is lost


class ProofContext(Struct, frozen=True):
    """What proving and changing a second factor works with: an installation, without its own files.

    `reread` gives the settings as they are now: whoever waited at a prompt continues by today's, not by those that
    held when the prompt appeared.
    """

    store: Store
    keyring: Keyring
    settings: Settings
    reread: Callable[[], Settings] | None = None

    def renewed(self) -> Self:
        """The same with today's settings. Raises Refusal if they cannot be read."""
        return self if self.reread is None else replace(self, settings=self.reread())


def prove(
    context: ProofContext,
    person: Person,
    typed: bytes,
    moment: Moment,
    change: Callable[[Writing, Proof], T],
    lasting: Lasting = Lasting.NO,
) -> T:
    """Check `typed` as a code of `person` and, if it is right, apply `change` in the same transaction.

    From a network that is not known a `lasting` change takes two codes, one after the other: the first is used up and
    raises SecondCodeWanted. Raises Refusal: `not-a-code` (costs nothing), `enrolment-required`, `throttled` (with `retry_at`; the
    code is neither compared nor burned), `code-rejected` (charged), and whatever `check_person` raises.
    """
    with context.store.writing() as tx:
        context = context.renewed()
        check_person(tx, person)
        factor = tx.factor(person.user)
        if factor is None:
            raise Refusal("enrolment-required")
        code = read_code(typed, factor.digits)
        if code.kind == "recovery" and context.settings.second_factor.recovery_codes == 0:
            raise Refusal(
                "not-available", text="recovery codes are switched off on this server; nothing was counted"
            )
        check_clock(tx, moment)
        check_throttle(context, tx, person, moment)
        answer = _compare(context, tx, person, code, factor, moment)
        if isinstance(answer, Refusal):
            if answer.detail != REPEATED:
                charge(tx, person, moment)
                _record_throttled(context, tx, person, moment)
        elif enough := _is_enough(context, tx, person, moment, answer, lasting):
            result = change(tx, _succeeded(tx, person, moment, answer))
        else:
            tx.put_first_code(person.user, _place_of(person), moment.at)
            record(tx, "first-code", person, moment, method=answer.method)
            note_change(tx, "first-code", person, moment)
    if isinstance(answer, Refusal):
        raise answer
    if not enough:
        raise SecondCodeWanted
    return result


def _is_enough(
    context: ProofContext, tx: Writing, person: Person, moment: Moment, proof: Proof, lasting: Lasting
) -> bool:
    """Whether one code is enough, or this is the second of two. Source of the rule: a code that was phished is one code."""
    if lasting is Lasting.NO or is_known_network(tx, person, moment):
        return True
    if lasting is Lasting.BUT_FOR_RECOVERY and proof.method == "recovery-code":
        return True
    first_at = tx.first_code(person.user, _place_of(person))
    if first_at is not None and 0 <= moment.at - first_at <= SECOND_CODE_SECONDS:
        tx.drop_first_code(person.user, _place_of(person))
        return True
    scope = scope_of(context.settings.session.scope, person.credential, person.address)
    session = tx.session(person.user, scope) if scope is not None else None
    if session is None or session.scope != "address":
        return False  # of a wider one it is not known who opened it, and where
    by_code = session.method in ("totp", "recovery-code")
    return by_code and 0 <= moment.age_of(session.verified) <= SECOND_CODE_SECONDS


def _place_of(person: Person) -> str:
    """Which credential, in which network: both codes come from there, or the owner's one would be the first of a thief's."""
    return f"{person.credential.text} {network_of(person.address) or '-'}"


def _succeeded(tx: Writing, person: Person, moment: Moment, proof: Proof) -> Proof:
    """What a right code clears, and what the owner is to be told with it."""
    network = network_of(person.address)
    if network is not None:
        if tx.has_verified_anywhere(person.user) and not tx.has_verified_from(person.user, network):
            record(tx, "new-network", person, moment, network=network)
        tx.forget_guesses(person.user, network)
        tx.note_network(person.user, network, moment.at)
    tx.clear_short_failures(person.user, person.budget_key)
    tx.set_near_miss(person.user, person.budget_key, None)
    changes = tx.untold_changes(person.user, person.budget_key, network or "", moment.at - TOLD_SECONDS)
    return replace(proof, rejected=rejected(tx, person, moment), changes=tuple(changes))


def void_recovery_codes_if_off(context: ProofContext, at: int, actor: str) -> None:
    """Recovery codes switched off no longer work for good, also if they are switched on again. Entry points call it."""
    if context.settings.second_factor.recovery_codes:
        return
    with context.store.reading() as tx:
        issued = tx.recovery_codes_issued()
    if issued:
        with context.store.writing() as tx:
            tx.record("recovery-codes-voided", at, actor, count=tx.void_recovery_codes())


def check_person(tx: Writing, person: Person) -> None:
    """The user is active and the credential is still theirs, as of this transaction. Raises Refusal."""
    user = tx.user(person.user)
    if user is None or user.state == "removed":
        raise Refusal("user-unknown")
    if user.state != "active":
        raise Refusal("user-suspended")
    for credential in (person.credential, person.signed_in_by):
        if credential is not None and tx.owner(credential) != person.user:
            raise Refusal("no-identity")


def check_clock(tx: Writing, moment: Moment) -> None:
    """The clock is not behind the store's own records: or codes that were seen long ago would be right again."""
    behind = tx.latest_at() - moment.at
    if behind > CLOCK_BACK_SECONDS:
        text = f"the server's clock is {duration(behind)} behind its own records, so no code can be judged"
        raise Refusal(
            "code-rejected", "clock behind", text=text, hint="tell your server admin; nothing was counted"
        )


def check_throttle(context: ProofContext, tx: Writing, person: Person, moment: Moment) -> None:
    """Raises Refusal("throttled") while the budget of this credential or user is spent; charges nothing."""
    limits = context.settings.throttle
    failures = tx.failures(person.user, moment.at - longest_window(limits))
    retry = retry_at(failures, person.budget_key, moment.at, limits, unanswered(tx, person))
    if retry is not None:
        raise Refusal("throttled", retry_at=retry)


def _record_throttled(context: ProofContext, tx: Writing, person: Person, moment: Moment) -> None:
    """The failure that was charged just now may have spent the budget: said once, since attempts after it are not charged."""
    try:
        check_throttle(context, tx, person, moment)
    except Refusal as refusal:
        record(tx, "throttled", person, moment, retry_at=refusal.facts["retry_at"])


def unanswered(tx: Writing, person: Person) -> int:
    """Failures that no success from the same network has followed, as they count for an attempt of `person`.

    From a network where the user has verified before, only that network's own count; otherwise a thief elsewhere would
    spend the owner's budget.
    """
    guessing = tx.guessing(person.user)
    network = network_of(person.address) or ""
    if network and tx.has_verified_from(person.user, network):
        guessing = [entry for entry in guessing if entry.network == network]
    return sum(entry.failures for entry in guessing)


def charge(tx: Writing, person: Person, moment: Moment) -> None:
    """One failure on the account of this user and credential, and of the network that it came from."""
    tx.add_failure(person.user, person.budget_key, moment.at)
    day_ago = moment.at - 86400
    before = len(tx.users_guessed_since(day_ago))
    tx.count_guess(person.user, network_of(person.address) or "", person.address, moment.at)
    after = len(tx.users_guessed_since(day_ago))
    if after > before and after in MANY_USERS:
        record(tx, "many-users-guessed", person, moment, users=after)


def _compare(
    context: ProofContext, tx: Writing, person: Person, code: Code, factor: Factor, moment: Moment
) -> Proof | Refusal:
    """The proof, or the refusal that is still to be charged. Consumes what it accepts."""
    if code.kind == "recovery":
        return _recovery(context, tx, person, code, factor, moment)
    return _totp(context, tx, person, code, factor, moment)


def _recovery(
    context: ProofContext, tx: Writing, person: Person, code: Code, factor: Factor, moment: Moment
) -> Proof | Refusal:
    digest = context.keyring.digest("recovery", person.user, code.text)
    if not tx.burn_recovery_code(person.user, digest, moment.at):
        return _rejected(tx, person, moment, "recovery-code")
    left = tx.recovery_codes_left(person.user)
    record(tx, "recovery-code-burned", person, moment, left=left)
    return Proof("recovery-code", factor.enrolment, left)


def _totp(
    context: ProofContext, tx: Writing, person: Person, code: Code, factor: Factor, moment: Moment
) -> Proof | Refusal:
    secret = context.keyring.decrypt(factor)
    parameters = Parameters(secret, factor.digits, factor.period_seconds, factor.algorithm)
    now = parameters.step(moment.at)
    near = fitting_steps(parameters, code.text, moment.at, CLOCK_SEARCH)
    fits = [step for step in near if abs(step - now) <= WINDOW]
    good = [step for step in fits if step > factor.last_step and not tx.is_burned(person.user, step)]
    if good:
        tx.advance_step(person.user, max(good))
        return Proof("totp", factor.enrolment, tx.recovery_codes_left(person.user))
    if fits:
        cause = "replayed" if max(fits) <= factor.last_step else "burned"
        before = tx.near_miss(person.user, person.budget_key)
        again = before is not None and (before.step, before.difference) == (max(fits), 0)
        mine = cause == "replayed" and _has_just_verified(
            context, tx, person, parameters, max(fits), factor, moment
        )
        tx.set_near_miss(person.user, person.budget_key, NearMiss(max(fits), 0) if mine else None)
        if mine and not again:
            # No failure, once; the text is that of any other.
            record(tx, "code-rejected", person, moment, cause=cause)
            return Refusal("code-rejected", REPEATED)
        return _rejected(tx, person, moment, cause)
    return _outside(tx, person, near, now, factor, moment)


def _has_just_verified(
    context: ProofContext,
    tx: Writing,
    person: Person,
    parameters: Parameters,
    step: int,
    factor: Factor,
    moment: Moment,
) -> bool:
    """Whether the code of `step` is what opened this very credential's session, a minute ago at most: a form sent twice."""
    scope = scope_of(context.settings.session.scope, person.credential, person.address)
    session = tx.session(person.user, scope) if scope is not None else None
    return (
        session is not None
        and session.method == "totp"
        and step == factor.last_step
        and abs(parameters.step(session.verified.at) - step) <= WINDOW
        and 0 <= moment.age_of(session.verified) <= REPEATED_SECONDS
    )


def _outside(
    tx: Writing, person: Person, near: list[int], now: int, factor: Factor, moment: Moment
) -> Refusal:
    """A wrong code; if it fits a wrong clock for the second time in a row, the refusal says so.

    One fit alone looks like any wrong code: otherwise the hint would widen a guesser's window; and the step it
    fits is burned, so that it does not come right when its time has come.
    """
    before = tx.near_miss(person.user, person.budget_key)
    if not near:
        tx.set_near_miss(person.user, person.budget_key, None)
        return _rejected(tx, person, moment, "wrong")
    step = min(near, key=lambda fit: abs(fit - now))
    difference = step - now
    for fit in near:
        tx.burn_step(person.user, fit)
    tx.set_near_miss(person.user, person.budget_key, NearMiss(step, difference))
    refusal = _rejected(tx, person, moment, "wrong")
    if before is not None and before.difference == difference and before.step != step:
        about = duration(max(round(abs(difference) * factor.period_seconds / 60), 1) * 60)
        way = "fast" if difference > 0 else "slow"
        return Refusal("code-rejected", refusal.detail, clock=f"{about} {way}")
    return refusal


def _rejected(tx: Writing, person: Person, moment: Moment, cause: str) -> Refusal:
    """One text for wrong, replayed and burned; the audit trail tells them apart."""
    record(tx, "code-rejected", person, moment, cause=cause)
    return Refusal("code-rejected", cause)


def record(tx: Writing, event: str, person: Person, moment: Moment, **details: object) -> None:
    """One audit record of something that `person` did about themselves."""
    tx.record(
        event,
        moment.at,
        person.user,
        user=person.user,
        key=person.credential.text,
        address=person.address,
        **details,
    )


def open_session(context: ProofContext, tx: Writing, person: Person, moment: Moment, method: str) -> Session:
    """Open (or restart) the 2FA session that the configured scope allows, with its audit record.

    Raises Refusal("not-available") if the data that the scope needs is missing: scope never widens.
    """
    scope = scope_of(context.settings.session.scope, person.credential, person.address)
    if scope is None:
        text = "no session: the client's address is not known, and sessions here are bound to it"
        if person.credential.kind == "web":
            text = "the address of your browser is not known here, and sessions are bound to it; tell your server admin ([web] trusted_proxies)"
        raise Refusal("not-available", "scope data missing", text=text)
    session = tx.put_session(person.user, scope, moment, method)
    record(tx, "session-opened", person, moment, session=session.id, scope=session.scope, method=method)
    return session
