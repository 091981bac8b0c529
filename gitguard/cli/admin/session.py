"""`admin session`: list, open, revoke."""

from __future__ import annotations

import click

from gitguard.account import user as users
from gitguard.account.standing import remaining
from gitguard.cli.admin.office import open_office
from gitguard.cli.here import counted, say_json
from gitguard.command_line import Group
from gitguard.config.schema import duration
from gitguard.message.moments import until
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now
from gitguard.session.scope import scope_of


@click.group(cls=Group)
def session() -> None:
    """2FA sessions: list, open, revoke."""


@session.command(name="list")
@click.argument("user", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_(ctx: click.Context, user: str | None, as_json: bool) -> None:
    """The live sessions, of everyone or of one user."""
    office = open_office(ctx)
    moment = now()
    with office.desk.store.reading() as tx:
        if user is not None:
            users.present(tx, user)
        rows = tx.sessions(user)
    lifetime, scope = office.settings.session.lifetime, office.settings.session.scope
    live = [
        (s, moment.at + left)
        for s in rows
        if s.scope == scope and (left := remaining(s, lifetime, moment)) > 0
    ]
    if as_json:
        say_json(
            [
                {
                    "id": s.id,
                    "user": s.user,
                    "scope": s.scope,
                    "key": s.key,
                    "network": s.network,
                    "method": s.method,
                    "verified_at": s.verified_at,
                    "ends_at": ends_at,
                }
                for s, ends_at in live
            ]
        )
        return
    for s, ends_at in live:
        click.echo(
            f"{s.id:>6}  {s.user:<20} {s.scope:<8} {s.key} {s.network}  {s.method}, until {until(ends_at, moment.at)}"
        )
    if not live:
        click.echo("no live sessions", err=True)


@session.command(name="open")
@click.argument("user")
@click.option(
    "--for",
    "how_long",
    required=True,
    metavar="DURATION",
    help="How long, as 30m; at most the server's lifetime.",
)
@click.option("--reason", required=True, help="Why, for the audit trail.")
@click.option(
    "--key", "key", default="", metavar="FINGERPRINT", help="The key that it covers, as the scope demands."
)
@click.option(
    "--from", "address", default="", metavar="IP", help="The address that it covers, as the scope demands."
)
@click.pass_context
def open_(ctx: click.Context, user: str, how_long: str, reason: str, key: str, address: str) -> None:
    """Open a 2FA session for an enrolled user who cannot verify just now."""
    office = open_office(ctx)
    try:
        seconds = duration(how_long)
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    lifetime = office.settings.session.lifetime
    if not 1 <= seconds <= lifetime:
        raise Refusal("usage", text=f"--for is 1s to the server's lifetime, {lifetime} seconds")
    if not reason.strip():
        raise Refusal("usage", text="say why, with --reason")
    kind = office.settings.session.scope
    scope = scope_of(kind, key, address)
    if scope is None:
        wanted = {"address": "--key FINGERPRINT and --from IP", "key": "--key FINGERPRINT"}.get(kind, "")
        raise Refusal("usage", text=f"scope {kind} needs {wanted}")
    moment = now()
    with office.desk.store.writing() as tx:
        if users.present(tx, user).state != "active":
            raise Refusal("usage", text=f"{user} is suspended; resume them first")
        if tx.factor(user) is None:
            raise Refusal(
                "enrolment-required", text=f"{user} has no second factor, so no session can be opened"
            )
        owner = tx.key(key) if key else None
        if key and (owner is None or owner.user != user):
            raise Refusal("usage", text=f"{key} is no key of {user}")
        opened = tx.put_session(user, scope, moment, "admin", seconds)
        tx.record(
            "session-opened",
            moment.at,
            office.actor,
            user=user,
            key=opened.key,
            address=opened.network,
            session=opened.id,
            scope=kind,
            method="admin",
            seconds=seconds,
            reason=reason,
        )
    click.echo(f"opened session {opened.id} for {user} until {until(moment.at + seconds, moment.at)}")


@session.command()
@click.argument("user", required=False)
@click.option("--id", "number", type=int, help="Only this session.")
@click.option("--key", "key", metavar="FINGERPRINT", help="Only this key's.")
@click.option("--all", "everyone", is_flag=True, help="Everyone's.")
@click.option("--reason", default="", help="Why, for the audit trail.")
@click.pass_context
def revoke(
    ctx: click.Context, user: str | None, number: int | None, key: str | None, everyone: bool, reason: str
) -> None:
    """End sessions at once, with the transfers that ride on them."""
    if not (user or number is not None or key or everyone):
        raise Refusal("usage", text="say whose: USER, --id N, --key FINGERPRINT or --all")
    office = open_office(ctx)
    ended = []
    with office.desk.store.writing() as tx:
        if user is not None:
            users.present(tx, user)
        owner = tx.key(key) if key else None
        if key and owner is None:
            raise Refusal("usage", text=f"no key {key}")
        for name in [user] if user else [owner.user] if owner else [entry.name for entry in tx.users()]:
            gone = tx.end_sessions(name, key, number)
            ended += gone
            if gone:
                tx.record(
                    "session-revoked",
                    now().at,
                    office.actor,
                    user=name,
                    sessions=[s.id for s in gone],
                    reason=reason,
                )
    if number is not None and not ended:
        raise Refusal("usage", text=f"no session {number}")
    numbers = {s.id for s in ended}
    people = {s.user for s in ended}
    count = office.riding.end(lambda r: r.session in numbers or (r.deciding and r.user in people))
    counted(len(ended), "session", "ended")
    if count:
        counted(count, "running transfer", "ended")
