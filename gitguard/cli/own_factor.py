"""What a person does with their second factor: verify, enrol, leave, new recovery codes, always, remove."""

from __future__ import annotations

import contextlib

import click

from gitguard.account.standing import Standing, remaining, standing
from gitguard.cli.enrolment_view import confirm_pending, show_pending
from gitguard.cli.here import FEW, Here, ask_code, counted, more_codes, say_session
from gitguard.cli.prompt import ask
from gitguard.factor import change, enrolment
from gitguard.factor.code import in_groups, read_code
from gitguard.factor.proof import check_person
from gitguard.factor.verification import verify as open_by_code
from gitguard.message.moments import until
from gitguard.message.reasons import Refusal
from gitguard.policy.requirement import requirement
from gitguard.repository.registry import known
from gitguard.session.moment import Moment, now
from gitguard.store.contract import Writing


def verify(here: Here, code: tuple[str, ...], if_needed: bool, **options: str) -> int:
    """Open a 2FA session with a code, typed or given; a recovery code only when typed."""
    moment = now()
    with here.desk.store.reading() as tx:
        stand = standing(tx, here.settings, here.person, moment)
    if not stand.enrolled:
        raise Refusal("enrolment-required", text=f"set up a second factor first: {here.view.ssh('enroll')}")
    if if_needed and (ends_at := _live_until(here, stand, options["for"], moment)) > moment.at:
        click.echo(f"already verified until {until(ends_at, moment.at)}")
        return 0
    typed = " ".join(code).encode("utf-8", "surrogateescape") if code else ask_code(here)
    if code:
        _refuse_recovery_argument(here, typed)
    moment = now()
    done = open_by_code(here.desk, here.person, typed, moment)
    say_session(here, done.session, moment)
    left = done.proof.recovery_codes_left
    if here.settings.second_factor.recovery_codes and (done.proof.method == "recovery-code" or left <= FEW):
        click.echo(f"{left} recovery codes left" + more_codes(here, left))
    return 0


def _live_until(here: Here, stand: Standing, repository: str, moment: Moment) -> int:
    """When the live session ends for `repository`, whose lifetime may be shorter than the server's; 0 for none."""
    if stand.session is None:
        return 0
    lifetime: int = here.settings.session.lifetime
    if repository:
        with here.desk.store.reading() as tx, contextlib.suppress(Refusal):
            shorter = known(tx, here.settings, repository).lifetime_seconds
            lifetime = min(lifetime, lifetime if shorter is None else shorter)
    return moment.at + remaining(stand.session, lifetime, moment)


def enroll(here: Here, invite: str | None, qr: str) -> int:
    """Enrol in two phases: basis, show, confirm."""
    given = invite.encode("utf-8", "surrogateescape") if invite else None
    with here.desk.store.reading() as tx:
        enrolled = tx.factor(here.person.user) is not None
        needed = enrolment.needs_basis(here.desk, tx, here.person)
    if needed and given is None:
        what = (
            "invite, code from your present app, or recovery code: "
            if enrolled
            else "invite from your server admin: "
        )
        given = ask(what)
    elif given is not None and enrolled:
        _refuse_recovery_argument(here, given)
    elif not needed:
        click.echo(
            "first come, first served: whoever holds this key may enrol it now (self_enrolment is open)",
            err=True,
        )
    basis = enrolment.establish(here.desk, here.person, given, now())
    pending = enrolment.begin(here.desk, here.person, basis, now())
    show_pending(here, pending, qr)
    done, moment = confirm_pending(here, pending)
    here.riding.end(lambda rider: done.again and rider.user == here.person.user)
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
    return 0


def leave(here: Here, all: bool) -> int:  # noqa: A002
    """End sessions, and the transfers that ride on them."""
    ended = change.leave(here.desk, here.person, now(), everywhere=all)
    numbers = {session.id for session in ended}
    count = here.riding.end(
        lambda r: (
            r.session in numbers
            if r.session
            else r.deciding and r.user == here.person.user and (all or r.key == here.person.key)
        )
    )
    if ended:
        counted(len(ended), "session", "ended; your SSH access stays")
    else:
        click.echo("there was no session to end; your SSH access stays")
    if count:
        counted(count, "running transfer", "that rode on it ended too")
    return 0


def recovery_codes(here: Here) -> int:
    """Replace the recovery codes, for a code given now."""
    if here.settings.second_factor.recovery_codes == 0:
        raise Refusal("not-available", text="recovery codes are switched off on this server")
    _require_enrolled(here)
    codes = change.replace_recovery_codes(here.desk, here.person, ask_code(here), now())
    click.echo("new recovery codes; the old set is void. Keep them where your phone is not:\n")
    for code in codes:
        click.echo(f"    {in_groups(code)}")
    return 0


def always(here: Here, switch: str) -> int:
    """The user's own switch; on is free, off needs a fresh factor."""
    if switch not in ("on", "off"):
        raise Refusal("usage", text=f"always on or always off, not {switch}")
    if not here.settings.account.allow_always:
        raise Refusal("forbidden", text="this server does not offer the switch `always`")
    on = switch == "on"

    def set_it(tx: Writing, moment: Moment) -> bool:
        return change.set_always(tx, here.person, moment, on=on)

    if on:
        with here.desk.store.writing() as tx:
            check_person(tx, here.person)
            change.require_enrolled(tx, here.person)
            changed = set_it(tx, now())
        if changed:
            here.riding.end(lambda r: r.user == here.person.user and r.session == 0)
    else:
        changed = change.with_fresh_factor(here.desk, here.person, now, lambda: ask_code(here), set_it)
    click.echo(
        f"always is {'now' if changed else 'already'} {switch}"
        + (": 2FA for everything you do" if on else "")
    )
    return 0


def remove(here: Here) -> int:
    """Remove the second factor, for a code given now, after saying what that means."""
    if not here.settings.account.allow_remove:
        raise Refusal(
            "forbidden",
            text="this server does not let people remove their second factor; ask your server admin",
        )
    _require_enrolled(here)
    click.echo("after this, coming back needs an invite from your server admin", err=True)
    for line in _would_refuse(here):
        click.echo(line, err=True)
    change.remove(here.desk, here.person, ask_code(here), now())
    here.riding.end(lambda rider: rider.user == here.person.user and (rider.session > 0 or rider.deciding))
    click.echo("your second factor is removed, and all your sessions have ended")
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
    with here.desk.store.reading() as tx:
        change.require_enrolled(tx, here.person)


def _would_refuse(here: Here) -> list[str]:
    """What would be closed to a person without a second factor, as lines to read before removing it."""
    settings = here.settings
    with here.desk.store.reading() as tx:
        closed = {
            operation: [
                repository.name
                for repository in tx.repositories()
                if requirement(
                    settings.git.enforcement,
                    settings.session.lifetime,
                    operation,
                    (repository.require, repository.lifetime_seconds),
                ).required
            ]
            for operation in ("read", "push")
        }
    lines = []
    for operation, names in closed.items():
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            verb = "reading" if operation == "read" else "pushing to"
            lines.append(f"without a second factor, {verb} these is refused: {', '.join(names[:5])}{more}")
    return lines
