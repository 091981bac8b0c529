"""`admin break-glass`: run maintenance past the hook, with a reason, signed and audited."""

from __future__ import annotations

import os
import subprocess

import click

from gitguard.cli.admin.office import open_office
from gitguard.decision.access_log import new_id
from gitguard.host.process import parent_and_start
from gitguard.message.reasons import Refusal, printable
from gitguard.session.grant import BREAK_GLASS, ENVIRONMENT_NAME, Grant, read_key, seal
from gitguard.session.moment import now


@click.command(name="break-glass", context_settings={"ignore_unknown_options": True})
@click.option("--reason", required=True, help="Why, for the audit trail.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def break_glass(ctx: click.Context, reason: str, command: tuple[str, ...]) -> int:
    """Run COMMAND (after --) as the Git account with a grant for every repository, while it runs."""
    if not reason.strip():
        raise Refusal("usage", text="say why, with --reason")
    office = open_office(ctx)
    moment, id_ = now(), new_id()
    try:
        secret = read_key(f"{office.settings.paths.state}/grant.key", os.geteuid())
    except (OSError, ValueError) as error:
        raise Refusal("store-unavailable", str(error)) from None
    grant = Grant(
        BREAK_GLASS, office.actor, "", "", 0, -1, moment.at, os.getpid(), parent_and_start("self")[1], id_
    )
    shown = printable(" ".join(command), 500)
    with office.desk.store.writing() as tx:
        tx.record("break-glass-begun", moment.at, office.actor, reason=reason, command=shown, decision=id_)
    click.echo(f"break-glass {id_}: {shown}", err=True)
    try:
        status = subprocess.run(
            command, check=False, env={**os.environ, ENVIRONMENT_NAME: seal(grant, secret)}
        ).returncode
    except OSError as error:
        status = 127
        click.echo(f"gitguard: {printable(command[0])}: {error.strerror}", err=True)
    with office.desk.store.writing() as tx:
        tx.record("break-glass-ended", now().at, office.actor, decision=id_, status=status)
    return status if status >= 0 else 128 - status
