"""The way from a process of the agent's account to the Git account's helper, and the bytes on it.

    length (4 bytes, big-endian)  JSON: [name, values, named values]      a question
    length (4 bytes, big-endian)  JSON: ["", value] or [kind, fields...]  its answer, or what was raised

What the helper does in between: end (a question that was not taken is put to the next one; one that was may
have been carried out, and is refused), hang (the deadline of who asks ends it), or lie: it is of an account
that may be an intruder's, so its answers are bounded, and nothing but values of the announced types.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any, get_type_hints

import msgspec

from gitguard.machine.errand import ERRANDS
from gitguard.message.reasons import REFUSED, Refusal
from gitguard.session.credential import Credential, credential_of

LONGEST_BYTES = 64 << 20  # every repository of a large server, by name and place
ANSWER_SECONDS = 60.0  # for an admin's command: one errand walks through all repositories
OF_A_COMMAND_SECONDS = 10.0  # for a command of a person's: one errand watches transfers for two seconds
OF_A_DECISION_SECONDS = 1.2  # a refusal within two, whatever becomes of the helper
BYTES_A_SECOND = 20_000  # of what a push changes: each ref is looked at, and Git waits as long as that takes
_HEAD_BYTES = 4


class CarrierError(Exception):
    """What came from the other side is no message."""


class HelperCarrier:
    """Carries errands to the helper that listens at `path`, or at the other end of `connection`.

    A connection for each thread, and none shared with a process that we were forked from.
    """

    def __init__(self, path: str, connection: socket.socket | None = None) -> None:
        self._path = path
        self._given = connection
        self._of_thread = threading.local()
        self._turn = threading.Lock()
        self.seconds = ANSWER_SECONDS  # how long an errand may take

    def __call__(self, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """What the errand `name` returns, or raises; Refusal("agent-unavailable") where it was not done."""
        question = _packed([name, values, named])
        try:
            if self._given is not None:
                with self._turn, _uninterrupted():
                    answer = self._asked_given(self._given, question)
            else:
                answer = self._asked(question)
        except (OSError, CarrierError) as error:
            raise _unavailable(str(error) or type(error).__name__) from None
        return _told(name, answer)

    def _asked_given(self, connection: socket.socket, question: bytes) -> Any:
        """MUST: whole, or never again: what still comes on it is no answer to the next question."""
        connection.settimeout(self.seconds)
        try:
            connection.sendall(question)
            return received(connection, time.monotonic() + self.seconds)
        except BaseException:
            connection.close()
            raise

    def _asked(self, question: bytes) -> Any:
        connection, is_new = self._connection()
        try:
            connection.settimeout(self.seconds)
            try:
                connection.sendall(question)
            except (BrokenPipeError, ConnectionResetError):
                if is_new:
                    raise
                self.forget()  # that helper has ended, and has not taken this question
                connection, _ = self._connection()
                connection.settimeout(self.seconds)
                connection.sendall(question)
            return received(connection, time.monotonic() + self.seconds)
        except BaseException:
            self.forget()  # whatever still comes on it is no answer to the next question
            raise

    def _connection(self) -> tuple[socket.socket, bool]:
        """(the connection of this thread in this process, whether it was made just now)."""
        kept = getattr(self._of_thread, "kept", None)
        if kept is not None and kept[0] == os.getpid():
            return kept[1], False
        if kept is not None:
            # Of the process that we were forked from; its number may name another file here by now.
            kept[1].detach()
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(self.seconds)
        try:
            made.connect(self._path)
        except BaseException:
            made.close()
            raise
        self._of_thread.kept = (os.getpid(), made)
        return made, True

    def forget(self) -> None:
        """Close this thread's connection: the next errand makes a new one."""
        kept = getattr(self._of_thread, "kept", None)
        if kept is not None:
            with contextlib.suppress(OSError):
                kept[1].close()
            self._of_thread.kept = None


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A Ctrl-C comes behind the errand: what tidies up afterwards needs errands, too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _packed(value: object) -> bytes:
    # json, not msgspec: a path that is no UTF-8 is a string with lone surrogates, which only that can say.
    data = json.dumps(msgspec.to_builtins(value, str_keys=True, enc_hook=_as_text)).encode()
    if len(data) > LONGEST_BYTES:
        raise Refusal("agent-unavailable", f"a message of {len(data)} bytes is too long for the helper")
    return len(data).to_bytes(_HEAD_BYTES, "big") + data


