"""Changing one's own second factor and switches. MUST: a change needs a code given
for it, never the key alone.

`always off` and a repository's toggle are also satisfied by a verification in scope of at most
`FRESH_SECONDS`; what only tightens, but reaches the owner's other keys (`always on`, `leave --all` and
`--key`), by any live session in scope. Nothing here asks: what needs a code raises ProofWanted, and is called
again with what was typed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gitguard.factor.attempt import Proof, TypedCode
from gitguard.factor.changes import note_change
from gitguard.factor.code import new_recovery_code
from gitguard.factor.context import ProofContext
from gitguard.factor.known_networks import is_known_network
from gitguard.factor.person import Person, record
from gitguard.factor.proof import Lasting, check_person, prove
from gitguard.factor.recovery import drop_factors, put_recovery_codes
from gitguard.message.reasons import Refusal, printable
from gitguard.session.moment import Moment
from gitguard.session.scope import scope_of
from gitguard.store.contract import Reading, Writing
from gitguard.store.rows import Session

FRESH_SECONDS = 300

T = TypeVar("T")


class ProofWanted(Exception):  # noqa: N818 - a question, not an error
    """No verification in scope is good enough: ask for a code, and call again with it."""


def require_enrolled(tx: Reading, person: Person) -> None:
    """Raises Refusal("enrolment-required") unless `person` has a second factor."""
    if not tx.has_factor(person.user):
        raise Refusal("enrolment-required")


def with_proof(
    context: ProofContext,
    person: Person,
    moment: Moment,
    typed: bytes | None,
    change: Callable[[Writing], T],
    *,
    at_most_seconds: int | None = FRESH_SECONDS,
    lasting: Lasting = Lasting.NO,
) -> T:
    """Apply `change` if a verification in scope is at most `at_most_seconds` old (None: live
    at all), or `typed` is right.

    Either way the check and the change are one transaction. Raises ProofWanted where `typed` is None and none
    is, and what `prove` raises.
    """
    if typed is not None:
        return prove(context, person, TypedCode(typed), moment, lambda tx, _: change(tx), lasting)
    with context.store.writing() as tx:
        context = context.renewed()
        check_person(tx, person)
        require_enrolled(tx, person)
        scope = scope_of(context.settings.session.scope, person.credential, person.address)
        session = tx.session(person.user, scope) if scope is not None else None
        strange = lasting is not Lasting.NO and not is_known_network(tx, person, moment)
        if session is None or strange or not _is_good(context, session, moment, at_most_seconds):
            raise ProofWanted
        return change(tx)


def prove_known(context: ProofContext, person: Person, moment: Moment, typed: bytes | None) -> None:
    """Anyone who acts for others, with a fresh factor, does it from a network that is known,
    or gives a second code for it.

    Raises ProofWanted where `typed` is None, and what `prove` raises.
    """
    with context.store.reading() as tx:
        if is_known_network(tx, person, moment):
            return
    if typed is None:
        raise ProofWanted
    prove(context, person, TypedCode(typed), moment, lambda _tx, _proof: None, Lasting.YES)


def _is_good(context: ProofContext, session: Session, moment: Moment, at_most_seconds: int | None) -> bool:
    """A live session that a person's own factor opened, recently enough. An admin's proves nothing."""
    recent = at_most_seconds is None or moment.age_of(session.verified) <= at_most_seconds
    lasts = session.freshness(moment).lasts(context.settings.session.lifetime) > 0
    return session.how.by_factor and lasts and recent


def replace_recovery_codes(
    context: ProofContext, person: Person, typed: bytes, moment: Moment
) -> tuple[str, ...]:
    """A new set of recovery codes, shown once; the old set no longer works. Raises what `prove` raises."""

    def change(tx: Writing, proof: Proof) -> tuple[str, ...]:
        count = context.renewed().settings.second_factor.recovery_codes
        if count == 0:
            raise Refusal("not-available", text="recovery codes are switched off on this server")
        codes = tuple(new_recovery_code() for _ in range(count))
        put_recovery_codes(context, tx, person.user, codes)
        record(tx, "recovery-codes-replaced", person, moment, method=proof.method)
        note_change(tx, "recovery-codes-replaced", person, moment)
        return codes

    return prove(context, person, TypedCode(typed), moment, change, Lasting.YES)


def remove(context: ProofContext, person: Person, typed: bytes, moment: Moment) -> list[Session]:
    """Remove the second factor, end all sessions, switch `always` off. Raises what `prove` raises."""

    def change(tx: Writing, proof: Proof) -> list[Session]:
        if not context.renewed().settings.account.allow_remove:
            text = "this server does not let people remove their second factor; ask your server admin"
            raise Refusal("forbidden", text=text)
        drop_factors(tx, person.user)
        tx.set_always(person.user, on=False)
        ended = tx.end_sessions(person.user)
        record(tx, "factor-removed", person, moment, method=proof.method)
        note_change(tx, "factor-removed", person, moment)
        return ended

    return prove(context, person, TypedCode(typed), moment, change, Lasting.YES)


def set_always(
    context: ProofContext, person: Person, moment: Moment, typed: bytes | None, *, on: bool
) -> bool:
    """Set the user's own switch; False if it stood so already. Raises Refusal, ProofWanted."""

    def change(tx: Writing) -> bool:
        if not context.renewed().settings.account.allow_always:
            raise Refusal("forbidden", text="this server does not offer the switch `always`")
        user = tx.user(person.user)
        if user is not None and user.always == on:
            return False
        tx.set_always(person.user, on=on)
        record(tx, "always-on" if on else "always-off", person, moment)
        if not on:
            note_change(tx, "always-off", person, moment)
        return True

    recent, lasting = (None, Lasting.NO) if on else (FRESH_SECONDS, Lasting.YES)
    return with_proof(context, person, moment, typed, change, at_most_seconds=recent, lasting=lasting)


def leave(
    context: ProofContext,
    person: Person,
    moment: Moment,
    typed: bytes | None = None,
    *,
    everywhere: bool = False,
    key: str = "",
) -> list[Session]:
    """End the sessions of this key, of another `key` of the user's, or of all. The sessions that ended.

    Raises Refusal, ProofWanted: what reaches another key needs more than this one.
    """
    own = person.credential.text

    def change(tx: Writing) -> list[Session]:
        if key and key not in [one.fingerprint for one in tx.keys(person.user)]:
            raise Refusal("usage", text=f"{printable(key, 60)} is not one of your keys", list_with="keys")
        ended = tx.end_sessions(person.user, None if everywhere else key or own)
        if ended:
            record(tx, "session-left", person, moment, sessions=[session.id for session in ended])
        return ended

    if everywhere or key not in ("", own):
        return with_proof(context, person, moment, typed, change, at_most_seconds=None)
    with context.store.writing() as tx:
        return change(tx)
