"""Enrolment in two phases: show a secret and recovery codes, and store nothing until a code confirms them.

What is pending lives in the process that began it and ends with it. MUST: anyone who was enrolled once enrols
again only with a fresh factor or an invite, whatever `self_enrolment` says; else a thief with the key would
win the race after every reset; the authorization is asked again at confirmation, so the first to confirm
invalidates the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from msgspec import Struct

from gitguard.factor import invite
from gitguard.factor.attempt import Proof, TypedCode
from gitguard.factor.changes import note_change
from gitguard.factor.code import new_recovery_code, read_code
from gitguard.factor.context import ProofContext
from gitguard.factor.guessing import charge, check_throttle
from gitguard.factor.person import Person, record
from gitguard.factor.proof import Lasting, check_clock, check_person, open_session, prove
from gitguard.factor.recovery import put_recovery_codes
from gitguard.factor.totp import Parameters, fitting_steps, new_secret
from gitguard.message.reasons import Refusal
from gitguard.session.methods import ENROLMENT
from gitguard.session.moment import Moment
from gitguard.session.scope import network_of
from gitguard.store.contract import Reading, Writing
from gitguard.store.rows import Session, TotpFactor

PENDING_SECONDS = 600
TRIES = 3


class EnrolmentAuthorization(Struct, frozen=True):
    """Why this person may enrol: `invite` (its hash), `factor` (the enrolment proved), or `open`."""

    kind: str
    value: bytes = b""


class PendingEnrolment(Struct, frozen=True):
    """An enrolment not yet confirmed. `repr` shows no secret."""

    authorization: EnrolmentAuthorization
    parameters: Parameters
    recovery_codes: tuple[str, ...]
    uri: str
    ends_at: int

    def __repr__(self) -> str:
        return f"PendingEnrolment({self.authorization.kind}, ends_at={self.ends_at})"


class Enrolled(Struct, frozen=True):
    """A confirmed enrolment; `session` is None where the scope's data was missing."""

    session: Session | None
    again: bool


def needs_authorization(context: ProofContext, tx: Reading, person: Person) -> bool:
    """Whether an invite or a fresh factor must be given before anything is shown."""
    user = tx.user(person.user)
    if tx.has_factor(person.user) or user is None or user.enrolled_once:
        return True
    if context.settings.is_server_admin(person.user):
        return True  # or a stolen key of one who has not enrolled yet would be the whole server
    return context.settings.second_factor.self_enrolment != "open"


def authorize_enrolment(
    context: ProofContext, person: Person, given: bytes | None, moment: Moment
) -> EnrolmentAuthorization:
    """What authorizes `person` to enrol: `given` is an invite or a code, None where none was typed.

    A right code is spent here; an invite is used up only at confirmation. Raises Refusal: `invite-required`
    (a wrong invite is charged like a wrong code), and whatever `prove` raises.
    """
    token = invite.canonical((given or b"").decode("utf-8", "replace"))
    authorization = None
    with context.store.writing() as tx:
        context = context.renewed()
        check_person(tx, person)
        if not needs_authorization(context, tx, person):
            return EnrolmentAuthorization("open")
        if token is not None:
            authorization = _by_invite(context, tx, person, token, moment)
        elif given is None or not tx.has_factor(person.user):
            garbled = "that is not a whole invite; copy all of it, or ask your server admin for a new one"
            raise Refusal("invite-required", text=garbled if given else "")
    if token is None:
        return _by_factor(context, person, given or b"", moment)
    if authorization is None:
        raise Refusal(
            "invite-required",
            text="that invite is used, expired or mistyped; ask your server admin for a new one",
        )
    return authorization


def _by_invite(
    context: ProofContext, tx: Writing, person: Person, token: str, moment: Moment
) -> EnrolmentAuthorization | None:
    """The authorization of a live invite; None for a wrong one, which is charged.
    Raises Refusal("throttled").
    """
    check_clock(tx, moment)
    check_throttle(context, tx, person, moment)
    stored = invite.fits(tx, context.keyring, person.user, token, moment.at)
    if stored is not None:
        return EnrolmentAuthorization("invite", stored)
    charge(tx, person, moment)
    record(tx, "invite-rejected", person, moment)
    return None


