"""`2fa verify`, which is typed more than all else together: it loads what it needs alone."""

from __future__ import annotations

import contextlib

import click

from gitguard.cli.here import FEW, Here, ask_code, more_codes, say_changes, say_session, say_waiting
from gitguard.cli.printing import number
from gitguard.config.rules import policy_of
from gitguard.decision.standing import Standing, demanded_of, standing
from gitguard.factor.code import read_code
from gitguard.factor.proof import Proof
from gitguard.factor.verification import verify as open_by_code
from gitguard.message.moments import day, until
from gitguard.message.reasons import Refusal
from gitguard.repository.registry import known
from gitguard.session.moment import Moment, now
from gitguard.session.scope import network_of

OWN_TYPOS = 3  # wrong codes from one's own address that are not worth a word


def verify(here: Here, code: tuple[str, ...], if_needed: bool, no_prompt: bool, **options: str) -> int:
    """Open a 2FA session with a code, typed or given; a recovery code only when typed."""
    moment = now()
    with here.site.store.reading() as tx:
        stand = standing(tx, here.settings, here.person, moment)
    if if_needed and stand.hardware_key:
        click.echo("already verified: this hardware key counts by itself, at each connection")
        return 0
    if not stand.enrolled:
        raise Refusal(
            "enrolment-required",
            text=f"set up a second factor first: {here.server.ssh('enroll')}",
            hint=invite_hint(here),
        )
    if if_needed and (ends_at := _live_until(here, stand, options["for"], moment)) > moment.at:
        click.echo(f"already verified until {until(ends_at, moment.at)}")
        return 0
    typed = " ".join(code).encode("utf-8", "surrogateescape") if code else ask_code(here, aloud=not no_prompt)
    if code:
        refuse_recovery_argument(here, typed)
    moment = now()
    done = open_by_code(here.site, here.person, typed, moment)
    say_session(here, done.session, moment)
    say_waiting(here, "is continuing")
    _say_rejected(here, done.proof, moment)
    say_changes(done.proof.changes, moment)
    left = done.proof.recovery_codes_left
    used = done.proof.method == "recovery-code"
    if here.settings.second_factor.recovery_codes and (used or left <= FEW):
        click.echo(f"{number(left, 'recovery code')} left" + more_codes(here, left))
    if used:
        click.echo(f"new phone? set it up with: {here.server.ssh('enroll')}")
    return 0


def _say_rejected(here: Here, proof: Proof, moment: Moment) -> None:
    """Wrong codes since the last proof: the owner is the one who can tell whether they were their own."""
    rejected = proof.rejected
    if rejected is None:
        return
    here_too = network_of(rejected.last_address) == network_of(here.person.address)
    if here_too and rejected.failures <= OWN_TYPOS:
        return
    where = rejected.last_address or "an unknown address"
    click.echo(
        f"{number(rejected.failures, 'wrong code')} since your last verification, the last from {where} on "
        f"{day(rejected.last_at, moment.at)}; if that was not you, tell your server admin"
    )


def _live_until(here: Here, stand: Standing, repository: str, moment: Moment) -> int:
    """When the live session ends for `repository`, whose lifetime may be shorter than the server's; 0 for none."""
    if stand.session is None:
        return 0
    lifetime: int = here.settings.session.lifetime
    if repository:
        with here.site.store.reading() as tx, contextlib.suppress(Refusal):
            row = known(tx, here.settings, repository)
            for operation in ("read", "push"):
                demand = demanded_of(
                    tx,
                    policy_of(here.settings),
                    row,
                    here.person.user,
                    operation,
                    moment,
                    address=here.person.address,
                )
                if demand.lifetime_seconds is not None:
                    lifetime = min(lifetime, demand.lifetime_seconds)
    return moment.at + stand.session.freshness(moment).lasts(lifetime)


def invite_hint(here: Here) -> str:
    """What enrolling asks for, said before somebody starts it."""
    if here.settings.second_factor.self_enrolment == "open":
        return ""
    return "you need the invite that your server admin sent you; none? ask them"


def refuse_recovery_argument(here: Here, given: bytes) -> None:
    """A recovery code in the argument list was seen by everyone on the machine: refuse it, unburned."""
    try:
        recovery = read_code(given, here.settings.second_factor.digits).kind == "recovery"
    except Refusal:
        return  # an invite, or nothing at all: judged later
    if recovery:
        raise Refusal(
            "not-a-code",
            text="recovery codes are not accepted as arguments, which other users can see; yours was not used",
            hint="run it without the code and type it when asked",
        )
