"""What people do with their second factor besides verifying: enrol, leave, recovery codes, always, remove."""

from __future__ import annotations

import click

from gitguard.action import second_factor
from gitguard.cli.context import (
    DOING,
    UserContext,
    ask_second,
    check_effects,
    say_effects,
    say_session,
    with_code,
    with_codes,
)
from gitguard.cli.own_verify import refuse_recovery_argument
from gitguard.cli.printing import counted, number
from gitguard.cli.prompt import aside, ask
from gitguard.factor import enrolment
from gitguard.factor.change import require_enrolled
from gitguard.factor.code import in_groups
from gitguard.factor.proof import SecondCodeWanted
from gitguard.message.reasons import Refusal, printable
from gitguard.session.moment import now


def enroll(context: UserContext, invite: str | None, qr: str) -> int:
    """Enrol in three phases: authorize, show, confirm."""
    from gitguard.cli.enrolment_view import confirm_pending, show_pending

    given = invite.encode("utf-8", "surrogateescape") if invite else None
    with context.installation.store.reading() as tx:
        enrolled = tx.has_factor(context.person.user)
        needed = enrolment.needs_authorization(context.installation, tx, context.person)
    if needed and given is None:
        given = _ask_authorization(context, enrolled=enrolled)
    elif given is not None and enrolled:
        refuse_recovery_argument(context, given)
    elif not needed:
        click.echo("enrolment is open: anyone holding this key could set this up, so finish now", err=True)
    try:
        pending = second_factor.begin_enrolment(context.installation, context.person, given, now())
    except SecondCodeWanted:
        pending = second_factor.begin_enrolment(
            context.installation, context.person, ask_second(context), now()
        )
    show_pending(context, pending, qr)
    done, effects, moment = confirm_pending(context, pending)
    click.echo(
        ("your new app" if done.again else "your second factor")
        + " is set up"
        + ("; the old one no longer works, and all sessions have ended" if done.again else "")
    )
    if done.session is not None:
        say_session(context, done.session, moment)
    else:
        click.echo(
            f"no session was opened, because your address is not known; verify with: {context.server.ssh('verify')}"
        )
    check_effects(effects, "your second factor is set up")
    return 0


def _ask_authorization(context: UserContext, *, enrolled: bool) -> bytes:
    """An invite, or a code if enrolled. Raises Refusal("invite-required") when nothing comes."""
    question = (
        "invite, code from your present app, or recovery code: "
        if enrolled
        else "invite from your server admin: "
    )
    try:
        given = ask(question, queue=context.queue)
    except Refusal as refusal:
        if enrolled:
            raise
        raise Refusal(
            "invite-required", refusal.text, text="no invite was given; ask your server admin for one"
        ) from None
    if not given.strip() and not enrolled:
        raise Refusal("invite-required", text="no invite was given; ask your server admin for one")
    return given


def leave(context: UserContext, all: bool, key: str) -> int:  # noqa: A002
    """End sessions, and the transfers that they allowed."""
    if all and key:
        raise Refusal("usage", text="--all or --key, not both")
    if all:
        with context.installation.store.reading() as tx:
            nothing = not tx.has_factor(context.person.user) or not tx.sessions(context.person.user)
        if nothing:
            click.echo("no session was open; nothing to end")
            return 0
    done = with_code(
        context,
        lambda typed, moment: second_factor.leave(
            context.installation, context.person, moment, typed, everywhere=all, key=key
        ),
    )
    if done.sessions:
        counted(len(done.sessions), "session", "ended; your key still works for SSH")
    else:
        click.echo("no session was open; nothing to end")
    say_effects(done.effects, rest="that rode on it ended too")
    check_effects(done.effects, "the session has ended")
    return 0


def recovery_codes(context: UserContext) -> int:
    """Replace the recovery codes, for a code given now."""
    if context.settings.second_factor.recovery_codes == 0:
        raise Refusal("not-available", text="recovery codes are switched off on this server")
    _require_enrolled(context)
    codes = with_codes(
        context,
        lambda typed, moment: second_factor.replace_recovery_codes(
            context.installation, context.person, typed, moment
        ),
    )
    click.echo("new recovery codes; the old ones no longer work. Keep these away from your phone:\n")
    for code in codes:
        click.echo(f"    {in_groups(code)}")
    return 0


def always(context: UserContext, switch: str) -> int:
    """The user's own switch: on needs a session in scope or a code, off a fresh factor."""
    if switch not in ("on", "off"):
        raise Refusal("usage", text=f'"{printable(switch, 60)}"? Use: always on / always off')
    if not context.settings.account.allow_always:
        raise Refusal("forbidden", text="this server does not offer the switch `always`")
    on = switch == "on"
    changed, effects = with_code(
        context,
        lambda typed, moment: second_factor.always(
            context.installation, context.person, moment, typed, on=on
        ),
    )
    said = switch if changed else f"already {switch}"
    click.echo(
        f'"always" is {said}: '
        + (
            "everything you do now needs 2FA"
            if on
            else "2FA only where a repository or the server requires it"
        )
    )
    say_effects(effects)
    check_effects(effects, f'"always" is {switch}')
    return 0


def remove(context: UserContext) -> int:
    """Remove the second factor, for a code given now, after saying what that means.

    MUST: names of repositories come after the code: anyone who has the key alone learns numbers.
    """
    if not context.settings.account.allow_remove:
        raise Refusal(
            "forbidden",
            text="this server does not let people remove their second factor; ask your server admin",
        )
    _require_enrolled(context)
    closed = second_factor.closed_without_factor(context.installation, context.person.user, now())
    aside("to set up 2FA again you will need an invite from your server admin")
    for operation, names in closed.items():
        if names:
            verb = DOING[operation]
            what = number(len(names), "repository", "repositories")
            aside(f"until then you cannot {verb} {what}")
    done = with_codes(
        context,
        lambda typed, moment: second_factor.remove(context.installation, context.person, typed, moment),
    )
    click.echo("your second factor is removed, and all your sessions have ended")
    for operation, names in closed.items():
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            verb = DOING[operation]
            click.echo(f"you can no longer {verb}: {', '.join(names[:5])}{more}")
    say_effects(done.effects)
    check_effects(done.effects, "your second factor is removed")
    return 0


def _require_enrolled(context: UserContext) -> None:
    with context.installation.store.reading() as tx:
        require_enrolled(tx, context.person)
