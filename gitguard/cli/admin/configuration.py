"""`admin config`: check the configuration before it is used, or edit it in one safe step."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import subprocess
import tempfile
import time

import click

from gitguard.action.effects import take_effect
from gitguard.agent.accounts import become_keeper
from gitguard.cli.admin import options
from gitguard.cli.admin.context import config_of, enter, open_admin_context
from gitguard.cli.context import check_effects, say_effects
from gitguard.cli.printing import counted, number, say_json
from gitguard.command_line import Group
from gitguard.config.faults import ConfigurationError, Fault
from gitguard.config.in_force import less_than_before, vouch
from gitguard.config.parse import fault_at, parse
from gitguard.config.rule_notes import Known, rule_notes
from gitguard.config.schema import Settings
from gitguard.host.places import places_of
from gitguard.machine.files import replace_like
from gitguard.machine.git_account import account_fault, own_command_line
from gitguard.machine.user_supplied_file import read_as_caller
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now
from gitguard.store.opening import audit_head, open_store

_MOST = 1 << 23


@click.group(cls=Group)
def config() -> None:
    """Check or edit the configuration."""


@config.command()
@click.argument("file", required=False, type=click.Path())
@options.as_json
@click.pass_context
def check(ctx: click.Context, file: str | None, as_json: bool) -> int:
    """Check the configuration. Names every fault with its line, and what is odd about the rules; exit 30 if
    there is a fault, 0 otherwise.
    """
    if file == "":
        raise Refusal("usage", text="name a file, or none for the configuration in use")
    path = os.path.abspath(file) if file else config_of(ctx)
    data = _read(path)
    faults = faults_of(data, path)
    notes = [] if faults else notes_of(data, path)
    if not faults:
        less = less_than_before(places_of(config_of(ctx)).compiled, data, path)
        notes += [Fault(0, "file", f"{less}; from now on it may")] if less else []
        _vouch(ctx, data)
    if as_json:
        rows = {
            name: [{"line": f.line, "column": f.column, "where": f.where, "what": f.what} for f in found]
            for name, found in (("faults", faults), ("notes", notes))
        }
        say_json({"file": path, **rows})
        return 30 if faults else 0
    for fault in faults:
        click.echo(f"{path}: {fault}")
    if faults:
        status_of = "it has them" if len(faults) > 1 else "it is there"
        counted(len(faults), "fault", f"in {path}; nothing uses this file while {status_of} [config-invalid]")
        return 30
    for entry in notes:
        click.echo(f"{path}: note: {entry}")
    click.echo(f"{path} is in order")
    return 0


def _vouch(ctx: click.Context, data: bytes) -> None:
    """Tell gate and page that `data` is whole, as the Git account; if not allowed, checking goes on."""
    with contextlib.suppress(Refusal):
        become_keeper(parse(data), own_command_line())
        vouch(places_of(config_of(ctx)).compiled, data)


@config.command()
@click.pass_context
def edit(ctx: click.Context) -> int:
    """Edit the configuration, checked before use. Opens $VISUAL or $EDITOR, and puts the file in place
    in one step once it is right.
    """
    path = config_of(ctx)
    before, like = _read(path), os.lstat(path)
    if os.path.islink(path):
        raise Refusal(
            "usage",
            text=f"{path} is a symbolic link to {os.readlink(path)}; edit that file, and look first",
            hint="check it with: gitguard admin config check FILE",
        )
    if not os.access(path, os.W_OK) or not os.access(os.path.dirname(path), os.W_OK):
        line = f"type: sudo {own_command_line()}"
        raise Refusal("forbidden", text=f"you may not write {path}", hint=line)
    data = _edited(path, before)
    if data == before:
        click.echo("nothing was changed")
        return 0
    if _read(path) != before:
        raise Refusal("usage", text=f"someone else changed {path} meanwhile; it was left as it is")
    replace_like(path, data, like)
    enter(ctx)
    vouch(places_of(path).compiled, data)
    click.echo(f"{path} is in order, and in use from the next request on")
    context = open_admin_context(ctx)
    effects = take_effect(context.installation, now())
    say_effects(effects)
    check_effects(effects, "the configuration is in use")
    return 0


def _edited(path: str, before: bytes) -> bytes:
    """What the editor left, once it has no fault. Raises Refusal, and `path` is as it was."""
    with tempfile.TemporaryDirectory(prefix="gitguard-") as folder:
        draft = os.path.join(folder, "gitguard.toml")
        with open(draft, "wb") as file:
            file.write(before)
        while True:
            _run_editor(draft, path)
            try:
                with open(draft, "rb") as file:
                    data = file.read(_MOST)
            except OSError as error:
                raise Refusal(
                    "usage", text=f"the draft cannot be read ({error.strerror}); {path} was left as it is"
                ) from None
            faults = [] if data == before else faults_of(data, path)
            if not faults:
                return data
            for fault in faults:
                click.echo(f"{path}: {fault}", err=True)
            try:
                again = click.confirm(
                    "edit it again? (otherwise it is left as it was)", default=True, err=True
                )
            except click.Abort:
                again = False
            if not again:
                raise Refusal(
                    "config-invalid", text=f"{number(len(faults), 'fault')}; {path} was left as it was"
                )


def _run_editor(draft: str, path: str) -> None:
    wanted = os.environ.get("VISUAL", "").strip() or os.environ.get("EDITOR", "").strip() or "vi"
    try:
        words = shlex.split(wanted)
        status = subprocess.run([*words, draft], check=False).returncode
    except ValueError as error:
        raise Refusal("usage", text=f"$VISUAL or $EDITOR cannot be read: {wanted} ({error})") from None
    except OSError as error:
        raise Refusal("usage", text=f"{words[0]}: {error.strerror}", hint="name one in $EDITOR") from None
    if status != 0:
        raise Refusal("usage", text=f"the editor exited {status}; {path} was left as it is")


def _read(path: str) -> bytes:
    """The file's bytes. Raises Refusal that says how to continue."""
    try:
        owner = pwd.getpwuid(os.stat(path).st_uid).pw_name
    except FileNotFoundError:
        raise Refusal(
            "usage",
            text=f"no configuration at {path}",
            hint="name it with gitguard --config FILE, or begin with: gitguard admin init",
        ) from None
    except PermissionError:
        raise Refusal(
            "forbidden", text=f"you may not look at {path}", hint=f"type: sudo {own_command_line()}"
        ) from None
    except (OSError, KeyError) as error:
        raise Refusal("usage", text=f"cannot read {path}: {error}") from None
    if not os.access(path, os.R_OK):
        raise Refusal("forbidden", text=f"you may not read {path}", hint=f"type: sudo {own_command_line()}")
    return read_as_caller(path, owner, _MOST)


