"""A command of ours (`2fa ...`) on the client's own three streams, in a process of its own.

The client gave them only after it was told that the command may run. From here on the client waits for the
status, however long a person thinks at the prompt; when it is ended, by a sweep or a hang-up, so are we. What
is loaded already is loaded for this process, too: that is what it is quicker by.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable

from gitguard.agent.answering import OwnCommand
from gitguard.agent.frame import BEGUN, ENDED, packed
from gitguard.agent.peer import has_hung_up
from gitguard.answer.refuse import refuse_request
from gitguard.config.cache import SettingsCache
from gitguard.config.compiled import Config
from gitguard.decision.decision import Decision
from gitguard.message.reasons import refusal_of
from gitguard.store.gate_query import GateQuery

_MOST_OPEN = 1024  # more than a worker ever has
Serve = Callable[[Decision, str, Config, str, GateQuery, int, SettingsCache], int]  # cli/over_ssh.py


def is_terminal(streams: tuple[int, ...]) -> bool:
    """Whether one of them is: then the launcher serves, which the terminal's signals reach."""
    return any(os.isatty(stream) for stream in streams)


def run_apart(
    connection: socket.socket,
    streams: tuple[int, ...],
    command: OwnCommand,
    config: Config,
    settings: SettingsCache,
    process: int,
    serve: Serve,
) -> None:
    """Start the command in a child, which the caller buries later. Raises OSError if it cannot be started.

    MUST: no store is open in this process.
    """
    if os.fork():
        return
    status = 1
    try:
        os.setsid()  # what is sent to the agent's terminal or group is not for a person's command
        status = _served(connection, streams, command, config, settings, process, serve)
    except BaseException:
        traceback.print_exc()  # ours to mend; the client says that it was cut off
    finally:
        os._exit(status)


def _served(
    connection: socket.socket,
    streams: tuple[int, ...],
    command: OwnCommand,
    config: Config,
    settings: SettingsCache,
    process: int,
    serve: Serve,
) -> int:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
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
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    # The agent's socket above all: as long as anyone has it open, it listens.
    os.closerange(3, connection.fileno())
    os.closerange(connection.fileno() + 1, _MOST_OPEN)
    # ruff: noqa: SIM115 - they are the process's own, to its end
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)
    os.environb.clear()
    os.environb.update(command.environ)
    time.tzset()
    status = _status_of(command, config, settings, process, serve)
    for written in (sys.stdout, sys.stderr):
        try:
            written.flush()
        except OSError:  # nobody reads it any more
            status = status or 1
    fcntl.fcntl(connection, fcntl.F_SETFL, flags)
    try:
        connection.settimeout(1)
        connection.sendall(packed(ENDED, (b"%d" % status,)))
    except OSError:
        status = status or 1  # gone in the last moment; what was done is done
    return status


def _status_of(
    command: OwnCommand, config: Config, settings: SettingsCache, process: int, serve: Serve
) -> int:
    """The exit status, as `gate/main.py` would have it."""
    decision = command.decision
    try:
        return serve(decision, command.id, config, config.path, GateQuery(config.store), process, settings)
    except Exception as error:
        return refuse_request(decision.refused(refusal_of(error)), command.id, "", config, None)