def received(connection: socket.socket, ends: float | None = None) -> Any:
    """The next message's value, all of it before `ends` (monotonic seconds). Raises CarrierError for none or
    none of ours, OSError.
    """
    length = int.from_bytes(_exactly(connection, _HEAD_BYTES, ends), "big")
    if not 0 < length <= LONGEST_BYTES:
        raise CarrierError(f"a message of {length} bytes")
    try:
        return json.loads(_exactly(connection, length, ends))
    except (ValueError, RecursionError):
        raise CarrierError("what came is no message") from None


def _exactly(connection: socket.socket, count: int, ends: float | None) -> bytes:
    parts = []
    while count:
        if ends is not None:
            connection.settimeout(max(ends - time.monotonic(), 0.001))
        part = connection.recv(min(count, 1 << 20))
        if not part:
            raise CarrierError("the helper hung up")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _as_text(value: Any) -> str:
    if isinstance(value, Credential):
        return value.text
    raise NotImplementedError(type(value).__name__)


def _of_text(kind: type, value: Any) -> Any:
    if kind is Credential and isinstance(value, str):
        return credential_of(value)
    raise NotImplementedError(kind.__name__)


@cache
def hints_of(name: str) -> dict[str, Any]:
    """The types of an errand's arguments, and of what it returns, by name."""
    return get_type_hints(ERRANDS[name])


def converted(value: Any, kind: Any) -> Any:
    """`value` as a `kind`. Raises CarrierError for anything else."""
    try:
        return msgspec.convert(value, kind, str_keys=True, dec_hook=_of_text)
    except (msgspec.ValidationError, RecursionError, ValueError) as error:
        raise CarrierError(f"what came is of another kind: {error}") from None


def _told(name: str, answer: Any) -> Any:
    """The value that the helper told, or what it raised, raised here."""
    if not isinstance(answer, list) or not answer:
        raise _unavailable("its answer is none")
    try:
        kind, *fields = answer
        if kind == "" and name not in ERRANDS:
            import_module(name.rpartition(".")[0])
        if kind == "":
            return converted(fields[0], hints_of(name).get("return", type(None)))
        if kind == "refusal":
            reason, detail, text, hint = converted(fields, tuple[str, str, str, str])
            raise Refusal(reason if reason in REFUSED else "internal-error", detail, text=text, hint=hint)
        if kind == "os":
            number, words, path = converted(fields, tuple[int, str, str])
            raise OSError(number, words, path or None)
        raise _unavailable(str(converted(fields, tuple[str])[0]))
    except (CarrierError, IndexError, KeyError) as error:
        raise _unavailable(str(error)) from None


def answer_to(question: Any) -> bytes:
    """The helper's side: do the errand that `question` names, and pack what it returned or raised."""
    try:
        return _packed(["", _done(question)])
    except Refusal as refusal:
        return _packed(["refusal", refusal.reason, refusal.detail, refusal.text, refusal.hint])
    except OSError as error:
        path = error.filename if isinstance(error.filename, str) else ""
        return _packed(["os", error.errno or 0, error.strerror or str(error), path])
    except Exception as error:
        return _packed(["fault", f"{type(error).__name__}: {error}"])


def _done(question: Any) -> Any:
    name, values, named = converted(question, tuple[str, list[Any], dict[str, Any]])
    module = name.rpartition(".")[0]
    if module.startswith("gitguard."):
        with contextlib.suppress(ModuleNotFoundError):
            import_module(module)  # where it is known already, that costs nothing
    function = ERRANDS.get(name)
    if function is None:
        raise Refusal("agent-unavailable", f"the helper knows no errand {name}; is it of another version?")
    hints = hints_of(name)
    order = [word for word in hints if word != "return"]
    if len(values) > len(order):
        raise CarrierError(f"{len(values)} arguments for {name}")
    given = [converted(value, hints[word]) for word, value in zip(order, values, strict=False)]
    return function(*given, **{word: converted(value, hints[word]) for word, value in named.items()})


def _unavailable(detail: str) -> Refusal:
    return Refusal("agent-unavailable", f"the Git account's helper: {detail}")
