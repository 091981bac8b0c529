"""One process of the agent's that answers, one question after the other.

It waits on the one listening socket, takes one connection, answers one question, and waits again: one thread,
no queue of its own, so a deadline is an alarm and the kernel's backlog is all the waiting there is. It leaves
between two questions, never within one: it looks for the word to stop where it waits for work.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import traceback
from collections.abc import Callable

from gitguard.agent import apart, lent
from gitguard.agent.answering import (
    YOURSELF,
    Answer,
    OwnCommand,
    answer_of,
    answer_of_keys,
    directory_of,
    read_push,
    read_question,
)
from gitguard.agent.deadline import LateError, deadline
from gitguard.agent.frame import (
    ACCOUNT,
    DECIDE_YOURSELF,
    GATE,
    HERE,
    HOOK,
    KEYS,
    LEND_STREAMS,
    PING,
    Frame,
    FrameError,
    close,
    packed,
    receive,
    streams,
)
from gitguard.agent.peer import account_behind, has_hung_up, may_look, peer_of
from gitguard.agent.resident import Resident
from gitguard.answer.refuse import refuse_request
from gitguard.config.faults import ConfigurationError
from gitguard.decision.updates import LONGEST_INPUT
from gitguard.message.reasons import Refusal, refusal_of
from gitguard.session.leaders import Place
from gitguard.store.gate_opening import query_of

FRAME_SECONDS = 0.25  # a client sends its question in one piece
ANSWER_SECONDS = 0.7  # less than a client waits for
SEND_SECONDS = 0.25
LOOK_SECONDS = 1.0
MOST_CHILDREN = 200  # of one worker, at prompts and for pushes that wait
MOST_LATE = 2  # a worker that is late so often is replaced


class AgentWorker:
    """One process that answers, one question after the other."""

    def __init__(
        self,
        resident: Resident,
        listener: socket.socket,
        stopping: int,
        master: int,
        serve_own: apart.ServeOwn,
    ) -> None:
        self._serve_own = serve_own
        self._resident = resident
        self._listener = listener
        self._stopping = stopping
        self._master = master
        self._late = 0
        self._children = 0  # commands that were started, and not buried yet

    def run(self) -> None:
        """Answer until there is a word to stop, or nobody who would say it."""
        waiting = select.epoll()
        waiting.register(self._listener.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)
        waiting.register(self._stopping, select.EPOLLIN)
        while self._late < MOST_LATE:
            ready = [handle for handle, _ in waiting.poll(LOOK_SECONDS if self._children else None)]
            self._bury()
            if self._stopping in ready:
                return
            if not ready:
                continue
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue  # another worker has it, or its client is gone
            with connection:
                self._serve(connection)

    def _bury(self) -> None:
        """Take note of commands that ended. Git's own processes are waited for where they are started."""
        while self._children and os.waitpid(-1, os.WNOHANG)[0]:
            self._children -= 1

    def _serve(self, connection: socket.socket) -> None:
        question = None
        try:
            connection.settimeout(None)
            with deadline(FRAME_SECONDS):
                question = receive(connection)
            self._answer(connection, question)
        except (OSError, FrameError, LateError):
            _send(connection, YOURSELF)
        except Exception:
            traceback.print_exc()  # ours to mend; whoever asks, and whatever, this process answers the next one
            _send(connection, YOURSELF)
        finally:
            if question is not None:
                close(question.handles)

    def _answer(self, connection: socket.socket, question: Frame) -> None:
        if has_hung_up(connection):
            return  # it has waited in the backlog for too long, and its launcher has decided by now
        if self._resident.for_accounts or question.letter in (ACCOUNT, KEYS):
            if question.letter == KEYS and not self._resident.for_accounts:
                self._look_up(connection, question)
            elif question.letter == ACCOUNT and self._resident.for_accounts:
                self._serve_account(connection, question)
            elif question.letter == PING and may_look(connection, self._resident.git_uid):
                _send(connection, (HERE, ()))
            else:
                _send(connection, YOURSELF)
            return
        process = peer_of(connection, self._resident.git_uid)
        asker = _place(process)
        known = asker is not None or (
            question.letter == PING and may_look(connection, self._resident.git_uid)
        )
        if not known or self._is_outdated():
            _send(connection, YOURSELF)
            return
        try:
            with deadline(ANSWER_SECONDS):
                answer = answer_of(question, asker, self._resident, lambda: has_hung_up(connection))
        except OwnCommand as command:
            if asker is not None:
                git_uid = self._resident.git_uid
                self._lend(connection, asker, git_uid, command.environ, self._own(command, asker.pid))
            return
        except LateError:
            self._late += 1
            self._resident.forget()
            answer = YOURSELF
        except Exception:
            traceback.print_exc()  # ours to mend; for who asks, the launcher decides
            answer = YOURSELF
        if answer is YOURSELF and asker and self._resident.decides_alone and question.letter in (GATE, HOOK):
            self._serve_whole(connection, question, asker)
        else:
            _send(connection, answer)

    def _look_up(self, connection: socket.socket, question: Frame) -> None:
        """A key's line for sshd. MUST: for a process of our own account alone, which sshd started: whoever
        else knew a token could stand in for its person.
        """
        process = peer_of(connection, os.geteuid())
        answer = YOURSELF
        if process is not None and not self._is_outdated():
            try:
                with deadline(ANSWER_SECONDS):
                    answer = answer_of_keys(question, process, self._resident)
            except LateError:
                self._late += 1
                self._resident.forget()
            except Exception:
                traceback.print_exc()
        _send(connection, answer)

    def _serve_account(self, connection: socket.socket, question: Frame) -> None:
        """A command that a person has typed in a shell of their own account."""
        behind = account_behind(connection)
        if behind is None or self._is_outdated():
            _send(connection, YOURSELF)
            return
        process, uid = behind
        asker = _place(process)
        if asker is None:
            return
        try:
            words, told = read_question(question.fields)
        except ValueError:
            _send(connection, YOURSELF)
            return
        environ: dict[bytes, bytes] = {
            name: told[name] for name in (b"TERM", b"TZ", b"COLUMNS") if name in told
        }
        resident, serve_own = self._resident, self._serve_own

        def work(_: lent.Lent) -> int:
            return apart.serve_account(words, uid, process, resident, serve_own)

        self._lend(connection, asker, uid, environ, work)

    def _serve_whole(self, connection: socket.socket, question: Frame, asker: Place) -> None:
        """Where nobody else may decide: the very course of gate and hook, on the client's streams."""
        try:
            words, environ = read_question(question.fields)
        except ValueError:
            _send(connection, YOURSELF)
            return
        resident, serve_own, handles = self._resident, self._serve_own, question.handles

        def work(streams: lent.Lent) -> int:
            if question.letter == GATE:
                return apart.serve_gate(streams, words, environ, asker, resident, serve_own)
            return apart.serve_hook(
                streams, words, environ, asker.pid, resident, lambda: data, lambda: directory
            )

        data, directory = b"", ""
        if question.letter == HOOK:
            try:
                with deadline(ANSWER_SECONDS):
                    directory = directory_of(handles[0], environ)
                    data = read_push(handles[1], LONGEST_INPUT)
            except (Refusal, OSError, IndexError, LateError):
                _send(connection, YOURSELF)
                return
        self._lend(connection, asker, resident.git_uid, environ, work)

    def _own(self, command: OwnCommand, process: int) -> Callable[[lent.Lent], int]:
        """A command of ours that is allowed already."""
        config = self._resident.config()
        settings = self._resident.settings

        def work(_: lent.Lent) -> int:
            decision, store = command.decision, query_of(config)
            try:
                return self._serve_own(decision, command.id, config, config.path, store, process, settings)
            except Exception as error:
                return refuse_request(decision.refused(refusal_of(error)), command.id, "", config, None)

        return work

    def _lend(
        self,
        connection: socket.socket,
        asker: Place,
        asker_uid: int,
        environ: dict[bytes, bytes],
        work: Callable[[lent.Lent], int],
    ) -> None:
        """Have the client's streams, and start the work on them."""
        # A number outlives its process: who lends its streams must be the one that asked, and be there still.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with deadline(SEND_SECONDS):
            connection.sendall(packed(LEND_STREAMS))
            brought, pid, uid = streams(connection)
        try:
            if (pid, uid) != (asker.pid, asker_uid) or not asker.is_there:
                return
            if self._children >= MOST_CHILDREN or not self._may_work_on(brought):
                _send(connection, YOURSELF)
                return
            self._resident.before_fork()
            lent.run_apart(connection, brought, environ, work)
            self._children += 1
        except OSError:
            _send(connection, YOURSELF)
        finally:
            close(brought)

    def _may_work_on(self, brought: tuple[int, ...]) -> bool:
        """Whether a launcher would do no better: it hears a terminal's signals, and says what is wrong with
        the configuration; where we are of another account there is none that could.
        """
        resident = self._resident
        try:
            with deadline(SEND_SECONDS):
                resident.settings(resident.places.config)  # read here, it is at hand for the next one as well
        except (Refusal, ConfigurationError, OSError):
            return resident.decides_alone or self._resident.for_accounts
        return resident.decides_alone or self._resident.for_accounts or not lent.is_terminal(brought)

    def _is_outdated(self) -> bool:
        """Whether gitguard was installed anew; then the first process is told, and what we know counts no
        more, where there is a launcher that knows better.
        """
        if not self._resident.is_outdated:
            return False
        if os.getppid() == self._master:
            os.kill(self._master, signal.SIGUSR1)
        return not (self._resident.decides_alone or self._resident.for_accounts)


def _place(process: int | None) -> Place | None:
    """Which process has this number now."""
    try:
        return Place(process) if process else None
    except (OSError, ValueError):
        return None


def _send(connection: socket.socket, answer: Answer) -> None:
    """Say it, if it can be said at once; a client that hears nothing decides by itself."""
    try:
        data = packed(*answer)
    except FrameError:
        data = packed(DECIDE_YOURSELF)
    try:
        connection.send(data, socket.MSG_DONTWAIT)
    except OSError:
        return
