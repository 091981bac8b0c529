"""One change after the other: anyone who wants to change the store takes a turn,
and waits for it with patience.

SQLite lets one writer in and has the others try again, by chance, for a second or so: of sixty-four people
who verify at once, some would be told that the store is broken. The turn is a lock on the store's folder,
which is the account's alone: it makes no file, and ends with the process that holds it, however that ends.
MUST: it decides nothing; where it cannot be had, SQLite's own lock still lets one writer in at a time. Nor is
it taken where others may open the folder, and hold it for ever.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gitguard.message.reasons import Refusal

PATIENCE_SECONDS = 10.0
_FOR_OTHERS = stat.S_IRGRP | stat.S_IROTH
_FIRST_SECONDS, _MOST_SECONDS = 0.002, 0.03  # between two looks


@contextmanager
def turn(path: str) -> Iterator[None]:
    """The turn for the store at `path`. Raises Refusal("busy") where it has not come within
    the patience: nothing was done.
    """
    try:
        handle = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        if not os.fstat(handle).st_mode & _FOR_OTHERS:
            _wait(handle, PATIENCE_SECONDS)
        yield
    finally:
        # Said, and not left to the closing: a process that was started meanwhile may hold the same file.
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _wait(handle: int, patience_seconds: float) -> None:
    ends, pause = time.monotonic() + patience_seconds, _FIRST_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends:
                raise Refusal("busy", f"no turn within {patience_seconds:g} s") from None
            time.sleep(pause)
            pause = min(pause * 2, _MOST_SECONDS)
        else:
            return