def _by_factor(context: ProofContext, person: Person, typed: bytes, moment: Moment) -> EnrolmentAuthorization:
    """The authorization of the factor that is there, for a right code of it, in a
    transaction of its own. Raises Refusal.
    """

    def change(tx: Writing, proof: Proof) -> EnrolmentAuthorization:
        record(tx, "enrolment-begun", person, moment, method=proof.method)
        return EnrolmentAuthorization("factor", proof.enrolment.encode())

    return prove(context, person, TypedCode(typed), moment, change, Lasting.BUT_FOR_RECOVERY)


def begin(
    context: ProofContext, person: Person, authorization: EnrolmentAuthorization, moment: Moment
) -> PendingEnrolment:
    """A fresh secret and recovery codes to show. Nothing is stored."""
    wanted = context.settings.second_factor
    parameters = Parameters(new_secret(), wanted.digits, wanted.period, wanted.algorithm)
    codes = tuple(new_recovery_code() for _ in range(wanted.recovery_codes))
    uri = parameters.uri(person.user, context.settings.issuer)
    return PendingEnrolment(authorization, parameters, codes, uri, moment.at + PENDING_SECONDS)


def confirm(
    context: ProofContext,
    person: Person,
    pending: PendingEnrolment,
    typed: bytes,
    moment: Moment,
    also: Callable[[Writing], object] = lambda _: None,
) -> Enrolled:
    """Store the pending factor if `typed` is its code; ends all older sessions and opens one.
    `also`: what else it allows.

    A wrong code is not charged: it guards nothing yet. Raises Refusal: `not-a-code`, `code-rejected`,
    `invite-required` if the authorization is gone (used, expired, or someone confirmed first).
    """
    parameters = pending.parameters
    code = read_code(typed, parameters.digits)
    if code.kind != "totp":
        raise Refusal("not-a-code", digits=parameters.digits)
    fits = fitting_steps(parameters, code.text, moment.at)
    if not fits:
        raise Refusal("code-rejected")
    if moment.at >= pending.ends_at:
        raise Refusal("invite-required", text="that took longer than ten minutes; begin again")
    with context.store.writing() as tx:
        context = context.renewed()
        check_person(tx, person)
        check_clock(tx, moment)
        before, user = tx.totp_of(person.user), tx.user(person.user)
        was_enrolled = user is not None and user.enrolled_once
        check_authorization(context, tx, person, pending.authorization, moment)
        _store(context, tx, person, pending, max(fits), moment)
        tx.drop_invite(person.user)
        tx.end_sessions(person.user)
        tx.forget_guesses(person.user)
        tx.forget_rejections(person.user)
        record(tx, "enrolled", person, moment, basis=pending.authorization.kind, again=before is not None)
        if was_enrolled:
            note_change(tx, "enrolled", person, moment)
        network = network_of(person.address)
        if network is not None:
            tx.note_network(person.user, network, moment.at, enrolled=before is None)
        try:
            session = open_session(context, tx, person, moment, ENROLMENT)
        except Refusal:
            session = None  # enrolled all the same; no scope, no session
        also(tx)
        return Enrolled(session, before is not None)


def check_authorization(
    context: ProofContext, tx: Writing, person: Person, authorization: EnrolmentAuthorization, moment: Moment
) -> None:
    """Raises Refusal("invite-required") unless the authorization still stands."""
    factor = tx.totp_of(person.user)
    stored = tx.invite(person.user)
    if authorization.kind == "open":
        good = not needs_authorization(context, tx, person)
    elif authorization.kind == "invite":
        good = stored is not None and stored[0] == authorization.value and stored[1] > moment.at
    else:
        good = factor is not None and factor.enrolment.encode() == authorization.value
    if not good:
        raise Refusal(
            "invite-required",
            text="this enrolment no longer works: its invite was used or replaced, or another one was confirmed first",
        )


def _store(
    context: ProofContext, tx: Writing, person: Person, pending: PendingEnrolment, step: int, moment: Moment
) -> None:
    parameters = pending.parameters
    enrolment = os.urandom(8).hex()
    # Inside the transaction: a rotation since the secret was shown has dropped the key that we began with.
    cipher_key, sealed = context.keyring.renewed().encrypt(person.user, enrolment, parameters.secret)
    tx.put_totp(
        TotpFactor(
            person.user, enrolment, sealed, cipher_key, parameters.digits, parameters.period_seconds,
            parameters.algorithm, step, moment.at,
        )
    )  # fmt: skip
    put_recovery_codes(context, tx, person.user, pending.recovery_codes)
