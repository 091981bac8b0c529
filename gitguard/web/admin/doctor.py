"""doctor's findings. A whole look takes seconds and forks sshd: it runs beside
the page, which shows the last.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading

from flask import Blueprint, current_app, redirect, url_for
from flask.typing import ResponseReturnValue
from msgspec import Struct

from gitguard.web.context import SERVER_ADMIN, current, needs
from gitguard.web.render import show

pages = Blueprint("doctor", __name__)
LONGEST_SECONDS = 300


class Look(Struct, frozen=True):
    """What one look found, at Unix seconds; `fault`: why it found nothing."""

    at: int
    findings: tuple[dict[str, str], ...] = ()
    fault: str = ""


class Looks:
    """At most one look at a time."""

    def __init__(self) -> None:
        self.last: Look | None = None
        self._running = threading.Lock()

    @property
    def is_running(self) -> bool:
        """Whether someone looks just now."""
        return self._running.locked()

    def begin(self, config: str, at: int) -> bool:
        """Look, in a thread of its own; False where one runs already."""
        if not self._running.acquire(blocking=False):
            return False
        threading.Thread(target=self._look, args=(config, at), daemon=True).start()
        return True

    def _look(self, config: str, at: int) -> None:
        try:
            self.last = look(config, at)
        finally:
            self._running.release()


def look(config: str, at: int) -> Look:
    """`gitguard admin doctor --json`, as this account."""
    command = [sys.executable, "-m", "gitguard", "--config", config, "admin", "doctor", "--json"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST_SECONDS, check=False
        )
        found = json.loads(done.stdout)["findings"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
        return Look(at, fault=type(error).__name__)
    return Look(at, tuple(found))


@pages.get("/doctor")
@needs(SERVER_ADMIN)
def findings() -> ResponseReturnValue:
    """The last look."""
    looks: Looks = current_app.extensions["doctor"]
    order = {"gap": 0, "note": 1, "ok": 2}
    last = looks.last
    found = sorted(last.findings, key=lambda one: order.get(one["level"], 0)) if last is not None else []
    return show("admin/doctor.html", last=last, findings=found, running=looks.is_running)


@pages.post("/doctor")
@needs(SERVER_ADMIN)
def look_again() -> ResponseReturnValue:
    """Look again."""
    context = current()
    current_app.extensions["doctor"].begin(current_app.config["CONFIG"], context.moment.at)
    return redirect(url_for("doctor.findings"), 303)
