"""Taking turns at asking: of many Git commands that one verification would let through, one asks and the others wait for it.

A file made for itself alone is the turn; it has no lock that only some systems know. What a crash left counts no more
after `STALE_SECONDS`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from hashlib import blake2b

from gitguard.client.known import folder
from gitguard.client.remote import Server

STALE_SECONDS = 150.0  # longer than anybody is asked for a code
_LOOK_SECONDS = 0.1


def _path(server: Server, what: str) -> str:
    name = blake2b(f"{server.destination} {server.port}".encode(), digest_size=12).hexdigest()
    return os.path.join(folder(), f"{name}.{what}")


@contextlib.contextmanager
def turn(server: Server) -> Iterator[bool]:
    """Wait for the turn to ask for `server`; False where it does not come, or cannot be taken at all."""
    path = _path(server, "turn")
    taken = False
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        ends = time.monotonic() + STALE_SECONDS
        while not taken and time.monotonic() < ends:
            taken = _take(path)
            if not taken:
                time.sleep(_LOOK_SECONDS)
    except OSError:
        taken = False
    try:
        yield taken
    finally:
        if taken:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _take(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        with contextlib.suppress(OSError):
            if time.time() - os.stat(path).st_mtime > STALE_SECONDS:
                os.unlink(path)
        return False
    return True


def verified_since(server: Server, moment: float) -> bool:
    """Whether another command has verified to `server` since then (seconds of the wall clock)."""
    try:
        return os.stat(_path(server, "verified")).st_mtime >= moment
    except OSError:
        return False


def note_verified(server: Server) -> None:
    """Let those who wait for the turn know. Where it cannot be noted, each of them asks."""
    with contextlib.suppress(OSError):
        path = _path(server, "verified")
        with open(path, "w", encoding="utf-8") as file:
            file.write("")
        os.utime(path)
