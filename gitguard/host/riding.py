"""The Git processes that ride on a decision, and ending them when the decision no longer stands.

The gate leaves its decision in Git's environment; the kernel shows it to the same account. A parked
connection (an upload-pack left open, a push still uploading) MUST not outlive leave, revoke, suspend, reset,
key removal or a tightened toggle. Source: proc(5), /proc/PID/environ.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rider:
    """A process begun by the gate. `session` is 0 where it rides on none; `deciding`: it is still the gate."""

    pid: int
    user: str
    key: str
    session: int
    repository: str
    deciding: bool


def riders() -> list[Rider]:
    """Every process of this account that the gate began, ourselves and our ancestors left out."""
    found = []
    ours = _ancestors()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in ours:
            rider = _rider(int(name))
            if rider is not None:
                found.append(rider)
    return found


def end(which: Callable[[Rider], bool]) -> int:
    """End (SIGTERM) the riders that `which` picks; how many. A process that is gone already is not counted.

    A gate that is still deciding about the same user may have read the store a moment too early, so callers
    pick those too: its client only has to try again.
    """
    count = 0
    for rider in riders():
        if which(rider):
            try:
                os.kill(rider.pid, signal.SIGTERM)
                count += 1
            except ProcessLookupError:
                continue
    return count


def _rider(pid: int) -> Rider | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            pairs = [entry.partition(b"=") for entry in file.read().split(b"\0")]
        environment = {
            name.decode("ascii", "replace"): value.decode("utf-8", "replace") for name, _, value in pairs
        }
        if "GITGUARD_DECISION" in environment:
            return Rider(
                pid,
                environment.get("GITGUARD_USER", ""),
                environment.get("GITGUARD_KEY", ""),
                int(environment.get("GITGUARD_SESSION", "0")),
                environment.get("GITGUARD_REPOSITORY", ""),
                deciding=False,
            )
        return _deciding(pid, environment)
    except (OSError, ValueError):
        return None  # gone meanwhile, or not ours to read


def _deciding(pid: int, environment: dict[str, str]) -> Rider | None:
    """A gate that has not decided yet about a Git command: known by its command line."""
    command = environment.get("SSH_ORIGINAL_COMMAND", "")
    if not command.startswith("git"):
        return None
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().decode("utf-8", "replace").split("\0")
    for position, word in enumerate(words):
        if word.endswith("gitguard-shell") and words[position + 1 : position + 2] == ["--user"]:
            rest = [*words[position + 2 :], "", "", ""]
            return Rider(pid, rest[0], rest[2], 0, "", deciding=True)
    return None


def _ancestors() -> set[int]:
    from gitguard.host.process import parent_and_start

    found = set()
    pid = os.getpid()
    while pid > 1:
        found.add(pid)
        pid = parent_and_start(pid)[0]
    return found
