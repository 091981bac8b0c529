"""What a person does with their second factor: verify, enrol, leave, new recovery codes, always, remove."""

from __future__ import annotations

import contextlib

import click

from gitguard.action import own
from gitguard.cli.enrolment_view import confirm_pending, show_pending
from gitguard.cli.here import (
    DOING,
    FEW,
    Here,
    ask_code,
    ask_second,
    check_followed,
    more_codes,
    say_changes,
    say_followed,
    say_session,
    say_waiting,
    with_code,
    with_codes,
)
from gitguard.cli.printing import counted, number
from gitguard.cli.prompt import aside, ask
from gitguard.config.rules import policy_of
from gitguard.decision.standing import Standing, demanded_of, remaining, standing
from gitguard.factor import enrolment
from gitguard.factor.change import require_enrolled
from gitguard.factor.code import in_groups, read_code
from gitguard.factor.proof import Proof, SecondCodeWanted
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
            text=f"set up a second factor first: {here.view.ssh('enroll')}",
            hint=invite_hint(here),
        )
    if if_needed and (ends_at := _live_until(here, stand, options["for"], moment)) > moment.at:
        click.echo(f"already verified until {until(ends_at, moment.at)}")
        return 0
    typed = " ".join(code).encode("utf-8", "surrogateescape") if code else ask_code(here, aloud=not no_prompt)
    if code:
        _refuse_recovery_argument(here, typed)
    moment = now()
    done = own.verify(here.site, here.person, typed, moment)
    say_session(here, done.session, moment)
    say_waiting(here, "goes on now")
    _say_rejected(here, done.proof, moment)
    say_changes(done.proof.changes, moment)
    left = done.proof.recovery_codes_left
    used = done.proof.method == "recovery-code"
    if here.settings.second_factor.recovery_codes and (used or left <= FEW):
        click.echo(f"{number(left, 'recovery code')} left" + more_codes(here, left))
    if used:
        click.echo(f"new phone? set it up with: {here.view.ssh('enroll')}")
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


def invite_hint(here: Here) -> str:
    """What enrolling asks for, said before somebody starts it."""
    if here.settings.second_factor.self_enrolment == "open":
        return ""
    return "it asks for the invite that your server admin sent you; if you have none, ask for one"


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
    return moment.at + remaining(stand.session, lifetime, moment)


def enroll(here: Here, invite: str | None, qr: str) -> int:
    """Enrol in two phases: basis, show, confirm."""
    given = invite.encode("utf-8", "surrogateescape") if invite else None
    with here.site.store.reading() as tx:
        enrolled = tx.factor(here.person.user) is not None
        needed = enrolment.needs_basis(here.site.desk, tx, here.person)
    if needed and given is None:
        given = _ask_basis(here, enrolled=enrolled)
    elif given is not None and enrolled:
        _refuse_recovery_argument(here, given)
    elif not needed:
        click.echo(
            "first come, first served: whoever holds this key may enrol it now (self_enrolment is open)",
            err=True,
        )
    try:
        pending = own.begin_enrolment(here.site, here.person, given, now())
    except SecondCodeWanted:
        pending = own.begin_enrolment(here.site, here.person, ask_second(here), now())
    show_pending(here, pending, qr)
    done, followed, moment = confirm_pending(here, pending)
    click.echo(
        "your second factor is set up"
        + (", the one before it and all sessions are void" if done.again else "")
    )
    if done.session is not None:
        say_session(here, done.session, moment)
    else:
        click.echo(
            f"no session was opened, because your address is not known; verify with: {here.view.ssh('verify')}"
        )
    check_followed(followed, "your second factor is set up")
    return 0


def _ask_basis(here: Here, *, enrolled: bool) -> bytes:
    """An invite, or a code where there is a factor already. Raises Refusal("invite-required") when nothing comes."""
    question = (
        "invite, code from your present app, or recovery code: "
        if enrolled
        else "invite from your server admin: "
    )
    try:
        given = ask(question, places=here.places)
    except Refusal as refusal:
        if enrolled:
            raise
        raise Refusal(
            "invite-required", refusal.text, text="no invite was given; ask your server admin for one"
        ) from None
    if not given.strip() and not enrolled:
        raise Refusal("invite-required", text="no invite was given; ask your server admin for one")
    return given


