"""Changing one's own second factor and switches. MUST: a change needs a code given for it, never the key alone.

Tightening (`always on`) needs none; `always off` and a repository's toggle are also satisfied by a
verification in scope of at most `FRESH_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gitguard.factor.code import new_recovery_code
from gitguard.factor.enrolment import put_recovery_codes
from gitguard.factor.proof import Desk, Person, Proof, check_person, prove
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.session.scope import scope_of
from gitguard.store.contract import Reading, Session, Writing

FRESH_SECONDS = 300

T = TypeVar("T")


def require_enrolled(tx: Reading, person: Person) -> None:
    """Raises Refusal("enrolment-required") unless `person` has a second factor."""
    if tx.factor(person.user) is None:
        raise Refusal("enrolment-required")


def with_fresh_factor(
    desk: Desk,
    person: Person,
    now: Callable[[], Moment],
    ask: Callable[[], bytes],
    change: Callable[[Writing, Moment], T],
) -> T:
    """Apply `change` if a verification in scope is at most `FRESH_SECONDS` old, else after asking for a code.

    Either way the check and the change are one transaction. Raises what `prove` raises.
    """
    moment = now()
    with desk.store.writing() as tx:
        check_person(tx, person)
        require_enrolled(tx, person)
        scope = scope_of(desk.settings.session.scope, person.key, person.address)
        session = tx.session(person.user, scope) if scope is not None else None
        if session is not None and _is_fresh(desk, session, moment):
            return change(tx, moment)
    typed = ask()
    moment = now()
    return prove(desk, person, typed, moment, lambda tx, _: change(tx, moment))


def _is_fresh(desk: Desk, session: Session, moment: Moment) -> bool:
    """A live session that a person's own factor opened, at most `FRESH_SECONDS` ago. An admin's proves nothing."""
    age = moment.age_of(session.verified)
    return session.method != "admin" and 0 <= age <= FRESH_SECONDS and age < desk.settings.session.lifetime


def replace_recovery_codes(desk: Desk, person: Person, typed: bytes, moment: Moment) -> tuple[str, ...]:
    """A new set of recovery codes, shown once; the old set is void. Raises what `prove` raises."""

    def change(tx: Writing, proof: Proof) -> tuple[str, ...]:
        codes = tuple(new_recovery_code() for _ in range(desk.settings.second_factor.recovery_codes))
        put_recovery_codes(desk, tx, person.user, codes)
        _record(tx, "recovery-codes-replaced", person, moment, method=proof.method)
        return codes

    return prove(desk, person, typed, moment, change)


def remove(desk: Desk, person: Person, typed: bytes, moment: Moment) -> list[Session]:
    """Remove the second factor, end all sessions, switch `always` off. Raises what `prove` raises."""

    def change(tx: Writing, proof: Proof) -> list[Session]:
        tx.drop_factor(person.user)
        tx.set_always(person.user, on=False)
        ended = tx.end_sessions(person.user)
        _record(tx, "factor-removed", person, moment, method=proof.method)
        return ended

    return prove(desk, person, typed, moment, change)


def set_always(tx: Writing, person: Person, moment: Moment, *, on: bool) -> bool:
    """Set the user's own switch; False if it stood so already."""
    user = tx.user(person.user)
    if user is not None and user.always == on:
        return False
    tx.set_always(person.user, on=on)
    _record(tx, "always-on" if on else "always-off", person, moment)
    return True


def leave(desk: Desk, person: Person, moment: Moment, *, everywhere: bool) -> list[Session]:
    """End the sessions of this key, or of all the user's keys. The sessions that ended."""
    with desk.store.writing() as tx:
        ended = tx.end_sessions(person.user, None if everywhere else person.key)
        if ended:
            _record(tx, "session-left", person, moment, sessions=[session.id for session in ended])
        return ended


def _record(tx: Writing, event: str, person: Person, moment: Moment, **details: object) -> None:
    tx.record(
        event, moment.at, person.user, user=person.user, key=person.key, address=person.address, **details
    )
