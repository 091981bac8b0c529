"""`admin break-glass`: run maintenance past the hook, with a reason, signed and audited."""

from __future__ import annotations

import contextlib
import json
import os
import signal

import click

from gitguard.action import break_glass as action
from gitguard.cli.admin import options
from gitguard.cli.admin.context import AdminContext, open_admin_context, open_settings_or_say
from gitguard.config.schema import Settings
from gitguard.machine.git_account import become, own_command_line
from gitguard.message.reasons import Refusal, readable
from gitguard.session.moment import now

_CUT_OFF = 1  # the status of a command whose end nobody told


@click.command(name="break-glass", context_settings={"allow_interspersed_args": False})
@options.obligatory_reason
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def break_glass(ctx: click.Context, reason: str, command: tuple[str, ...]) -> int:
    """Run a command past the gate. COMMAND (after --) runs as the Git account with a grant for every
    repository. Needs a working store.
    """
    settings = open_settings_or_say(ctx)
    if settings.is_apart:
        return _apart(ctx, settings, reason, command)
    context = open_admin_context(ctx)
    id_, sealed = _begun(context, reason, command, os.getpid())
    return _run(command, sealed, lambda status: action.end(context.installation, id_, context.actor, status))


def _begun(context: AdminContext, reason: str, command: tuple[str, ...], pid: int) -> tuple[str, str]:
    id_, sealed = action.begin(context.installation, command, now(), context.actor, reason, pid)
    click.echo(f"break-glass {id_}: {readable(' '.join(command), 500)}", err=True)
    return id_, sealed


def _run(command: tuple[str, ...], sealed: str, ended: action.Ended) -> int:
    status, fault = action.run(command, sealed, ended)
    if fault:
        click.echo(f"gitguard: {fault}", err=True)
    return status


def _apart(ctx: click.Context, settings: Settings, reason: str, command: tuple[str, ...]) -> int:
    """The command is the Git account's to run, the trail the agent's account's to write: a process of each.

    MUST: the one that writes outlives the other, so that every beginning has its end.
    """
    if os.geteuid() != 0:
        line = f"sudo {own_command_line()}"
        raise Refusal(
            "forbidden", text="run this as root, who alone can serve two accounts", hint=f"type: {line}"
        )
    pid = os.getpid()
    told_from, told_to = os.pipe()
    status_from, status_to = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told_from)
        os.close(status_to)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # whoever is told to stop is the command
        context = open_admin_context(ctx)
        id_, sealed = _begun(context, reason, command, pid)
        with os.fdopen(told_to, "w") as pipe:
            json.dump([id_, sealed], pipe)
        with os.fdopen(status_from) as pipe:
            said = pipe.read()
        action.end(context.installation, id_, context.actor, int(said) if said else _CUT_OFF)
        return 0
    os.close(told_to)
    os.close(status_from)
    with os.fdopen(told_from) as pipe:
        said = pipe.read()
    if not said:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or _CUT_OFF
    become(str(settings.host.account), own_command_line())

    def ended(status: int) -> None:
        with contextlib.suppress(OSError):  # then it finds that nobody told, which it notes as well
            os.write(status_to, str(status).encode())
        os.close(status_to)
        os.waitpid(child, 0)

    return _run(command, json.loads(said)[1], ended)