def leave(here: Here, all: bool, key: str) -> int:  # noqa: A002
    """End sessions, and the transfers that ride on them."""
    if all and key:
        raise Refusal("usage", text="--all or --key, not both")
    if all:
        with here.site.store.reading() as tx:
            nothing = tx.factor(here.person.user) is None or not tx.sessions(here.person.user)
        if nothing:
            click.echo("there was no session to end; your SSH access stays")
            return 0
    done = with_code(
        here, lambda typed, moment: own.leave(here.site, here.person, moment, typed, everywhere=all, key=key)
    )
    if done.sessions:
        counted(len(done.sessions), "session", "ended; your SSH access stays")
    else:
        click.echo("there was no session to end; your SSH access stays")
    say_followed(done.followed, rest="that rode on it ended too")
    check_followed(done.followed, "the session has ended")
    return 0


def recovery_codes(here: Here) -> int:
    """Replace the recovery codes, for a code given now."""
    if here.settings.second_factor.recovery_codes == 0:
        raise Refusal("not-available", text="recovery codes are switched off on this server")
    _require_enrolled(here)
    codes = with_codes(
        here, lambda typed, moment: own.replace_recovery_codes(here.site, here.person, typed, moment)
    )
    click.echo("new recovery codes; the old set is void. Keep them where your phone is not:\n")
    for code in codes:
        click.echo(f"    {in_groups(code)}")
    return 0


def always(here: Here, switch: str) -> int:
    """The user's own switch: on needs a session in scope or a code, off a fresh factor."""
    if switch not in ("on", "off"):
        raise Refusal("usage", text=f"always on or always off, not {switch}")
    if not here.settings.account.allow_always:
        raise Refusal("forbidden", text="this server does not offer the switch `always`")
    on = switch == "on"
    changed, followed = with_code(
        here, lambda typed, moment: own.always(here.site, here.person, moment, typed, on=on)
    )
    click.echo(
        f"always is {'now' if changed else 'already'} {switch}"
        + (": 2FA for everything you do" if on else "")
    )
    say_followed(followed)
    check_followed(followed, f"always is {switch}")
    return 0


def remove(here: Here) -> int:
    """Remove the second factor, for a code given now, after saying what that means.

    MUST: names of repositories come after the code: whoever has the key alone learns numbers.
    """
    if not here.settings.account.allow_remove:
        raise Refusal(
            "forbidden",
            text="this server does not let people remove their second factor; ask your server admin",
        )
    _require_enrolled(here)
    closed = own.closed_without_factor(here.site, here.person.user, now())
    aside("after this, coming back needs an invite from your server admin")
    for operation, names in closed.items():
        if names:
            verb = DOING[operation]
            what = number(len(names), "repository", "repositories")
            aside(f"without a second factor, {verb} {what} is refused")
    done = with_codes(here, lambda typed, moment: own.remove(here.site, here.person, typed, moment))
    click.echo("your second factor is removed, and all your sessions have ended")
    for operation, names in closed.items():
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            verb = DOING[operation]
            click.echo(f"{verb} these is refused from now on: {', '.join(names[:5])}{more}")
    say_followed(done.followed)
    check_followed(done.followed, "your second factor is removed")
    return 0


def _refuse_recovery_argument(here: Here, given: bytes) -> None:
    """A recovery code in the argument list was seen by everyone on the machine: refuse it, unburned."""
    try:
        recovery = read_code(given, here.settings.second_factor.digits).kind == "recovery"
    except Refusal:
        return  # an invite, or nothing at all: judged later
    if recovery:
        raise Refusal(
            "not-a-code",
            text="a recovery code is not taken as an argument, because arguments show in process lists; it was not used",
            hint="leave it out; it is asked for at a prompt",
        )


def _require_enrolled(here: Here) -> None:
    with here.site.store.reading() as tx:
        require_enrolled(tx, here.person)
