"""A code of the authenticator app, checked and consumed: replays, wrong clocks, the same code once
more. TOTP itself is totp.py.
"""

from __future__ import annotations

from gitguard.factor.attempt import Proof
from gitguard.factor.code import Code
from gitguard.factor.context import ProofContext
from gitguard.factor.guessing import rejected_code
from gitguard.factor.person import Person, record
from gitguard.factor.totp import CLOCK_SEARCH, WINDOW, Parameters, fitting_steps
from gitguard.message.moments import duration
from gitguard.message.reasons import Refusal
from gitguard.session.methods import TOTP
from gitguard.session.moment import Moment
from gitguard.session.scope import scope_of
from gitguard.store.contract import Writing
from gitguard.store.rows import NearMiss, TotpFactor

REPEATED_SECONDS = 60
REPEATED = "repeated"  # the code that has just verified this very credential


def check_totp(
    context: ProofContext, tx: Writing, person: Person, code: Code, factor: TotpFactor, moment: Moment
) -> Proof | Refusal:
    """The proof of a right code, or the refusal of a wrong, replayed or burned one."""
    secret = context.keyring.decrypt(factor)
    parameters = Parameters(secret, factor.digits, factor.period_seconds, factor.algorithm)
    now = parameters.step(moment.at)
    near = fitting_steps(parameters, code.text, moment.at, CLOCK_SEARCH)
    fits = [step for step in near if abs(step - now) <= WINDOW]
    good = [step for step in fits if step > factor.last_step and not tx.is_burned(person.user, step)]
    if good:
        tx.advance_step(person.user, max(good))
        return Proof(TOTP, factor.enrolment, tx.recovery_codes_left(person.user), moment)
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
        return rejected_code(tx, person, moment, cause)
    return _outside(tx, person, near, now, factor, moment)


def _has_just_verified(
    context: ProofContext,
    tx: Writing,
    person: Person,
    parameters: Parameters,
    step: int,
    factor: TotpFactor,
    moment: Moment,
) -> bool:
    """Whether the code of `step` is what opened this very credential's session, a minute
    ago at most: a form sent twice.
    """
    scope = scope_of(context.settings.session.scope, person.credential, person.address)
    session = tx.session(person.user, scope) if scope is not None else None
    return (
        session is not None
        and session.method == TOTP
        and step == factor.last_step
        and abs(parameters.step(session.verified.at) - step) <= WINDOW
        and 0 <= moment.age_of(session.verified) <= REPEATED_SECONDS
    )


def _outside(
    tx: Writing, person: Person, near: list[int], now: int, factor: TotpFactor, moment: Moment
) -> Refusal:
    """A wrong code; if it fits a wrong clock for the second time in a row, the refusal says so.

    One fit alone looks like any wrong code: otherwise the hint would widen a guesser's window; and the step
    it fits is burned, so that it does not come right when its time has come.
    """
    before = tx.near_miss(person.user, person.budget_key)
    if not near:
        tx.set_near_miss(person.user, person.budget_key, None)
        return rejected_code(tx, person, moment, "wrong")
    step = min(near, key=lambda fit: abs(fit - now))
    difference = step - now
    for fit in near:
        tx.burn_step(person.user, fit)
    tx.set_near_miss(person.user, person.budget_key, NearMiss(step, difference))
    refusal = rejected_code(tx, person, moment, "wrong")
    if before is not None and before.difference == difference and before.step != step:
        about = duration(max(round(abs(difference) * factor.period_seconds / 60), 1) * 60)
        way = "fast" if difference > 0 else "slow"
        return Refusal("code-rejected", refusal.detail, clock=f"{about} {way}")
    return refusal
