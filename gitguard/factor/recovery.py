"""Recovery codes: the person's own, whichever factors they have. They stand for all, and go with the last."""

from __future__ import annotations

from gitguard.factor.attempt import Proof
from gitguard.factor.code import Code
from gitguard.factor.context import ProofContext
from gitguard.factor.guessing import rejected_code
from gitguard.factor.person import Person, record
from gitguard.message.reasons import Refusal
from gitguard.session.methods import RECOVERY_CODE
from gitguard.session.moment import Moment
from gitguard.store.contract import Writing
from gitguard.store.rows import TotpFactor


def check_recovery_code(
    context: ProofContext, tx: Writing, person: Person, code: Code, factor: TotpFactor, moment: Moment
) -> Proof | Refusal:
    """The proof of a code that was not used, which is burned by it; or the refusal."""
    digest = context.keyring.digest("recovery", person.user, code.text)
    if not tx.burn_recovery_code(person.user, digest, moment.at):
        return rejected_code(tx, person, moment, RECOVERY_CODE)
    left = tx.recovery_codes_left(person.user)
    record(tx, "recovery-code-burned", person, moment, left=left)
    return Proof(RECOVERY_CODE, factor.enrolment, left, moment)


def put_recovery_codes(context: ProofContext, tx: Writing, user: str, codes: tuple[str, ...]) -> None:
    """Keep `codes` as hashes, in place of any before them."""
    tx.put_recovery_codes(user, [context.keyring.digest("recovery", user, code) for code in codes])


def void_recovery_codes_if_off(context: ProofContext, at: int, actor: str) -> None:
    """Recovery codes that are switched off stop working for good, even if
    switched on again. For entry points.
    """
    if context.settings.second_factor.recovery_codes:
        return
    with context.store.reading() as tx:
        issued = tx.recovery_codes_issued()
    if issued:
        with context.store.writing() as tx:
            tx.record("recovery-codes-voided", at, actor, count=tx.void_recovery_codes())


def drop_factors(tx: Writing, user: str) -> bool:
    """Remove every second factor of `user`, and the recovery codes with the last; whether there was any."""
    tx.drop_recovery_codes(user)
    return tx.drop_totp(user)
