"""`ssh -T git@HOST` and `ssh -T git@HOST 2fa ...`: the gate has said who it is; this runs the use case."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable

import click

from gitguard.action.installation import open_installation, settings_of
from gitguard.answer.access_log import append, line_of
from gitguard.answer.refuse import context_of
from gitguard.cli.context import UserContext, say_lag
from gitguard.cli.user_verbs import greet, runs, show_help
from gitguard.command_line import Group, add_verbs, run, tell
from gitguard.config.cache import SettingsCache
from gitguard.config.compiled import Config
from gitguard.config.schema import Settings
from gitguard.decision.command import quote
from gitguard.decision.decision import Decision
from gitguard.factor.person import Person
from gitguard.machine.environment import PATH
from gitguard.message.reasons import Refusal
from gitguard.store.gate_query import GateQuery
from gitguard.verbs import VERBS


def serve(
    decision: Decision,
    id_: str,
    config: Config,
    config_path: str,
    store: GateQuery,
    process: int = 0,
    reading: Callable[[str], Settings] | None = None,
) -> int:
    """Run the command of an allowed connection; returns its exit status. `process`: the gate that it is run
    for, 0 where we are that; `reading`: how the configuration is read, where it may be at hand.

    What people do goes to the audit trail; what is broken also leaves a line in the access log, with the
    decision's id, since the person is only told to ask the admin.
    """
    os.umask(0o077)
    # Under a generous AcceptEnv libraries would read what the client set (click: _2FA_COMPLETE).
    kept = {
        name: os.environ[name] for name in ("HOME", "USER", "LOGNAME", "SSH_CONNECTION") if name in os.environ
    }
    os.environ.clear()
    os.environ.update(kept, PATH=PATH, LANG="C.UTF-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever LC_ALL the client sent, half blocks are UTF-8
            stream.reconfigure(encoding="utf-8", errors="replace")
    refusal_context = context_of(decision, id_, config, store)
    store.close()
    if decision.command is not None and decision.command.words[:1] != ("verify",):
        refusal_context.words = " ".join(
            quote(word) if not word.isalnum() else word for word in decision.command.words
        )

    def told(refusal: Refusal) -> None:
        if refusal.is_our_fault:
            with contextlib.suppress(Refusal):  # it is refused all the same
                append(config, line_of(decision.refused(refusal), id_))

    try:
        context = UserContext(
            open_installation(
                config_path,
                decision.request.moment,
                "configuration",
                reading or SettingsCache(settings_of),
                process,
            ),
            _person(decision),
            refusal_context.server,
        )
    except Refusal as refusal:
        told(refusal)
        return tell(refusal, refusal_context)
    with contextlib.closing(context.installation.store):  # the launcher ends without taking anything down
        command, words = _command(context, decision)
        status = run(command, words, "2fa", refusal_context, told)
        say_lag(context.installation)
    return status


def _person(decision: Decision) -> Person:
    return Person(decision.request.user, decision.request.credential, decision.request.address)


def _command(context: UserContext, decision: Decision) -> tuple[click.Command, list[str]]:
    """The click command that the connection asks for, and its arguments."""
    words = list(decision.command.words) if decision.command is not None else []
    if decision.command is None or decision.command.verb == "hello":
        return click.Command("hello", callback=lambda: greet(context)), []
    if not words or words[0] in ("help", "--help", "-h"):
        return click.Command("help", callback=lambda: show_help(context)), []
    group = Group("2fa", add_help_option=False)
    add_verbs(group, VERBS, runs(context))
    group.add_command(click.Command("help", callback=lambda: show_help(context)))
    return group, words
