"""What a person asks about themselves: the greeting, help, status, keys. Nothing here changes anything."""

from __future__ import annotations

import click

from gitguard.cli.here import Here, more_codes, number, say_json
from gitguard.cli.own_factor import invite_hint
from gitguard.decision.standing import remaining, standing
from gitguard.message.moments import until
from gitguard.message.reasons import readable
from gitguard.session.moment import now
from gitguard.store.rows import Key, Session
from gitguard.verbs import VERBS


def greet(here: Here) -> int:
    """Who you are, which key, in a 2FA session or not, how to go on."""
    moment = now()
    with here.site.store.reading() as tx:
        key = tx.key(here.person.credential.text)
        stand = standing(tx, here.settings, here.person, moment)
    comment = f" ({readable(key.comment, 100)})" if key is not None and key.comment else ""
    click.echo(f"gitguard: hello {here.person.user}")
    click.echo(
        f"key {here.person.credential.text}{comment}"
        + (f", from {here.person.address}" if here.person.address else "")
    )
    if stand.session is not None:
        click.echo(f"in a 2FA session until {until(stand.ends_at, moment.at)}")
        click.echo(f"leave it with: {here.view.ssh('leave')}")
    elif stand.enrolled:
        click.echo(f"not in a 2FA session; open one with: {here.view.ssh('verify')}")
    else:
        click.echo(f"no second factor yet; set one up with: {here.view.ssh('enroll')}")
        if hint := invite_hint(here):
            click.echo(hint)
    click.echo(f"all commands: {here.view.ssh('help')}")
    return 0


def show_help(here: Here) -> int:
    """The verbs, as lines to paste."""
    click.echo("gitguard asks for a second factor before protected repositories are read or changed.\n")
    for verb in VERBS:
        names = [f"{verb.name} {child.name}" for child in verb.children] or [verb.name]
        rows = verb.children or (verb,)
        for name, row in zip(names, rows, strict=True):
            arguments = " ".join(argument.usage for argument in row.arguments)
            options = " ".join(option.usage for option in row.options)
            click.echo(" ".join(part for part in ("  " + here.view.ssh(name), arguments, options) if part))
            click.echo(f"      {row.help}")
    if here.settings.help.line:
        click.echo("\n" + here.settings.help.line)
    return 0


def status(here: Here, json: bool, check: bool) -> int:
    """Enrolled, verified, until when; with `check` only as exit status."""
    moment = now()
    with here.site.store.reading() as tx:
        stand = standing(tx, here.settings, here.person, moment)
    if check:
        return 0 if stand.session is not None else 10 if stand.enrolled else 11
    if json:
        say_json(stand.as_json())
        return 0
    click.echo(
        f"user {here.person.user}, key {here.person.credential.text}"
        + (f", from {here.person.address}" if here.person.address else "")
    )
    if not stand.enrolled:
        click.echo(f"second factor: none; set one up with: {here.view.ssh('enroll')}")
    else:
        left = stand.recovery_codes_left
        codes = (
            f"; {number(left, 'recovery code')} left{more_codes(here, left)}"
            if here.settings.second_factor.recovery_codes
            else ""
        )
        click.echo(f"second factor: set up{codes}")
        if stand.session is not None:
            click.echo(f"2FA session: until {until(stand.ends_at, moment.at)}, scope {stand.session.scope}")
        else:
            click.echo(f"2FA session: none; open one with: {here.view.ssh('verify')}")
    click.echo(f"always: {'on' if stand.always else 'off'}; enforcement: {here.settings.git.enforcement}")
    return 0


def keys(here: Here, json: bool) -> int:
    """The person's keys, each with its live sessions."""
    moment = now()
    lifetime = here.settings.session.lifetime
    with here.site.store.reading() as tx:
        own, sessions = tx.keys(here.person.user), tx.sessions(here.person.user)
    live = [
        (s, moment.at + left)
        for s in sessions
        if s.scope == here.settings.session.scope and (left := remaining(s, lifetime, moment)) > 0
    ]
    if json:
        say_json([_key_json(key, key.fingerprint == here.person.credential.text, live) for key in own])
        return 0
    for key in own:
        mark = "  (this key)" if key.fingerprint == here.person.credential.text else ""
        click.echo(f"{key.fingerprint}  {key.type}  {readable(key.comment, 100)}{mark}")
        covering = [(s, ends_at) for s, ends_at in live if s.credential in (key.fingerprint, "")]
        for session, ends_at in covering:
            where = f" from {session.network}" if session.network else ""
            click.echo(f"    verified{where} until {until(ends_at, moment.at)}")
        if not covering:
            click.echo("    no session")
    return 0


def _key_json(key: Key, this: bool, live: list[tuple[Session, int]]) -> dict[str, object]:
    return {
        "key": key.fingerprint,
        "type": key.type,
        "comment": key.comment,
        "this": this,
        "sessions": [
            {"scope": s.scope, "network": s.network, "verified_at": s.verified_at, "ends_at": ends_at}
            for s, ends_at in live
            if s.credential in (key.fingerprint, "")
        ],
    }
