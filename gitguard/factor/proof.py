"""Prove a second factor and do what it allows, in one transaction.

This is the heart of the promise. MUST: checking a code, advancing the watermark (or burning the recovery
code), clearing the failure count, the change that the proof allows and its audit records are one
transaction; a failure is charged and committed before its answer is given; whatever cannot be recorded
proves nothing. `prove` returns what the change returned, or raises; there is no boolean to forget.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from msgspec.structs import replace

from gitguard.factor.attempt import Attempt, Proof
from gitguard.factor.authenticator import REPEATED, check_totp
from gitguard.factor.changes import TOLD_SECONDS, note_change, rejected
from gitguard.factor.code import read_code
from gitguard.factor.context import ProofContext
from gitguard.factor.guessing import charge, check_throttle, record_throttled
from gitguard.factor.known_networks import is_known_network
from gitguard.factor.person import Person, record
from gitguard.factor.recovery import check_recovery_code
from gitguard.message.moments import duration
from gitguard.message.reasons import Refusal
from gitguard.session.methods import RECOVERY_CODE
from gitguard.session.moment import CLOCK_BACK_SECONDS, Moment
from gitguard.session.scope import network_of, scope_of
from gitguard.store import two_clocks
from gitguard.store.contract import Reading, Writing
from gitguard.store.rows import Session

# Kind of what is presented -> what checks it: it consumes what it accepts; what it
# refuses is still to be charged.
CHECKS = {"totp": check_totp, "recovery": check_recovery_code}
SECOND_CODE_SECONDS = 180  # between the two codes; an app shows another one every half minute

T = TypeVar("T")


class SecondCodeWanted(Exception):  # noqa: N818 - a question, not an error
    """The first of two codes was right: ask for another one, and call again with it."""


class Lasting(Enum):
    """What a proof allows: does it outlive a session, so that one phished code must not be
    enough from a strange network?
    """

    NO = "no"
    YES = "yes"
    BUT_FOR_RECOVERY = "but for recovery"  # a recovery code is enough by itself: the phone is lost


def prove(
    context: ProofContext,
    person: Person,
    attempt: Attempt,
    moment: Moment,
    change: Callable[[Writing, Proof], T],
    lasting: Lasting = Lasting.NO,
    *,
    only_own: bool = False,
) -> T:
    """Check `attempt` as a code of `person` and, if it is right, apply `change` in the same transaction.

    From a network that is not known a `lasting` change takes two codes, one after the other: the first is
    used up and raises SecondCodeWanted. Raises Refusal: `not-a-code` (costs nothing), `enrolment-required`,
    `throttled` (with `retry_at`; the code is neither compared nor burned), `code-rejected` (charged), and
    whatever `check_person` raises. `only_own`: the change touches nothing but what is this person's, so that
    other people need not wait for it.
    """
    store = context.store
    with store.reading() as asked:  # who is refused anyway keeps nobody waiting who changes something
        check_person(asked, person)
        if asked.has_factor(person.user):
            check_throttle(context, asked, person, moment)
    with store.writing_for(person.user) if only_own else store.writing() as tx:
        context = context.renewed()
        check_person(tx, person)
        factor = tx.totp_of(person.user)
        if factor is None:
            raise Refusal("enrolment-required")
        code = read_code(attempt.typed, factor.digits)
        if code.kind == "recovery" and context.settings.second_factor.recovery_codes == 0:
            raise Refusal(
                "not-available", text="recovery codes are switched off on this server; nothing was counted"
            )
        check_clock(tx, moment)
        was_charged = check_throttle(context, tx, person, moment)
        answer = CHECKS[code.kind](context, tx, person, code, factor, moment)
        if isinstance(answer, Refusal):
            if answer.detail != REPEATED:
                charge(tx, person, moment)
                record_throttled(context, tx, person, moment)
        elif enough := _is_enough(context, tx, person, moment, answer, lasting):
            result = change(tx, _succeeded(tx, person, moment, answer, was_charged=was_charged))
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
    """Whether one code is enough, or this is the second of two. Source of the rule: a code
    that was phished is one code.
    """
    if lasting is Lasting.NO or is_known_network(tx, person, moment):
        return True
    if lasting is Lasting.BUT_FOR_RECOVERY and proof.method == RECOVERY_CODE:
        return True
    first_at = tx.first_code(person.user, _place_of(person))
    if first_at is not None and 0 <= moment.at - first_at <= SECOND_CODE_SECONDS:
        tx.drop_first_code(person.user, _place_of(person))
        return True
    scope = scope_of(context.settings.session.scope, person.credential, person.address)
    session = tx.session(person.user, scope) if scope is not None else None
    if session is None or session.scope != "address":
        return False  # of a wider one it is not known who opened it, and where
    by_code = session.how.by_code
    return by_code and 0 <= moment.age_of(session.verified) <= SECOND_CODE_SECONDS


def _place_of(person: Person) -> str:
    """Which credential, in which network: both codes come from there, or the owner's one
    would be the first of a thief's.
    """
    return f"{person.credential.text} {network_of(person.address) or '-'}"


def _succeeded(tx: Writing, person: Person, moment: Moment, proof: Proof, *, was_charged: bool) -> Proof:
    """What a right code clears, and what the owner is to be told with it."""
    network = network_of(person.address)
    if network is not None:
        if not tx.has_verified_from(person.user, network) and tx.has_verified_anywhere(person.user):
            record(tx, "new-network", person, moment, network=network)
        if was_charged:
            tx.forget_guesses(person.user, network)
        tx.note_network(person.user, network, moment.at)
    if was_charged:
        tx.clear_short_failures(person.user, person.budget_key)
    tx.set_near_miss(person.user, person.budget_key, None)
    changes = tx.untold_changes(person.user, person.budget_key, network or "", moment.at - TOLD_SECONDS)
    return replace(proof, rejected=rejected(tx, person, moment), changes=tuple(changes))


def check_person(tx: Reading, person: Person) -> None:
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
    """The clock is not behind the store's records, nor apart from the clock of a store on another machine:
    otherwise codes seen long ago would be right again.
    """
    if apart := two_clocks.apart(tx.ahead_seconds):
        raise Refusal("code-rejected", "clocks apart", text=apart, hint=two_clocks.HINT)
    behind = tx.latest_at() - moment.at
    if behind > CLOCK_BACK_SECONDS:
        text = f"the server's clock is {duration(behind)} behind its own records, so no code can be judged"
        raise Refusal(
            "code-rejected", "clock behind", text=text, hint="tell your server admin; nothing was counted"
        )


def open_session(
    context: ProofContext,
    tx: Writing,
    person: Person,
    moment: Moment,
    method: str,
    verified: Moment | None = None,
) -> Session:
    """Open (or restart) the 2FA session that the configured scope allows, with its audit record.

    `verified`: when the factor was proved, if that is not `moment`. Raises Refusal("not-available") if the
    data that the scope needs is missing: scope never widens.
    """
    scope = scope_of(context.settings.session.scope, person.credential, person.address)
    if scope is None:
        text = "no session: the client's address is not known, and sessions here are bound to it"
        if person.credential.kind == "web":
            text = "the address of your browser is not known here, and sessions are bound to it; tell your server admin ([web] trusted_proxies)"
        raise Refusal("not-available", "scope data missing", text=text)
    session = tx.put_session(person.user, scope, verified or moment, method)
    record(tx, "session-opened", person, moment, session=session.id, scope=session.scope, method=method)
    return session