def notes_of(data: bytes, path: str) -> list[Fault]:
    """What is odd in a configuration without faults, and the zone that its dates are of."""
    settings = parse(data, path)
    moment = now()
    found = rule_notes(settings, moment.at, _known(settings) if settings.rules else None)
    notes = [fault_at(data, "rules", "", what, index) for index, what in found]
    if any(rule.since is not None or rule.until is not None for rule in settings.rules):
        notes.append(Fault(0, "[rules]", f"dates are of this server's zone, {time.strftime('%Z (%z)')}"))
    return notes


def _known(settings: Settings) -> Known | None:
    """Whom the store of `settings` knows, asked as the Git account; None where there is
    none, or it is not for us to see.
    """
    try:
        become_keeper(settings, own_command_line())
        opened = open_store(
            settings.store.url, audit_head(str(settings.paths.access_log)), settings.store.password_file
        )
        with contextlib.closing(opened) as store, store.reading() as tx:
            users = frozenset(user.name for user in tx.users() if user.state != "removed")
            return Known(users, frozenset(row.name for row in tx.repositories()))
    except Refusal:
        return None


def faults_of(data: bytes, path: str) -> list[Fault]:
    """Every fault of a configuration, those that only this machine shows among them."""
    try:
        settings = parse(data, path)
    except ConfigurationError as error:
        return error.faults
    git, state = str(settings.host.account), str(settings.paths.state)
    fault = account_fault(git, "" if settings.is_apart else state)
    faults = [fault_at(data, "host", "account", fault)] if fault else []
    # What the Git account owns until now is handed over by `init`.
    if settings.is_apart and (fault := account_fault(settings.keeper, state, git)):
        faults.append(fault_at(data, "agent", "account", fault))
    return faults
