"""Doing one thing as the Git account while root continues: in a child that has given root up."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable

from gitguard.machine.git_account import become
from gitguard.message.reasons import Refusal

SECONDS = 60.0


def alone() -> None:
    """In a child that is about to be another account: in a session of its own, so that whoever takes it over
    reaches no terminal of root's.
    """
    os.setsid()


def all_within(handle: int, child: int, seconds: float, endings: list[int] | None = None) -> bytes:
    """All that `child` writes to the pipe `handle`; it is ended where that takes longer. `endings`: its
    status is put there. Raises Refusal.
    """
    ends = time.monotonic() + seconds
    said = b""
    late = False
    with os.fdopen(handle, "rb", 0) as pipe:
        while select.select([pipe], [], [], max(ends - time.monotonic(), 0))[0]:
            part = pipe.read(65536)
            if not part:
                break
            said += part
        else:
            late = True
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if endings is not None:
        endings.append(status)
    if late:
        raise Refusal(
            "internal-error", f"a process of another account did not end within {seconds:.0f} seconds"
        )
    return said


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
            alone()
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
    endings: list[int] = []
    said = all_within(reading, child, SECONDS, endings)
    if endings == [0]:
        return
    reason, detail, text, hint = json.loads(said) if said else ("internal-error", "the child died", "", "")
    raise Refusal(reason, detail, text=text, hint=hint)
