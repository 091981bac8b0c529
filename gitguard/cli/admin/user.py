"""`admin user`: add, list, show, suspend, resume, reset, unthrottle, remove, invite."""

from __future__ import annotations

import click

from gitguard.account import user as users
from gitguard.account.public_key import PublicKey
from gitguard.account.standing import remaining
from gitguard.cli.admin.key import check_not_foreign, read_key_files
from gitguard.cli.admin.office import Office, open_office
from gitguard.cli.here import counted, say_json
from gitguard.command_line import Group
from gitguard.message.moments import clock, until
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now
from gitguard.store.contract import Reading, User


@click.group(cls=Group)
def user() -> None:
    """People: add, list, show, suspend, resume, reset, unthrottle, remove, invite."""


@user.command()
@click.argument("name")
@click.option(
    "--key", "files", multiple=True, type=click.Path(), help="A public key file; may be given several times."
)
@click.pass_context
def add(ctx: click.Context, name: str, files: tuple[str, ...]) -> None:
    """Add a user, with keys, and print the invite to send."""
    keys = list({key.fingerprint: key for key in read_key_files(files)}.values())
    office = open_office(ctx)
    check_not_foreign(office, keys)
    moment = now()
    with office.desk.store.writing() as tx:
        users.add(tx, name, moment.at, office.actor)
        for key in keys:
            users.add_key(tx, name, key, moment.at, office.actor)
        token = users.new_invite(tx, office.desk.keyring, name, moment.at, office.actor)
    if keys:
        office.write_keys()
    click.echo(f"added {name} with {len(keys)} key{'' if len(keys) == 1 else 's'}", err=True)
    _say_keys(keys)
    say_invite(office, name, token)


def _say_keys(keys: list[PublicKey]) -> None:
    for key in keys:
        click.echo(f"  {key.fingerprint} {key.comment}", err=True)


def say_invite(office: Office, name: str, token: str) -> None:
    """The invite alone on a line of stdout, and what to send around it on stderr."""
    click.echo(f"send {name} this line; it works once, within 7 days:", err=True)
    click.echo(office.view.ssh(f"enroll {token}"))


@user.command()
@click.argument("name")
@click.pass_context
def invite(ctx: click.Context, name: str) -> None:
    """Print a new invite; the one before it is void."""
    office = open_office(ctx)
    with office.desk.store.writing() as tx:
        token = users.new_invite(tx, office.desk.keyring, name, now().at, office.actor)
    say_invite(office, name, token)


def _described(office: Office, tx: Reading, entry: User) -> dict[str, object]:
    moment = now()
    lifetime, scope = office.settings.session.lifetime, office.settings.session.scope
    live = [s for s in tx.sessions(entry.name) if s.scope == scope and remaining(s, lifetime, moment) > 0]
    stored = tx.invite(entry.name)
    return {
        "user": entry.name,
        "state": entry.state,
        "enrolled": tx.factor(entry.name) is not None,
        "keys": [key.fingerprint for key in tx.keys(entry.name)],
        "sessions": len(live),
        "always": entry.always,
        "recovery_codes_left": tx.recovery_codes_left(entry.name),
        "invite_expires_at": stored[1] if stored is not None and stored[1] > moment.at else None,
        "created_at": entry.created_at,
    }


