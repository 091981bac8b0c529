"""What a person asks about themselves: the greeting, help, status, keys. Nothing here changes anything."""

from __future__ import annotations

import click

from gitguard.cli.context import DOING, UserContext, more_codes, say_changes, say_session, say_waiting
from gitguard.cli.own_verify import invite_hint
from gitguard.cli.printing import number, say_json
from gitguard.decision.status import Status, status_of
from gitguard.factor.changes import TOLD_SECONDS
from gitguard.message.moments import until
from gitguard.message.reasons import readable
from gitguard.session.moment import Moment, now
from gitguard.session.scope import network_of
from gitguard.verbs import VERBS


def greet(context: UserContext) -> int:
    """Who you are, which key, in a 2FA session or not, how to continue."""
    moment = now()
    with context.installation.store.reading() as tx:
        key = tx.key(context.person.credential.text)
        status = status_of(tx, context.settings, context.person, moment)
    comment = f" ({readable(key.comment, 100)})" if key is not None and key.comment else ""
    click.echo(f"gitguard: hello {context.person.user}")
    click.echo(
        f"{context.person.credential.shown}{comment}"
        + (f", from {context.person.address}" if context.person.address else "")
    )
    if status.hardware_key:
        click.echo("this hardware key counts by itself, at each connection; no code is needed")
    elif status.session is not None:
        click.echo(f"verified until {until(status.ends_at, moment.at)}")
        click.echo(f"end it early with: {context.server.ssh('leave')}")
    elif status.enrolled:
        click.echo(f"not verified; verify with: {context.server.ssh('verify')}")
    else:
        click.echo(f"no second factor yet; set one up with: {context.server.ssh('enroll')}")
        if hint := invite_hint(context):
            click.echo(hint)
    click.echo(f"all commands: {context.server.ssh('help')}")
    return 0


def show_help(context: UserContext) -> int:
    """The verbs, as lines to paste."""
    click.echo("gitguard asks for a second factor before protected repositories are read or changed.\n")
    for verb in VERBS:
        names = [f"{verb.name} {child.name}" for child in verb.children] or [verb.name]
        rows = verb.children or (verb,)
        for name, row in zip(names, rows, strict=True):
            arguments = " ".join(argument.usage for argument in row.arguments)
            options = " ".join(option.usage for option in row.options)
            click.echo(
                " ".join(part for part in ("  " + context.server.ssh(name), arguments, options) if part)
            )
            click.echo(f"      {row.help}")
    if context.settings.help.line:
        click.echo("\n" + context.settings.help.line)
    return 0


def status(context: UserContext, json: bool, check: bool) -> int:
    """Enrolled, verified, until when, and what is required; with `check` only as exit status."""
    moment = now()
    with context.installation.store.reading() as tx:
        status = status_of(tx, context.settings, context.person, moment)
    if check:
        return 0 if status.verified else 10 if status.enrolled else 11
    if json:
        say_json(status.as_json())
        return 0
    from gitguard.action import second_factor

    closed = second_factor.closed_without_factor(
        context.installation, context.person.user, moment, context.person.address
    )
    click.echo(
        f"user {context.person.user}, {context.person.credential.shown}"
        + (f", from {context.person.address}" if context.person.address else "")
    )
    if status.hardware_key:
        click.echo("verified: this hardware key counts by itself, at each connection")
    elif not status.enrolled:
        click.echo(f"no second factor yet; set one up with: {context.server.ssh('enroll')}")
    elif status.session is not None:
        say_session(context, status.session, moment)
    else:
        click.echo(f"not verified; verify with: {context.server.ssh('verify')}")
    if status.enrolled and context.settings.second_factor.recovery_codes:
        left = status.recovery_codes_left
        click.echo(f"{number(left, 'recovery code')} left{more_codes(context, left)}")
    _say_demanded(status, closed)
    say_waiting(context, "waits for you to verify")
    _say_changed(context, moment, verified=status.verified)
    click.echo(f"always: {'on' if status.always else 'off'}; enforcement: {context.settings.git.enforcement}")
    return 0


def _say_changed(context: UserContext, moment: Moment, *, verified: bool) -> None:
    """What another key, or this one elsewhere, changed within a month. MUST: anyone who has
    the key alone learns how much.
    """
    network, own_key = network_of(context.person.address) or "", context.person.credential.text
    with context.installation.store.reading() as tx:
        changes = tx.changes(context.person.user, moment.at - TOLD_SECONDS)
    elsewhere = [
        one for one in changes if (one.credential, network_of(one.address) or "") != (own_key, network)
    ]
    if verified:
        say_changes(elsewhere, moment)
    elif elsewhere:
        click.echo(
            f"{number(len(elsewhere), 'thing')} changed elsewhere within a month; verify, and this says what"
        )


def _say_demanded(status: Status, closed: dict[str, list[str]]) -> None:
    """Numbers for anyone who has the key; names for anyone who is in a session."""
    if status.always:
        click.echo('2FA required for you: everything ("always" is on)')
        return
    said = [
        f"{DOING[what]} {number(len(names), 'repository', 'repositories')}"
        for what, names in closed.items()
        if names
    ]
    click.echo(f"2FA required for you: {' and '.join(said) or 'nothing'}")
    for what, names in closed.items():
        if names and status.verified:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            click.echo(f"    {DOING[what]}: {', '.join(names[:5])}{more}")
