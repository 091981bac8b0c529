"""`admin apply`: the door of configuration management. It takes what `export` gives."""

from __future__ import annotations

import os

import click

from gitguard.action.apply import ApplyOptions, carry_out, plan
from gitguard.action.desired_state import read_desired_state
from gitguard.cli.admin import options
from gitguard.cli.admin.context import open_admin_context, read_file, say_faults
from gitguard.cli.context import check_effects
from gitguard.cli.printing import number, say_json
from gitguard.command_line import say
from gitguard.config.faults import ConfigurationError
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now


@click.command()
@click.argument("file", type=click.Path())
@click.option("--dry-run", is_flag=True, help="Say the difference, and change nothing.")
@click.option(
    "--prune",
    is_flag=True,
    help="Also take away keys and admins that FILE does not name for those whom it names, and users that it calls removed.",
)
@click.option("--resume", is_flag=True, help="Also resume whoever is suspended here and active in FILE.")
@options.as_json
@click.pass_context
def apply(ctx: click.Context, file: str, dry_run: bool, prune: bool, resume: bool, as_json: bool) -> None:
    """Apply people and repositories from a file. FILE (- for stdin) has the form that export prints; the last
    line is changed: true or false.
    """
    path = file if file == "-" else os.path.abspath(file)
    try:
        wanted = read_desired_state(read_file(ctx, file), path)
    except ConfigurationError as error:
        summed = say_faults(error)
        raise Refusal("usage", text=summed.text.partition(";")[0], hint="nothing was changed") from None
    context = open_admin_context(ctx)
    planned = plan(
        context.installation, wanted, now(), context.actor, ApplyOptions(prune=prune, resume=resume)
    )
    ended = 0
    if not dry_run:
        for step, effects in carry_out(planned, context.installation, now()):
            if not as_json and step in planned.steps:
                click.echo(step.what)
            ended += effects.ended
            check_effects(effects, f"done: {step.what}")
    elif not as_json:
        for step in planned.steps:
            click.echo(f"would {step.what}")
    if as_json:
        say_json(
            {
                "changed": bool(planned.steps),
                "steps": [step.what for step in planned.steps],
                "unnamed": list(planned.unnamed),
                "withheld": list(planned.withheld),
            }
        )
        return
    if ended:
        click.echo(f"{number(ended, 'running transfer')} ended")
    if planned.unnamed:
        shown = ", ".join(planned.unnamed[:3]) + (
            f" and {len(planned.unnamed) - 3} more" if len(planned.unnamed) > 3 else ""
        )
        click.echo(f"not in the file, and left alone: {shown}", err=True)
    for what in planned.withheld:
        click.echo(f"not done: {what}", err=True)
    if any(step.what.startswith("add the user") for step in planned.steps) and not dry_run:
        say("who has no second factor yet: gitguard admin user invite --all", err=True)
    click.echo(f"changed: {str(bool(planned.steps)).lower()}")
