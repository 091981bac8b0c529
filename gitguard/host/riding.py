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

from gitguard.host.process import parent_and_start


@dataclass(frozen=True, slots=True)
class Rider:
    """A process begun by the gate. `session` is 0 where it rides on none.

    `deciding`: it is still the gate; then `repository` is the client's whole command.
    """

    pid: int
    user: str
    key: str
    session: int
    repository: str
    operation: str
    deciding: bool


@dataclass(frozen=True, slots=True)
class Riding:
    """The riders of one installation, known by its state folder and its gate's launcher."""

    state: str
    gate: str

    def end(self, which: Callable[[Rider], bool]) -> int:
        """End (SIGTERM) the riders that `which` picks; how many. One that is gone already is not counted.

        A gate that is still deciding may have read the store a moment too early, so callers pick those too:
        its client only has to try again.
        """
        count = 0
        for rider in self.riders():
            if which(rider):
                try:
                    os.kill(rider.pid, signal.SIGTERM)
                except ProcessLookupError:
                    continue
                count += 1
        return count

    def riders(self) -> list[Rider]:
        """Every process of this account that this gate began, ourselves and our ancestors left out."""
        parents = _parents()
        ours = set(_way_up(os.getpid(), parents))
        found = (self._rider(pid, parents) for pid in parents if pid not in ours)
        return [rider for rider in found if rider is not None]

    def _rider(self, pid: int, parents: dict[int, int]) -> Rider | None:
        try:
            environment = _environment(pid)
            if environment.get("GITGUARD_STATE") == self.state:
                # A job that a hook left behind inherits the environment, but not the process that was let in.
                began = int(environment.get("GITGUARD_PID", "0"))
                return _begun(pid, environment) if began in _way_up(pid, parents) else None
            return self._deciding(pid, environment)
        except (OSError, ValueError):
            return None  # gone meanwhile, or not ours to read

    def _deciding(self, pid: int, environment: dict[str, str]) -> Rider | None:
        """A gate that has not decided yet about a Git command: known by its command line."""
        if environment.get("SSH_ORIGINAL_COMMAND", "2fa").strip().startswith("2fa"):
            return None
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode("utf-8", "replace").split("\0")
        if self.gate not in words:
            return None
        user, key = ([*words[words.index(self.gate) + 1 :], "", "", "", ""][at] for at in (1, 3))
        return Rider(pid, user, key, 0, environment.get("SSH_ORIGINAL_COMMAND", ""), "", deciding=True)


def _begun(pid: int, environment: dict[str, str]) -> Rider:
    return Rider(
        pid,
        environment.get("GITGUARD_USER", ""),
        environment.get("GITGUARD_KEY", ""),
        int(environment.get("GITGUARD_SESSION", "0")),
        environment.get("GITGUARD_REPOSITORY", ""),
        environment.get("GITGUARD_OPERATION", ""),
        deciding=False,
    )


def _environment(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        pairs = [entry.partition(b"=") for entry in file.read().split(b"\0")]
    return {name.decode("ascii", "replace"): value.decode("utf-8", "replace") for name, _, value in pairs}


def _parents() -> dict[int, int]:
    """Every process and its parent."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found[int(name)] = parent_and_start(name)[0]
            except (OSError, ValueError):
                continue  # gone meanwhile
    return found


def _way_up(pid: int, parents: dict[int, int]) -> list[int]:
    """`pid` and its ancestors, without the first process."""
    way = []
    while pid > 1 and pid not in way:
        way.append(pid)
        pid = parents.get(pid, 0)
    return way
