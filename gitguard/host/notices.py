"""Handing notices to the process that tells the admin's program (host/notifier.py):
never in the way of a change.

A notice is one line in a file of the state folder. Whoever adds one sees to it that someone works: if nobody
does, a process of its own is started, away from this one's connection, terminal and children.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from collections import Counter

from msgspec import Struct

from gitguard.host import notifier
from gitguard.machine.environment import PATH

DROPPED = "notices.dropped"  # below the state folder


class Failed(Struct, frozen=True):
    """The last notice that the program did not take: when (Unix seconds), which event, why."""

    at: int
    event: str
    fault: str


class Dropped(Struct, frozen=True):
    """Notices that no room was left for, until an admin takes the note away: how many, since when (Unix
    seconds), of which event most.
    """

    count: int
    since: int
    event: str


def add(state: str, command: tuple[str, ...], notices: list[dict[str, object]]) -> None:
    """Leave `notices` for `command`. Raises OSError where they cannot be left; what a full queue
    does not take, doctor names.
    """
    data = b"".join(json.dumps(notice).encode() + b"\n" for notice in notices)
    if not data:
        return
    while not _appended(state, data):
        pass  # it was taken away to be worked on while we opened it
    work(state, command)


def _appended(state: str, data: bytes) -> bool:
    """Add `data` to the very file of the queue; False if another has come into its place."""
    path = f"{state}/notices"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # anyone who takes the file away waits for this before reading it
        try:
            there = os.stat(path).st_ino == os.fstat(handle).st_ino
        except FileNotFoundError:
            there = False
        if there:
            size = os.fstat(handle).st_size
            if size + len(data) > notifier.LONGEST_BYTES:
                data = _made_room(state, os.pread(handle, size, 0) + data)
                os.ftruncate(handle, 0)
                size = 0
            if os.write(handle, data) != len(data):
                os.ftruncate(handle, size)  # half a notice would spoil the next one too
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return there
    finally:
        os.close(handle)


def _made_room(state: str, data: bytes) -> bytes:
    """The queue without the latest of the most frequent kind: a flood of one drops nothing of another."""
    lines = data.splitlines(keepends=True)
    kinds = [_kind(line) for line in lines]
    counts = Counter(kinds)
    room, dropped = len(data) - notifier.LONGEST_BYTES, Counter[str]()
    while room > 0:
        kind = counts.most_common(1)[0][0]
        place = len(kinds) - 1 - kinds[::-1].index(kind)
        room -= len(lines[place])
        del lines[place], kinds[place]
        counts[kind] -= 1
        dropped[kind[0]] += 1
    before = last_dropped(state)
    event, _ = dropped.most_common(1)[0]
    note = {
        "count": dropped.total() + (before.count if before is not None else 0),
        "since": before.since if before is not None else int(time.time()),
        "event": event,
    }
    with open(f"{state}/{DROPPED}.new", "w", encoding="utf-8") as file:
        json.dump(note, file)
    os.replace(f"{state}/{DROPPED}.new", f"{state}/{DROPPED}")
    notifier.note_failure(
        state, event, f"{note['count']} notices were dropped, because too many wait already"
    )
    return b"".join(lines)


def _kind(line: bytes) -> tuple[str, str]:
    try:
        notice = json.loads(line)
        return str(notice["event"]), str(notice.get("user", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""


def last_dropped(state: str) -> Dropped | None:
    """What no room was left for, None if nothing was, or an admin took the note away."""
    try:
        with open(f"{state}/{DROPPED}", encoding="utf-8") as file:
            found = json.load(file)
        return Dropped(int(found["count"]), int(found["since"]), str(found["event"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def work(state: str, command: tuple[str, ...]) -> None:
    """See to it that someone works through what waits, if anything does. Raises OSError."""
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
