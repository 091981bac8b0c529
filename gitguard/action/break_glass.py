"""Maintenance past the hook: a signed grant while one command runs, begun and ended in the trail.

MUST: the trail has an end for every beginning, however it comes: by itself, by a signal, by the death of the
command; after a kill -9 of ours, the next admin command closes what was left open and says so.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from types import FrameType

from gitguard.action.installation import Installation, note_server
from gitguard.answer.access_log import new_id
from gitguard.machine.process import parent_and_start
from gitguard.message.reasons import Refusal, readable
from gitguard.session.credential import NONE
from gitguard.session.grant import BREAK_GLASS, ENVIRONMENT_NAME, Grant, read_key, seal
from gitguard.session.moment import Moment, now
from gitguard.store.rows import BreakGlass

Ended = Callable[[int], None]
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def begin(
    installation: Installation, command: tuple[str, ...], moment: Moment, actor: str, reason: str, pid: int
) -> tuple[str, str]:
    """(the decision's id, the sealed grant) for a command of the process `pid`. Raises Refusal.

    It needs a store that can be written: what cannot be written down is not done.
    """
    if not reason.strip():
        raise Refusal("usage", text="say why, with --reason")
    id_ = new_id()
    started = parent_and_start(pid)[1]
    try:
        secret = read_key(installation.settings.paths.grant_key, os.geteuid())
    except (OSError, ValueError) as error:
        raise Refusal("store-unavailable", f"{error}; renew it with: gitguard admin init") from None
    grant = Grant(
        kind=BREAK_GLASS,
        user=actor,
        credential=NONE,
        address="",
        directory="",
        session=0,
        age_seconds=-1,
        at=moment.at,
        pid=pid,
        started=started,
        decision=id_,
    )
    note_server(installation, moment)  # so that no other server takes it for one of a server that is gone
    shown = readable(" ".join(command), 500)
    with installation.store.writing() as tx:
        tx.begin_break_glass(BreakGlass(id_, actor, pid, started, moment.boot))
        tx.record("break-glass-begun", moment.at, actor, reason=reason, command=shown, decision=id_)
    return id_, seal(grant, secret)


def end(installation: Installation, id_: str, actor: str, status: int) -> None:
    """Close it in the trail. Raises Refusal."""
    with installation.store.writing() as tx:
        tx.end_break_glass(id_)
        tx.record("break-glass-ended", now().at, actor, decision=id_, status=status)


def run(command: tuple[str, ...], sealed: str, ended: Ended) -> tuple[int, str]:
    """Run `command` with the grant: (exit status, what went wrong in words or ""). `ended` closes it in the
    trail, however it comes.

    An interrupt at the terminal reaches the command itself; other signals to us are passed on to it.
    """
    status, fault = 1, ""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_PASSED_ON)}
    try:
        child: subprocess.Popen[bytes] | None = None
        early: list[int] = []  # what came while the command was being started: it may have missed it

        def pass_on(number: int, _: FrameType | None) -> None:
            if child is None:
                early.append(number)
            elif number != signal.SIGINT:
                child.send_signal(number)

        # SIGINT must be handled, not ignored: an ignored signal stays ignored in the command too.
        for number in (signal.SIGINT, *_PASSED_ON):
            signal.signal(number, pass_on)
        try:
            child = subprocess.Popen(command, env={**os.environ, ENVIRONMENT_NAME: sealed})
        except OSError as error:
            status, fault = 127, f"{readable(command[0])}: {error.strerror}"
        else:
            for missed in early:
                child.send_signal(missed)
            status = child.wait()
    finally:
        ended(status)
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status, fault


def close_left_open(installation: Installation, moment: Moment, actor: str) -> list[BreakGlass]:
    """Close what a process that is gone did not close itself; what was closed. Raises Refusal."""
    elsewhere = installation.store.boots() - {moment.boot}
    with installation.store.reading() as tx:
        left = [
            entry
            for entry in tx.open_break_glass()
            if entry.boot not in elsewhere and not _is_alive(entry, moment)
        ]
    if left:
        with installation.store.writing() as tx:
            for entry in left:
                if tx.end_break_glass(entry.decision):
                    tx.record(
                        "break-glass-ended", moment.at, actor, decision=entry.decision,
                        begun_by=entry.actor, note="not closed by itself",
                    )  # fmt: skip
    return left


def _is_alive(entry: BreakGlass, moment: Moment) -> bool:
    try:
        return entry.boot == moment.boot and parent_and_start(entry.pid)[1] == entry.started
    except (OSError, ValueError):
        return False
