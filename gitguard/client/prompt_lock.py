"""Taking turns at asking: of many Git commands that one verification would let continue, one
asks and the others wait for it.

The turn is a lock that the kernel lets go of with its process, so nothing that died is waited for; the file
says who has it, for those who wait. Where there are no such locks (Windows) it is a file made for itself
alone, which counts no more after `STALE_SECONDS`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b

from gitguard.client.known_servers import folder
from gitguard.client.remote import Server
from gitguard.message.moments import clock

STALE_SECONDS = 150.0  # longer than anyone is asked for a code
_LOOK_SECONDS = 0.1
_TOLD_SECONDS = 0.5  # who waits for longer is told for whom


def _path(server: Server, what: str) -> str:
    name = blake2b(f"{server.destination} {server.port}".encode(), digest_size=12).hexdigest()
    return os.path.join(folder(), f"{name}.{what}")


@contextlib.contextmanager
def turn(server: Server, tell: Callable[[str], None]) -> Iterator[bool]:
    """Wait for the turn to ask for `server`; False where it does not come, or cannot be taken at all.

    `tell`: called once, in words, where someone else has it.
    """
    held: int | None = None
    with _unwinding():
        try:
            os.makedirs(folder(), mode=0o700, exist_ok=True)
            held = _wait(_path(server, "turn"), tell)
        except OSError:
            held = None
        try:
            yield held is not None
        finally:
            if held is not None:
                _let_go(_path(server, "turn"), held)


def _wait(path: str, tell: Callable[[str], None]) -> int | None:
    began, told = time.monotonic(), False
    while time.monotonic() - began < STALE_SECONDS:
        held = _take(path)
        if held is not None:
            return held
        if not told and time.monotonic() - began >= _TOLD_SECONDS:
            tell(_who(path))
            told = True
        time.sleep(_LOOK_SECONDS)
    return None


def _who(path: str) -> str:
    """Who asks, and since when."""
    try:
        with open(path, encoding="utf-8") as file:
            note = json.load(file)
        since = clock(int(note["since"]), int(time.time()))
        return f"waiting for process {int(note['pid'])}, which has been asking for a code since {since} ({note['where']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "waiting for another command, which is asking for a code"


def _where() -> str:
    """The terminal in which someone is asked, as far as it has a name."""
    with contextlib.suppress(OSError, AttributeError):
        return os.ttyname(2)
    return "another window"


def _take(path: str) -> int | None:
    """A handle that holds the turn, None while someone else has it."""
    note = json.dumps({"pid": os.getpid(), "since": int(time.time()), "where": _where()}).encode()
    if sys.platform == "win32":
        return _take_by_file(path, note)
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    os.write(handle, note)
    return handle


def _take_by_file(path: str, note: bytes) -> int | None:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        with contextlib.suppress(OSError):
            if time.time() - os.stat(path).st_mtime > STALE_SECONDS:
                os.unlink(path)
        return None
    os.write(handle, note)
    return handle


def _let_go(path: str, held: int) -> None:
    """MUST: a lock's file stays: those who wait have it open, and another one would be another lock."""
    with contextlib.suppress(OSError):
        os.close(held)
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            os.unlink(path)


@contextlib.contextmanager
def _unwinding() -> Iterator[None]:
    """A closed window or a stopped command ends what runs here in order, not in the middle."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGHUP", "SIGTERM") if hasattr(signal, name)]
    try:
        before = [(number, signal.signal(number, end)) for number in numbers]
    except ValueError:  # not the main thread
        before = []
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


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
