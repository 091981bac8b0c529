"""Which function serves which verb of a user, on the server."""

from __future__ import annotations

from functools import partial

from gitguard.cli import own_factor, own_keys, own_repo, own_view, own_web
from gitguard.cli.here import Here
from gitguard.command_line import Run


def runs(here: Here) -> dict[str, Run]:
    """Verb -> what it does for the person `here`, for command_line.add_verbs."""
    functions: dict[str, Run] = {
        "verify": own_factor.verify,
        "enroll": own_factor.enroll,
        "status": own_view.status,
        "keys": own_keys.keys,
        "leave": own_factor.leave,
        "web": own_web.link,
        "recovery-codes": own_factor.recovery_codes,
        "always": own_factor.always,
        "remove": own_factor.remove,
        "repo show": own_repo.show,
        "repo require": own_repo.require,
        "repo lifetime": own_repo.lifetime,
        "repo admin": own_repo.admin,
    }
    return {name: partial(function, here) for name, function in functions.items()}
