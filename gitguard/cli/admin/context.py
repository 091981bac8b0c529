"""What every admin command works with, opened as the Git account."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, ParamSpec, TypeVar

import click
from msgspec import Struct

from gitguard.action import break_glass
from gitguard.action.installation import Installation, open_installation
from gitguard.agent.accounts import become_keeper
from gitguard.cli.admin.remedies import remedy
from gitguard.cli.context import say_lag
from gitguard.cli.printing import number
from gitguard.config.faults import LONGEST_LIST, ConfigurationError
from gitguard.config.parse import read_settings
from gitguard.config.schema import Settings
from gitguard.machine.git_account import check_owner, own_command_line
from gitguard.machine.user_supplied_file import read_as_caller
from gitguard.message.reasons import Refusal, readable
from gitguard.message.refusals import ServerAddress
from gitguard.session.moment import now

P = ParamSpec("P")
R = TypeVar("R")


class AdminContext(Struct, frozen=True):
    """`actor` is who types, for the audit trail; `server` how the server is called in hints."""

    installation: Installation
    actor: str
    server: ServerAddress

    @property
    def settings(self) -> Settings:
        """The configuration."""
        return self.installation.settings


def actor() -> str:
    """`admin:NAME` of the person at the keyboard: through sudo, or of this uid."""
    name = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    if not name:
        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            name = f"uid {os.getuid()}"  # an account that this machine has no name for
    return "admin:" + readable(name, 64)


def check_reason(reason: str) -> None:
    """Raises Refusal("usage") unless something was said: the trail is for people who ask why."""
    if not reason.strip():
        raise Refusal("usage", text="say why, with --reason")


def config_of(ctx: click.Context) -> str:
    """The configuration that the command line names."""
    path: str = ctx.find_root().obj
    return path


def open_settings(config: str) -> Settings:
    """The settings, read before the account is known. Raises ConfigurationError, Refusal."""
    try:
        os.stat(config)
    except PermissionError:
        line = "sudo " + own_command_line()
        raise Refusal("forbidden", text=f"you may not look at {config}", hint=f"type: {line}") from None
    except OSError:
        raise Refusal(
            "usage",
            text=f"no configuration at {config}",
            hint="name it with gitguard --config FILE, or begin with: gitguard admin init",
        ) from None
    settings = read_settings(config)
    check_owner(config, settings.keeper)
    return settings


def say_faults(error: ConfigurationError) -> Refusal:
    """Print every fault with its file and line; the refusal that sums them up."""
    for fault in error.faults:
        click.echo(f"{error.path}: {fault}", err=True)
    return Refusal(
        "config-invalid",
        text=f"{number(len(error.faults), 'fault')} in {error.path}; until mended, every request is refused",
        hint="mend it with: gitguard admin config edit",
    )


def open_settings_or_say(ctx: click.Context) -> Settings:
    """The settings; every fault is printed. Raises Refusal."""
    try:
        return open_settings(config_of(ctx))
    except ConfigurationError as error:
        raise say_faults(error) from None


def read_file(ctx: click.Context, path: str, most: int = LONGEST_LIST) -> bytes:
    """What the admin named on the command line, read before we become the Git account. Raises Refusal."""
    return read_as_caller(path, open_settings_or_say(ctx).keeper, most)


def enter(ctx: click.Context, *, resident: bool = False) -> Settings:
    """Become the account whose store it is, with nothing opened: the settings. `resident`: for long. Raises
    Refusal.
    """
    settings = open_settings_or_say(ctx)
    become_keeper(settings, own_command_line(), resident=resident)
    os.umask(0o077)
    return settings


def open_admin_context(ctx: click.Context, *, although_lost: bool = False) -> AdminContext:
    """Become the Git account and open store and keys. Raises Refusal. `although_lost`: to look at a store
    that is closed since it has lost something.
    """
    who, settings, moment = actor(), enter(ctx), now()
    host = settings.host
    try:
        installation = open_installation(
            config_of(ctx), moment, who, although_lost=although_lost, although_apart=True
        )
    except Refusal as refusal:
        if refusal.reason != "store-went-back":
            raise
        raise refusal.but(hint=remedy(refusal, is_file=settings.store.url.is_file)) from None
    ctx.find_root().call_on_close(installation.store.close)
    ctx.find_root().call_on_close(lambda: say_lag(installation))
    server = ServerAddress(account=str(host.account), host=host.name, port=host.port)
    for left in () if although_lost else break_glass.close_left_open(installation, moment, who):
        click.echo(f"gitguard: break-glass {left.decision} was not closed by itself; it is now", err=True)
    return AdminContext(installation, who, server)


def as_admin(command: Callable[Concatenate[AdminContext, P], R]) -> Callable[P, R]:
    """A command that works as the admin: it gets the opened installation as its first argument."""

    def opened(*words: P.args, **options: P.kwargs) -> R:
        return command(open_admin_context(click.get_current_context()), *words, **options)

    return update_wrapper(opened, command)
