"""`2fa verify`, which is typed more than all else together: it loads what it needs alone."""

from __future__ import annotations

import contextlib

import click

from gitguard.cli.context import FEW, UserContext, ask_code, more_codes, say_changes, say_session, say_waiting
from gitguard.cli.printing import number
from gitguard.config.rules import policy_of
from gitguard.decision.status import Status, demanded_of, status_of
from gitguard.factor.attempt import Proof
from gitguard.factor.code import read_code
from gitguard.factor.verification import verify as open_by_code
from gitguard.message.moments import day, until
from gitguard.message.reasons import Refusal
from gitguard.session.methods import RECOVERY_CODE
from gitguard.session.moment import Moment, now
from gitguard.session.scope import network_of

OWN_TYPOS = 3  # wrong codes from one's own address that are not worth a word


def verify(
    context: UserContext, code: tuple[str, ...], if_needed: bool, no_prompt: bool, **options: str
) -> int:
    """Open a 2FA session with a code, typed or given; a recovery code only when typed."""
    moment = now()
    with context.installation.store.reading() as tx:
        status = status_of(tx, context.settings, context.person, moment)
    if if_needed and status.hardware_key:
        click.echo("already verified: this hardware key counts by itself, at each connection")
        return 0
    if not status.enrolled:
        raise Refusal(
            "enrolment-required",
            text=f"set up a second factor first: {context.server.ssh('enroll')}",
            hint=invite_hint(context),
        )
    if if_needed and (ends_at := _live_until(context, status, options["for"], moment)) > moment.at:
        click.echo(f"already verified until {until(ends_at, moment.at)}")
        return 0
    typed = (
        " ".join(code).encode("utf-8", "surrogateescape") if code else ask_code(context, aloud=not no_prompt)
    )
    if code:
        refuse_recovery_argument(context, typed)
    moment = now()
    done = open_by_code(context.installation, context.person, typed, moment)
    say_session(context, done.session, moment)
    say_waiting(context, "is continuing")
    _say_rejected(context, done.proof, moment)
    say_changes(done.proof.changes, moment)
    left = done.proof.recovery_codes_left
    used = done.proof.method == RECOVERY_CODE
    if context.settings.second_factor.recovery_codes and (used or left <= FEW):
        click.echo(f"{number(left, 'recovery code')} left" + more_codes(context, left))
    if used:
        click.echo(f"new phone? set it up with: {context.server.ssh('enroll')}")
    return 0


def _say_rejected(context: UserContext, proof: Proof, moment: Moment) -> None:
    """Wrong codes since the last proof: the owner is the one who can tell whether they were their own."""
    rejected = proof.rejected
    if rejected is None:
        return
    here_too = network_of(rejected.last_address) == network_of(context.person.address)
    if here_too and rejected.failures <= OWN_TYPOS:
        return
    where = rejected.last_address or "an unknown address"
    click.echo(
        f"{number(rejected.failures, 'wrong code')} since your last verification, the last from {where} on "
        f"{day(rejected.last_at, moment.at)}; if that was not you, tell your server admin"
    )


def _live_until(context: UserContext, status: Status, repository: str, moment: Moment) -> int:
    """When the live session ends for `repository`, whose lifetime may be shorter; 0 for none."""
    from gitguard.repository.registry import known  # only where a repository is named

    if status.session is None:
        return 0
    lifetime: int = context.settings.session.lifetime
    if repository:
        with context.installation.store.reading() as tx, contextlib.suppress(Refusal):
            row = known(tx, context.settings, repository)
            for operation in ("read", "push"):
                demand = demanded_of(
                    tx,
                    policy_of(context.settings),
                    row,
                    context.person.user,
                    operation,
                    moment,
                    address=context.person.address,
                )
                if demand.lifetime_seconds is not None:
                    lifetime = min(lifetime, demand.lifetime_seconds)
    return moment.at + status.session.freshness(moment).lasts(lifetime)


def invite_hint(context: UserContext) -> str:
    """What enrolling asks for, said before someone starts it."""
    if context.settings.second_factor.self_enrolment == "open":
        return ""
    return "you need the invite that your server admin sent you; none? ask them"


def refuse_recovery_argument(context: UserContext, given: bytes) -> None:
    """A recovery code in the argument list was seen by everyone on the machine: refuse it, unburned."""
    try:
        recovery = read_code(given, context.settings.second_factor.digits).kind == "recovery"
    except Refusal:
        return  # an invite, or nothing at all: judged later
    if recovery:
        raise Refusal(
            "not-a-code",
            text="recovery codes are not accepted as arguments, which other users can see; yours was not used",
            hint="run it without the code and type it when asked",
        )
