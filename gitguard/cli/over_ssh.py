"""`ssh -T git@HOST` and `ssh -T git@HOST 2fa ...`: the gate has said who it is; this runs the use case."""

from __future__ import annotations

import os

import click

from gitguard.cli.here import Here
from gitguard.cli.own_view import greet, show_help
from gitguard.cli.user_verbs import runs
from gitguard.command_line import Group, add_verbs, run, tell
from gitguard.config.parse import read_settings
from gitguard.decision.decide import Decision
from gitguard.decision.telling import view_of
from gitguard.factor import keyring
from gitguard.factor.proof import Desk, Person
from gitguard.message.reasons import Refusal
from gitguard.store.sqlite import SqliteStore
from gitguard.verbs import VERBS


def serve(decision: Decision, config_path: str) -> int:
    """Run the command of an allowed connection; returns its exit status."""
    os.umask(0o077)
    view = view_of(decision, "")
    request, command = decision.request, decision.command
    try:
        settings = read_settings(config_path)
        store = SqliteStore(settings.store.url.path, audit_head(settings.paths.access_log))
        desk = Desk(store, keyring.read(f"{settings.paths.state}/secret.keys"), settings)
    except Refusal as refusal:
        return tell(refusal, view)
    person = Person(request.user, request.key, request.address)
    here = Here(desk, person, view)
    if command is None or command.verb == "hello":
        return run(click.Command("hello", callback=lambda: greet(here)), [], "gitguard", view)
    words = list(command.words)
    if not words or words[0] in ("help", "--help", "-h"):
        return run(click.Command("help", callback=lambda: show_help(here)), [], "gitguard", view)
    group = Group("2fa", add_help_option=False)
    add_verbs(group, VERBS, runs(here))
    return run(group, words, "2fa", view)


def audit_head(access_log: str) -> str:
    """Where the newest audit hash stands outside the store: beside the access log."""
    return os.path.join(os.path.dirname(access_log), "audit.head")
