"""Doing one thing as the Git account while root continues: in a child that has given root up."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from gitguard.machine.git_account import become
from gitguard.message.reasons import Refusal


def run_as(name: str, function: Callable[[], None]) -> None:
    """Run `function` as the account `name` and wait for it. Raises the Refusal that it raised."""
    if os.geteuid() != 0:
        function()
        return
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            try:
                become(name, "")
                function()
                status = 0
            except Refusal as refusal:
                told = [refusal.reason, refusal.detail, refusal.text, refusal.hint]
            except Exception as error:
                told = ["internal-error", f"{type(error).__name__}: {error}", "", ""]
            if status:
                os.write(writing, json.dumps(told).encode()[:65000])
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if status == 0:
        return
    reason, detail, text, hint = json.loads(said) if said else ("internal-error", "the child died", "", "")
    raise Refusal(reason, detail, text=text, hint=hint)
