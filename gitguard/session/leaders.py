"""Who asks in a connection of sshd's: one process for each session leader that sshd starts there.

One small file for each, while the leader lives: whoever comes second is something that the first left behind.
"""

from __future__ import annotations

import contextlib
import os

from gitguard.message.reasons import Refusal

LEADERS = "leaders"  # below the state folder: who has asked, by leader


class Place:
    """Where a process stands: its parent, its session's leader, when it began."""

    def __init__(self, pid: int) -> None:
        """Raises OSError, ValueError."""
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read(4096)
        fields = line[line.rindex(b")") + 2 :].split()
        self.pid, self.parent, self.leader, self.started = (
            pid,
            int(fields[1]),
            int(fields[3]),
            int(fields[19]),
        )

    @property
    def is_there(self) -> bool:
        """Whether this very process still lives."""
        try:
            return Place(self.pid).started == self.started
        except (OSError, ValueError):
            return False

    @property
    def name(self) -> str:
        """What tells it from every other process."""
        return f"{self.pid}-{self.started}"


def come_first(state: str, leader: Place, asker: Place) -> None:
    """Note that `asker` has asked for its leader. Raises Refusal where another process has."""
    folder = f"{state}/{LEADERS}"
    path = f"{folder}/{leader.name}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    for _ in range(2):
        try:
            handle = os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(folder, 0o700, exist_ok=True)
            continue
        except FileExistsError:
            with open(path, encoding="ascii") as file:
                if file.read(100) == asker.name:
                    return  # the same once more: what we said was not heard
            raise Refusal("no-identity", "another process of this connection has asked already") from None
        try:
            os.write(handle, asker.name.encode())
        finally:
            os.close(handle)
        return
    raise Refusal("no-identity", f"{folder} cannot be made")


def clear_leaders(state: str) -> None:
    """Forget leaders that are gone."""
    folder = f"{state}/{LEADERS}"
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        pid, _, started = name.partition("-")
        try:
            alive = str(Place(int(pid)).started) == started
        except (OSError, ValueError):
            alive = False
        if not alive:
            with contextlib.suppress(FileNotFoundError):  # another sweep has, meanwhile
                os.unlink(f"{folder}/{name}")
