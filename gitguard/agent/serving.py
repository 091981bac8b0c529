"""The agent's first process: it starts the workers (worker.py), and answers nothing.

What the kernel may do in between: end any of us at any point (the socket stays with systemd, clients decide
by themselves), refuse a fork (a worker fewer until the next look), or hand one connection to two who wait
(one gets it, the other waits again).
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable

from gitguard.agent import apart
from gitguard.agent.frame import close
from gitguard.agent.resident import Resident
from gitguard.agent.worker import LOOK_SECONDS, AgentWorker

TRIAL_SECONDS = 5.0  # between two tries to begin anew, where what is installed cannot be begun with
LAST_SECONDS = 2.0  # an answer that was begun is over by then
_left_at_work: list[int] = []
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1}


def serve(
    resident: Resident,
    listener: socket.socket,
    workers: int,
    serve_own: apart.ServeOwn,
    say: Callable[[str], None],
    moved: Callable[[], bool],
    loads: Callable[[], bool],
    before: int = -1,
) -> bool:
    """Answer on `listener` with so many workers until told to stop (SIGTERM, SIGINT); True where it is to
    begin anew (SIGHUP, or an installation that is newer than we are), on the same socket.

    `serve_own` runs a command of ours (cli/over_ssh.py). `moved`: whether the socket's place is no more ours.
    The workers answer what they have in hand, whichever it is; commands on a client's streams go on until
    they end. Who begins anew leaves its workers at work until the new ones are (`before`, the handle that
    they wait at): to load takes longer than a client waits.
    """
    listener.settimeout(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    stopping, stop = os.pipe()
    gc.collect()
    gc.freeze()  # what is loaded is shared by the workers, and nobody looks it through again
    alive: dict[int, float] = {}
    is_ready, next_trial = False, 0.0
    while True:
        while len(alive) < workers:
            child = _start(resident, listener, stopping, [stop, before], serve_own)
            if not child:
                break
            alive[child] = time.monotonic()
        if not is_ready:
            is_ready = True
            say("ready")
            if before >= 0:
                os.close(before)
                before = -1
        told = signal.sigtimedwait(_SIGNALS, LOOK_SECONDS)
        number = told.si_signo if told is not None else 0
        began_just_now = [began for began in _reaped(alive) if time.monotonic() - began < LOOK_SECONDS]
        if began_just_now:
            time.sleep(LOOK_SECONDS)  # a worker that cannot live is not tried a thousand times a second
        if number in (signal.SIGTERM, signal.SIGINT) or (not number and moved()):
            break
        if number == signal.SIGHUP or (resident.is_outdated and time.monotonic() >= next_trial):
            next_trial = time.monotonic() + TRIAL_SECONDS
            if loads():
                _left_at_work.append(stop)
                return True
    os.close(stop)
    ends = time.monotonic() + LAST_SECONDS
    while alive and time.monotonic() < ends:
        signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        _reaped(alive)
    return False


def still_answering() -> int:
    """The handle that our workers wait at, where `serve` has left them at work; -1 where it has not."""
    return _left_at_work[-1] if _left_at_work else -1


def _start(
    resident: Resident, listener: socket.socket, stopping: int, of_first: list[int], serve_own: apart.ServeOwn
) -> int:
    """A new worker's pid; 0 where there is none to be had now."""
    master = os.getpid()
    try:
        child = os.fork()
    except OSError:
        return 0
    if child:
        return child
    try:
        close([handle for handle in of_first if handle >= 0])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        # The first process's to hear, whoever sends them to all of us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        AgentWorker(resident, listener, stopping, master, serve_own).run()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _reaped(alive: dict[int, float]) -> list[float]:
    """Take note of workers that ended: when each had begun."""
    began: list[float] = []
    while True:
        try:
            child, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return began
        if not child:
            return began
        if child in alive:
            began.append(alive.pop(child))
