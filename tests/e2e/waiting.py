"""Pushes that wait for their person, as somebody sits before them."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from gitguard.action.installation import open_installation
from gitguard.session import pending
from gitguard.session.moment import now
from gitguard.session.request_notes import Notes, PendingRequest
from lab.person import Person
from lab.server import Server

MOST_SECONDS = 20


class Push:
    """`git push`, typed, with its terminal's words."""

    def __init__(self, server: Server, person: Person, label: str, *options: str) -> None:
        tree = server.work_tree(person, "app", label)
        self.server, self.seen = server, tree / "seen"
        with open(self.seen, "wb") as err:
            self.process = subprocess.Popen(
                ["git", "push", "--quiet", "origin", f"HEAD:refs/heads/{label}"],
                cwd=tree, stderr=err, stdin=subprocess.DEVNULL, env=server.git_env(person, *options), start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self.seen.read_text()

    def number(self) -> str:
        """The number of the waiting push, as soon as it is shown."""
        until(lambda: "waiting up to" in self.said or self.process.poll() is not None)
        found = re.search(r"waiting up to 20 seconds .*push number (\d{4}) continues by itself", self.said)
        assert found, self.said
        return found[1]

    def end(self) -> int:
        """Its exit status."""
        return self.process.wait(MOST_SECONDS + 10)


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Look until it is so; fail after `seconds`."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not become so"
        time.sleep(0.02)


def has_ended(pid: int) -> bool:
    """Whether the process has ended; one that nobody has reaped yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def held(server: Server) -> list[PendingRequest]:
    """The pushes that wait on `server`."""
    return Notes(str(server.home / "state")).held_here()


def noted(server: Server, user: str) -> list[PendingRequest]:
    """What waits for its person, wherever it is noted."""
    opened = open_installation(str(server.config), now(), "test")
    with contextlib.closing(opened.store), opened.store.reading() as tx:
        return pending.pending(opened.notes(tx), user, now().at)


def member(server: Server, name: str) -> Person:
    """Someone enrolled, without a session, whose codes are fresh."""
    person = server.new_user(name, in_session=False)
    server.clear_watermark(person)
    return person
