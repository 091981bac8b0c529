"""The Git account's helper: errands for an agent that has an account of its own.

It holds nothing that the Git account has not already, and does only what is marked as an errand
(machine/errand.py), for root and the agent's account alone. One process for each connection: what takes long
in one keeps nobody else waiting, and an errand that dies takes its connection along, no more.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable

from gitguard.agent.carrier import CarrierError, answer_to, received

LOOK_SECONDS = 1.0
TRIAL_SECONDS = 5.0  # between two tries to begin anew, where what is installed cannot be begun with
MOST = 256  # connections at once: each worker and each thread of the page keeps one
_FULL_SECONDS = 0.1
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7)
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def serve_errands(connection: socket.socket) -> None:
    """Do what is asked on `connection`, one errand after the other, until it ends."""
    connection.settimeout(None)
    while True:
        try:
            question = received(connection)
            # Whoever ends us meanwhile ends us behind this errand: a hook is put in place whole.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                connection.sendall(answer_to(question))
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        except (OSError, CarrierError):
            return


def serve(
    listener: socket.socket,
    keeper: int,
    is_outdated: Callable[[], bool],
    loads: Callable[[], bool],
    say: Callable[[str], None],
    before: int = -1,
) -> int | None:
    """Serve root and the account `keeper` on `listener` until told to stop (SIGTERM, SIGINT): None; where it
    is to begin anew (SIGHUP, or an installation that is newer than we are), the handle by which a stand-in
    serves meanwhile, as long as it is open. `before`: that of our former self. Errands that were begun end.
    """
    listener.settimeout(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    next_trial = 0.0
    say("ready")
    if before >= 0:
        os.close(before)
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    while True:
        if len(children) < MOST:
            ready = waiting.poll(int(LOOK_SECONDS * 1000))
        else:  # the next ones wait in the backlog
            ready = []
            time.sleep(_FULL_SECONDS)
        number = signal.sigtimedwait(_SIGNALS, 0)
        _bury(children)
        if number is not None and number.si_signo != signal.SIGHUP:
            return None
        if number is not None or (is_outdated() and time.monotonic() >= next_trial):
            next_trial = time.monotonic() + TRIAL_SECONDS
            if loads():
                return _stand_in(listener, keeper)
        if ready:
            _take(listener, keeper, children)


def _stand_in(listener: socket.socket, keeper: int) -> int:
    """Leave a child that takes connections until the handle is closed, since to load takes a while."""
    stopping, stop = os.pipe()
    if os.fork():
        os.close(stopping)
        return stop
    try:
        os.close(stop)
        children: set[int] = set()
        waiting = select.poll()
        for handle in (listener.fileno(), stopping):
            waiting.register(handle, select.POLLIN)
        while stopping not in (ready := [handle for handle, _ in waiting.poll(int(LOOK_SECONDS * 1000))]):
            _bury(children)
            if ready:
                _take(listener, keeper, children)
    finally:
        os._exit(0)


def _take(listener: socket.socket, keeper: int, children: set[int]) -> None:
    try:
        connection, _ = listener.accept()
    except OSError:
        return
    with connection:
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(data)[1] not in (0, keeper):
            return
        try:
            child = os.fork()
        except OSError:
            return  # its errand was not taken: it says so, or comes again
        if child:
            children.add(child)
            return
        try:
            listener.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            serve_errands(connection)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)


def _bury(children: set[int]) -> None:
    """Take note of who has ended, also of those that our former self began."""
    try:
        while child := os.waitpid(-1, os.WNOHANG)[0]:
            children.discard(child)
    except ChildProcessError:
        children.clear()
