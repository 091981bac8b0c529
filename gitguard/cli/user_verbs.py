"""Which function serves which verb of a user, on the server. Its file is loaded when the verb is
typed: a login waits for it.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module

from gitguard.cli.context import UserContext
from gitguard.command_line import Run

_RUNS = {
    "verify": "own_verify.verify",
    "enroll": "own_factor.enroll",
    "status": "own_view.status",
    "keys": "own_keys.keys",
    "leave": "own_factor.leave",
    "web": "own_web.link",
    "recovery-codes": "own_factor.recovery_codes",
    "always": "own_factor.always",
    "remove": "own_factor.remove",
    "repo show": "own_repo.show",
    "repo require": "own_repo.require",
    "repo lifetime": "own_repo.lifetime",
    "repo admin": "own_repo.admin",
}


def runs(context: UserContext) -> dict[str, Run]:
    """Verb -> what it does for the person `here`, for command_line.add_verbs."""
    return {name: partial(_run, place, context) for name, place in _RUNS.items()}


def _run(place: str, context: UserContext, **options: object) -> int | None:
    module, _, name = place.partition(".")
    function: Run = getattr(import_module(f"gitguard.cli.{module}"), name)
    return function(context, **options)


def greet(context: UserContext) -> None:
    """What `ssh -T git@HOST` says."""
    _run("own_view.greet", context)


def show_help(context: UserContext) -> None:
    """What `2fa help` says."""
    _run("own_view.show_help", context)
