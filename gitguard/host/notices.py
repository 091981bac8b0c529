"""Handing notices to the process that tells the admin's program (host/notifier.py): never in the way of a change.

A notice is one line in a file of the state folder. Whoever adds one sees to it that somebody works: if nobody does,
a process of its own is started, away from this one's connection, terminal and children.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from gitguard.host import notifier
from gitguard.machine.environment import PATH


@dataclass(frozen=True, slots=True)
class Failed:
    """The last notice that the program did not take: when (Unix seconds), which event, why."""

    at: int
    event: str
    fault: str


def add(state: str, command: tuple[str, ...], notices: list[dict[str, object]]) -> None:
    """Leave `notices` for `command`. Raises OSError where they cannot be left; what a full queue does not take, doctor names."""
    path = f"{state}/notices"
    waiting = os.stat(path).st_size if os.path.exists(path) else 0
    data, dropped = b"", 0
    for notice in notices:
        line = json.dumps(notice).encode() + b"\n"
        if waiting + len(data) + len(line) > notifier.LONGEST_BYTES:
            dropped += 1
        else:
            data += line
    if dropped:
        event = str(notices[-1]["event"])
        notifier.note_failure(state, event, f"{dropped} notices were dropped, because too many wait already")
    if not data:
        return
    while not _appended(path, data):
        pass  # it was taken away to be worked on while we opened it
    work(state, command)


def _appended(path: str, data: bytes) -> bool:
    """Add `data` to the very file at `path`; False if another has come into its place."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # whoever takes the file away waits for this before reading it
        try:
            there = os.stat(path).st_ino == os.fstat(handle).st_ino
        except FileNotFoundError:
            there = False
        if there:
            size = os.fstat(handle).st_size
            if os.write(handle, data) != len(data):
                os.ftruncate(handle, size)  # half a notice would spoil the next one too
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return there
    finally:
        os.close(handle)


def work(state: str, command: tuple[str, ...]) -> None:
    """See to it that somebody works through what waits, if anything does. Raises OSError."""
    if not any(os.path.exists(f"{state}/notices{suffix}") for suffix in ("", ".work")) or _is_busy(state):
        return
    # The shell leaves it behind and ends: it is nobody's child that we would have to wait for.
    subprocess.run(
        ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-IS", notifier.__file__, state, *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        cwd="/", start_new_session=True, env={"PATH": PATH, "LANG": "C.UTF-8", **_of_account()},
    )  # fmt: skip


def _of_account() -> dict[str, str]:
    return {name: os.environ[name] for name in ("HOME", "USER", "LOGNAME") if name in os.environ}


def _is_busy(state: str) -> bool:
    handle = os.open(f"{state}/notices.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def last_failure(state: str) -> Failed | None:
    """The last notice, if it was not taken; None if it was, or there was none."""
    try:
        with open(f"{state}/notices.failed", encoding="utf-8") as file:
            found = json.load(file)
        return Failed(int(found["at"]), str(found["event"]), str(found["fault"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