@user.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Every user, with state, enrolment, keys and live sessions."""
    office = open_office(ctx)
    with office.desk.store.reading() as tx:
        rows = [_described(office, tx, entry) for entry in tx.users()]
    if as_json:
        say_json(rows)
        return
    for row in rows:
        enrolled = "enrolled" if row["enrolled"] else "not enrolled"
        keys = row["keys"]
        count = len(keys) if isinstance(keys, list) else 0
        click.echo(
            f"{row['user']:<24} {row['state']:<10} {enrolled:<13} {count} keys  {row['sessions']} live sessions"
        )
    if not rows:
        click.echo("no users yet", err=True)


@user.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """One user: enrolment, keys, sessions, invite, failures."""
    office = open_office(ctx)
    moment = now()
    with office.desk.store.reading() as tx:
        entry = tx.user(name)
        if entry is None:
            users.present(tx, name)
            return
        row = _described(office, tx, entry)
        failures = len(tx.failures(name, moment.at - 86400))
        sessions = tx.sessions(name)
    if as_json:
        say_json({**row, "failures_today": failures})
        return
    click.echo(
        f"{entry.name}: {entry.state}, {'enrolled' if row['enrolled'] else 'not enrolled'}, always {'on' if entry.always else 'off'}"
    )
    for key in row["keys"] if isinstance(row["keys"], list) else []:
        click.echo(f"  key {key}")
    for session in sessions:
        left = remaining(session, office.settings.session.lifetime, moment)
        state = f"until {until(moment.at + left, moment.at)}" if left > 0 else "run out"
        click.echo(
            f"  session {session.id} {session.scope} {session.key} {session.network} {session.method}: {state}"
        )
    if isinstance(row["invite_expires_at"], int):
        click.echo(f"  an invite is open until {clock(row['invite_expires_at'], moment.at)}")
    click.echo(f"  {row['recovery_codes_left']} recovery codes left; {failures} failures within a day")


def _set_state(ctx: click.Context, name: str, state: str, reason: str) -> None:
    office = open_office(ctx)
    with office.desk.store.writing() as tx:
        changed = users.set_state(tx, name, state, now().at, office.actor, reason)
    if not changed:
        click.echo(f"{name} is {state} already")
        return
    click.echo(f"{name} is now {state}")
    if state == "suspended":
        end_all_of(office, name)


def end_all_of(office: Office, name: str, key: str | None = None) -> None:
    """End every running transfer of a user (or of one key), and say how many."""
    count = office.riding.end(lambda rider: rider.user == name and key in (None, rider.key))
    if count:
        counted(count, "running transfer", "ended")


@user.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for the audit trail.")
@click.pass_context
def suspend(ctx: click.Context, name: str, reason: str) -> None:
    """Refuse everything to a user from the next command on; sessions and running transfers end."""
    _set_state(ctx, name, "suspended", reason)


@user.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for the audit trail.")
@click.pass_context
def resume(ctx: click.Context, name: str, reason: str) -> None:
    """Let a suspended user in again."""
    _set_state(ctx, name, "active", reason)


@user.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for the audit trail.")
@click.pass_context
def reset(ctx: click.Context, name: str, reason: str) -> None:
    """Take the second factor away, end all sessions, and print the invite that lets the user enrol again."""
    office = open_office(ctx)
    with office.desk.store.writing() as tx:
        token = users.reset(tx, office.desk.keyring, name, now().at, office.actor, reason)
    click.echo(f"{name} has no second factor and no session any more", err=True)
    office.riding.end(lambda rider: rider.user == name)
    say_invite(office, name, token)


@user.command()
@click.argument("name")
@click.option("--reason", default="", help="Why, for the audit trail.")
@click.pass_context
def unthrottle(ctx: click.Context, name: str, reason: str) -> None:
    """Forget a user's failures, so that they may verify at once."""
    office = open_office(ctx)
    with office.desk.store.writing() as tx:
        count = users.unthrottle(tx, name, now().at, office.actor, reason)
    counted(count, "failure", f"of {name} forgotten")


@user.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", default="", help="Why, for the audit trail.")
@click.pass_context
def remove(ctx: click.Context, name: str, yes: bool, reason: str) -> None:
    """Remove a user with keys, second factor and sessions; the name stays reserved."""
    office = open_office(ctx)
    with office.desk.store.reading() as tx:
        users.present(tx, name)
    if not yes:
        try:
            click.confirm(f"remove {name} for good? the name stays reserved", abort=True, err=True)
        except click.Abort:
            raise Refusal(
                "usage", text=f"{name} was not removed", hint="say --yes to remove without being asked"
            ) from None
    with office.desk.store.writing() as tx:
        keys = users.remove(tx, name, now().at, office.actor, reason)
    office.write_keys()
    click.echo(f"removed {name} and {len(keys)} keys; the name stays reserved")
    end_all_of(office, name)
