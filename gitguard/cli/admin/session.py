"""`admin session`: list, open, revoke, sweep."""

from __future__ import annotations

import click

from gitguard.action import sessions, steps
from gitguard.action.sessions import Which
from gitguard.cli.admin import options
from gitguard.cli.admin.context import AdminContext, as_admin, check_reason, open_admin_context
from gitguard.cli.context import check_effects, say_effects
from gitguard.cli.printing import counted, say_json_each, say_table
from gitguard.command_line import Group
from gitguard.config.types import seconds_of
from gitguard.decision.status import live_sessions
from gitguard.message.moments import until
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now


@click.group(cls=Group)
def session() -> None:
    """2FA sessions: list, open, revoke, sweep."""


@session.command(name="list")
@click.argument("user", required=False)
@options.as_json
@as_admin
def list_(context: AdminContext, user: str | None, as_json: bool) -> None:
    """List live sessions. Of everyone, or of one user."""
    moment = now()
    with context.installation.store.reading() as tx:
        if user is not None:
            steps.check_present(tx, user)
        live = live_sessions(tx, context.settings, moment, user)
        if as_json:
            say_json_each(
                {
                    "id": s.id,
                    "user": s.user,
                    "scope": s.scope,
                    "key": s.credential,
                    "network": s.network,
                    "method": s.method,
                    "verified_at": s.verified_at,
                    "ends_at": ends_at,
                }
                for s, ends_at in live
            )
            return
        say_table(
            ("id", "user", "scope", "key", "network", "method", "until"),
            (
                (str(s.id), s.user, s.scope, s.credential, s.network, s.method, until(ends_at, moment.at))
                for s, ends_at in live
            ),
            "no live sessions",
        )


@session.command(name="open")
@click.argument("user")
@click.option(
    "--for",
    "how_long",
    required=True,
    metavar="DURATION",
    help="How long, such as 30m; at most the server's lifetime.",
)
@options.obligatory_reason
@click.option(
    "--key", "key", default="", metavar="FINGERPRINT", help="The key that it covers, as the scope needs it."
)
@click.option(
    "--from", "address", default="", metavar="IP", help="The address that it covers, as the scope needs it."
)
@as_admin
def open_(context: AdminContext, user: str, how_long: str, reason: str, key: str, address: str) -> None:
    """Open a session for someone. For an enrolled user who cannot verify just now."""
    try:
        seconds = seconds_of(how_long)
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    check_reason(reason)
    moment = now()
    opened = sessions.open_one(
        context.installation, user, seconds, key, address, moment, context.actor, reason
    )
    click.echo(f"opened session {opened.id} for {user} until {until(moment.at + seconds, moment.at)}")


@session.command()
@click.argument("user", required=False)
@click.option("--id", "number", type=int, help="Only this session.")
@click.option("--key", "key", metavar="FINGERPRINT", help="Only this key's.")
@click.option("--all", "everyone", is_flag=True, help="Everyone's.")
@options.reason
@click.pass_context
def revoke(
    ctx: click.Context, user: str | None, number: int | None, key: str | None, everyone: bool, reason: str
) -> None:
    """End sessions at once. Transfers that they allowed end, and what waits at a prompt."""
    if not (user or number is not None or key or everyone):
        raise Refusal("usage", text="whose sessions? Give USER, --id N, --key FINGERPRINT or --all")
    context = open_admin_context(ctx)
    which = Which(user, number, key, everyone)
    ended, effects = sessions.revoke(context.installation, which, now(), context.actor, reason)
    counted(ended, "session", "ended")
    say_effects(effects)
    check_effects(effects, "the sessions have ended")


@session.command()
@click.option("--quiet", is_flag=True, help="Say nothing when nothing ended, as for cron.")
@as_admin
def sweep(context: AdminContext, quiet: bool) -> None:
    """End idle connections of expired sessions. Run it once a minute."""
    count = sessions.sweep(context.installation, now())
    if count or not quiet:
        counted(count, "connection", "ended")
