"""Work for a client on its own three streams, in a process of its own.

The client gave them only after it was told that its request will be served so. From here on it waits for the
status, however long a person thinks at the prompt; when it is ended, by a sweep or a hang-up, so are we. What
is loaded already is loaded for this process, too: that is what it is quicker by.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable

from gitguard.agent.frame import BECOME, BEGUN, ENDED, RUN_OTHERS, packed
from gitguard.agent.peer import has_hung_up

_TAKEN = (b"HOME", b"USER", b"LOGNAME", b"SSH_CONNECTION", b"TERM", b"COLUMNS")
_ZONE = re.compile(rb"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z][A-Za-z0-9_+-]{0,31}){0,2}")
_MOST_OPEN = 1024  # more than a worker ever has


def is_terminal(streams: tuple[int, ...]) -> bool:
    """Whether one of them is: then the launcher serves, which the terminal's signals reach."""
    return any(os.isatty(stream) for stream in streams)


class Lent:
    """A client's streams, in the process that works on them."""

    def __init__(self, connection: socket.socket, streams: tuple[int, ...]) -> None:
        self._connection = connection
        self._streams = streams
        self._has_become = False

    def run(self, environ: dict[bytes, bytes], work: Callable[[], int]) -> int:
        """Do `work` on them, in the client's environment, and tell the client the exit status."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        connection = self._connection
        try:
            connection.sendall(packed(BEGUN))
        except OSError:
            return 1  # it is gone
        # The client says nothing more: whatever happens to its end of the connection is that it is gone.
        fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(connection, fcntl.F_SETSIG, signal.SIGTERM)
        flags = fcntl.fcntl(connection, fcntl.F_GETFL)
        fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
        if has_hung_up(connection):
            return 1
        self._take_place(environ)
        status = work()
        for written in (sys.stdout, sys.stderr):
            try:
                written.flush()
            except OSError:  # nobody reads it any more
                status = status or 1
        fcntl.fcntl(connection, fcntl.F_SETFL, flags)
        if self._has_become:
            return status
        try:
            connection.settimeout(1)
            connection.sendall(packed(ENDED, (b"%d" % status,)))
        except OSError:
            status = status or 1  # gone in the last moment; what was done is done
        return status

    def become(self, file: str, argv: list[str], environment: dict[str, str]) -> int:
        """Have the client become it, after all that was said; 0. Raises OSError."""
        self._let_go(BECOME, become_fields(file, argv, environment))
        return 0

    def run_others(self) -> None:
        """Have the client run the repository's other hooks, and ask again. Raises OSError."""
        self._let_go(RUN_OTHERS)

    def _let_go(self, letter: str, fields: tuple[bytes, ...] = ()) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        data = packed(letter, fields)
        flags = fcntl.fcntl(self._connection, fcntl.F_GETFL)
        fcntl.fcntl(self._connection, fcntl.F_SETFL, flags & ~os.O_ASYNC)
        self._connection.settimeout(1)
        self._connection.sendall(data)
        self._has_become = True

    def _take_place(self, environ: dict[bytes, bytes]) -> None:
        for number, stream in enumerate(self._streams):
            os.dup2(stream, number)
        # The agent's socket above all: as long as anyone has it open, it listens.
        kept = self._connection.fileno()
        os.closerange(3, kept)
        os.closerange(kept + 1, _MOST_OPEN)
        # ruff: noqa: SIM115 - they are the process's own, to its end
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)
        os.environb.clear()
        os.environb.update({name: environ[name] for name in _TAKEN if name in environ})
        # A zone by its name alone: TZ may name a file, and what is another account's is not for us to open.
        if _ZONE.fullmatch(zone := environ.get(b"TZ", b"")):
            os.environb[b"TZ"] = zone
        time.tzset()


def become_fields(file: str, argv: list[str], environment: dict[str, str]) -> tuple[bytes, ...]:
    """What a client that is to become a program is told."""
    texts = (file, str(len(argv)), *argv, *(f"{name}={value}" for name, value in environment.items()))
    return tuple(text.encode("utf-8", "surrogateescape") for text in texts)


def run_apart(
    connection: socket.socket,
    streams: tuple[int, ...],
    environ: dict[bytes, bytes],
    work: Callable[[Lent], int],
) -> None:
    """Do `work` in a child, which the caller buries later. Raises OSError if it cannot be started.

    MUST: no file of a store is open in this process.
    """
    if os.fork():
        return
    status = 1
    try:
        os.setsid()  # what is sent to the agent's terminal or group is not for a person's command
        lent = Lent(connection, streams)
        status = lent.run(environ, lambda: work(lent))
    except BaseException:
        traceback.print_exc()  # ours to mend; the client says that it was cut off
    finally:
        os._exit(status)
