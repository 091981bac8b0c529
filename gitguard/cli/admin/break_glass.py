"""`admin break-glass`: run maintenance past the hook, with a reason, signed and audited."""

from __future__ import annotations

import click

from gitguard.action import break_glass as action
from gitguard.cli.admin import options
from gitguard.cli.admin.context import AdminContext, as_admin
from gitguard.message.reasons import readable
from gitguard.session.moment import now


@click.command(name="break-glass", context_settings={"allow_interspersed_args": False})
@options.obligatory_reason
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@as_admin
def break_glass(context: AdminContext, reason: str, command: tuple[str, ...]) -> int:
    """Run a command past the gate. COMMAND (after --) runs as the Git account with a grant for every
    repository. Needs a working store.
    """
    id_, sealed = action.begin(context.installation, command, now(), context.actor, reason)
    click.echo(f"break-glass {id_}: {readable(' '.join(command), 500)}", err=True)
    status, fault = action.run(context.installation, command, id_, sealed, context.actor)
    if fault:
        click.echo(f"gitguard: {fault}", err=True)
    return status
