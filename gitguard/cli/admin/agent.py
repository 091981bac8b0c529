"""`admin agent`: the resident process that gate and hook ask; `gitguard-agent` is the same."""

from __future__ import annotations

import contextlib
import os
import pkgutil
import subprocess
import sys
from importlib import import_module

import click

from gitguard.agent.listening import (
    EVERYONE,
    begin_anew,
    handed_over,
    opened,
    place_of,
    still_answering_before,
    tell_systemd,
)
from gitguard.agent.resident import Resident, installed_now
from gitguard.cli.admin.context import config_of, enter, open_settings_or_say
from gitguard.host.places import accounts_socket, places_of
from gitguard.machine.git_account import uid_of
from gitguard.message.reasons import Refusal

_TRIAL = """
import sys
import gitguard.agent.serving, gitguard.cli.admin.agent, gitguard.cli.over_ssh
from gitguard.action.installation import settings_of
from gitguard.machine.git_account import is_account
settings = settings_of(sys.argv[1])
name = settings.keeper if sys.argv[2] == "agent" else str(settings.host.account)
sys.exit(not (settings.agent.socket and is_account(name)))
"""
_TRIAL_SECONDS = 20


@click.command()
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="How many processes answer.",
)
@click.option(
    "--for-accounts",
    is_flag=True,
    help="Answer people with accounts of their own on this machine instead (gitguard verify in a shell).",
)
@click.pass_context
def agent(ctx: click.Context, workers: int, for_accounts: bool) -> None:
    """Answer gate and hook. Until stopped; on the socket of [agent], or the one that systemd hands over
    (docs/agent.md).
    """
    settings = open_settings_or_say(ctx)
    path = str(settings.agent.socket)
    if path and for_accounts:
        path = accounts_socket(path)
    if not path:
        raise Refusal(
            "usage",
            text="no socket is named: set socket in [agent], such as /run/gitguard/agent.socket, then run init",
            hint="gitguard admin config edit",
        )
    need_utf8()
    before = still_answering_before()
    listener, ours = handed_over(path)
    git_uid = uid_of(settings.host.account)
    if settings.is_apart and listener is None:  # given to the Git account while we may
        client = EVERYONE if for_accounts else git_uid
        listener = opened(path, uid_of(settings.keeper), client, looks=True)
    enter(ctx, resident=True)
    config, began_in = config_of(ctx), os.getcwd()
    places = places_of(config)
    installed = installed_now(places)  # before our code is loaded: what is newer than that shows
    os.chdir("/")
    from gitguard.agent import serving
    from gitguard.cli.over_ssh import serve as serve_own

    load_rooms("action", "answer", "cli", "factor", "host", "session", "store")
    if not settings.store.url.is_file:
        load_rooms("store.postgresql")
    _warm_up()

    listener = listener or opened(path, git_uid, EVERYONE if for_accounts else git_uid)
    place = place_of(path)

    def moved() -> bool:
        return ours and place_of(path) != place

    def say(state: str) -> None:
        click.echo(
            f"gitguard: answering on {path} with {workers} {'process' if workers == 1 else 'processes'}; Ctrl-C ends it",
            err=True,
        )
        tell_systemd(f"{state.upper()}=1")

    resident = Resident(
        places, installed, git_uid, for_accounts=for_accounts, decides_alone=settings.agent_decides
    )
    if serving.serve(
        resident, listener, workers, serve_own, say, moved, lambda: loads(config, "agent"), before
    ):
        os.chdir(began_in)
        begin_anew(listener, place if ours else "", serving.still_answering())
    if ours and not moved():
        with contextlib.suppress(PermissionError):  # root's folder: the next one takes its place
            os.unlink(path)


def load_rooms(*rooms: str) -> None:
    """What a command loads when it needs it, loaded once: a process for each is a fork alone then."""
    for room in rooms:
        for module in pkgutil.iter_modules(import_module(f"gitguard.{room}").__path__):
            if not module.ispkg:
                import_module(f"gitguard.{room}.{module.name}")


def _warm_up() -> None:
    """The libraries load the rest of themselves at their first use."""
    from gitguard.factor.keyring import KEY_BYTES, Keyring
    from gitguard.factor.totp import Parameters, new_secret

    Keyring(bytes(KEY_BYTES), {"none": bytes(KEY_BYTES)}).encrypt("none", "none", "none")
    Parameters(new_secret()).code(0)


def loads(config: str, who: str) -> bool:
    """Whether what is installed now can be begun with, by the `agent` or the `helper`. Not in the middle of
    an upgrade, nor by a broken configuration, nor where that is another account's now: then who runs stays.
    """
    flags = ["-I"] if sys.flags.isolated else []
    try:
        done = subprocess.run(
            [sys.executable, *flags, "-c", _TRIAL, config, who],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False, timeout=_TRIAL_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def need_utf8() -> None:
    """Names of repositories are UTF-8, whatever locale we were started in: else begin again in another."""
    if sys.getfilesystemencoding() != "utf-8":
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)  # noqa: S606
