"""`admin session`: list, open, revoke, sweep."""

from __future__ import annotations

import click

from gitguard.action import sessions, steps
from gitguard.action.sessions import Which
from gitguard.cli.admin import options
from gitguard.cli.admin.office import Office, check_reason, in_office, open_office
from gitguard.cli.here import check_effects, say_effects
from gitguard.cli.printing import counted, say_json_each, say_table
from gitguard.command_line import Group
from gitguard.config.types import seconds_of
from gitguard.decision.standing import live_sessions
from gitguard.message.moments import until
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now


@click.group(cls=Group)
def session() -> None:
    """2FA sessions: list, open, revoke, sweep."""


@session.command(name="list")
@click.argument("user", required=False)
@options.as_json
@in_office
def list_(office: Office, user: str | None, as_json: bool) -> None:
    """List live sessions. Of everyone, or of one user."""
    moment = now()
    with office.site.store.reading() as tx:
        if user is not None:
            steps.check_present(tx, user)
        live = live_sessions(tx, office.settings, moment, user)
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
@in_office
def open_(office: Office, user: str, how_long: str, reason: str, key: str, address: str) -> None:
    """Open a session for someone. For an enrolled user who cannot verify just now."""
    try:
        seconds = seconds_of(how_long)
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    check_reason(reason)
    moment = now()
    opened = sessions.open_one(office.site, user, seconds, key, address, moment, office.actor, reason)
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
    office = open_office(ctx)
    which = Which(user, number, key, everyone)
    ended, effects = sessions.revoke(office.site, which, now(), office.actor, reason)
    counted(ended, "session", "ended")
    say_effects(effects)
    check_effects(effects, "the sessions have ended")


@session.command()
@click.option("--quiet", is_flag=True, help="Say nothing when nothing ended, as for cron.")
@in_office
def sweep(office: Office, quiet: bool) -> None:
    """End idle connections of expired sessions. Run it once a minute."""
    count = sessions.sweep(office.site, now())
    if count or not quiet:
        counted(count, "connection", "ended")
