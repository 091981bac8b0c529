"""`admin helper`: the Git account's part of an agent that has an account of its own."""

from __future__ import annotations

import os

import click

from gitguard.agent.listening import (
    begin_anew,
    handed_over,
    opened,
    place_of,
    still_answering_before,
    tell_systemd,
)
from gitguard.agent.resident import installed_now
from gitguard.cli.admin.agent import load_rooms, loads, need_utf8
from gitguard.cli.admin.context import config_of, open_settings_or_say
from gitguard.host.places import helper_socket, places_of
from gitguard.machine.git_account import become, own_command_line, uid_of
from gitguard.message.reasons import Refusal

_ROOMS = ("machine", "repository", "host", "action")  # whose errands it does


@click.command()
@click.pass_context
def helper(ctx: click.Context) -> None:
    """Look at repositories for the agent. Until stopped; runs as the Git account, where [agent] account names
    another one (docs/agent.md).
    """
    settings = open_settings_or_say(ctx)
    if not settings.is_apart:
        raise Refusal(
            "usage",
            text="no helper is needed: [agent] account names no other account than the Git account",
            hint="gitguard admin config edit",
        )
    path, keeper = helper_socket(str(settings.agent.socket)), uid_of(settings.keeper)
    need_utf8()
    before = still_answering_before()
    listener, ours = handed_over(path)
    if listener is None:
        listener = opened(path, uid_of(settings.host.account), keeper)
    become(str(settings.host.account), own_command_line())
    os.umask(0o077)
    config, place = config_of(ctx), place_of(path)
    places, began_in = places_of(config), os.getcwd()
    installed = installed_now(places)
    os.chdir("/")
    from gitguard.agent.helper import serve

    load_rooms(*_ROOMS)

    def say(state: str) -> None:
        click.echo(f"gitguard: the Git account's helper listens on {path}; Ctrl-C ends it", err=True)
        tell_systemd(f"{state.upper()}=1")

    def is_outdated() -> bool:
        return installed_now(places) != installed

    stand_in = serve(listener, keeper, is_outdated, lambda: loads(config, "helper"), say, before)
    if stand_in is not None:
        os.chdir(began_in)
        begin_anew(listener, place if ours else "", stand_in)
