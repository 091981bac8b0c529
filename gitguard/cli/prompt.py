"""Asking for one line: bounded in bytes and in time, so that no client can hold or fill us."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
from _blake2 import blake2b
from collections.abc import Iterator

import click
from msgspec import Struct

from gitguard.factor.code import LONGEST_BYTES
from gitguard.message.reasons import Refusal

VERIFY_SECONDS = 120


MOST_WAITING = 8  # prompts of one key at a time, about 30 MB each
AT_ONCE_SECONDS = (
    2.0  # what comes by then was piped in or is no burden; anyone who waits longer takes a place
)


class PromptQueue(Struct, frozen=True):
    """Where the few that may wait at a prompt stand in line: lock files in `folder`, some for each `key`."""

    folder: str
    key: str

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Hold one of the key's places. Raises Refusal("throttled") if all are taken."""
        name = blake2b(self.key.encode("utf-8", "replace"), digest_size=12).hexdigest()
        for place in range(MOST_WAITING):
            try:
                os.makedirs(self.folder, mode=0o700, exist_ok=True)
                handle = os.open(
                    f"{self.folder}/{name}.{place}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
                )
            except OSError:
                yield  # a disk that is full must not keep people from verifying
                return
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                continue
            try:
                yield
            finally:
                os.close(handle)
            return
        text = f"{MOST_WAITING} commands of this key are waiting already; answer or stop one, or wait two minutes"
        raise Refusal("throttled", text=text)


def ask(question: str, seconds: int = VERIFY_SECONDS, queue: PromptQueue | None = None) -> bytes:
    """One line from stdin, without its end, at most `LONGEST_BYTES`; the question
    goes to stderr ("" asks none).

    Raises Refusal("not-a-code") when nothing is typed (end of input, or `seconds` passed),
    Refusal("throttled") when too many of this key wait already.
    """
    if question:
        aside(question, nl=False)
    # What was there before anyone could have read the question was piped in, and
    # nobody's Enter ends the line.
    piped = _waited(0)
    ended = False
    try:
        if piped or _waited(min(AT_ONCE_SECONDS, seconds)):
            return _line(seconds)
        with queue.one() if queue is not None else contextlib.nullcontext():
            return _line(seconds)
    except Refusal:
        ended = True
        raise
    finally:
        if (piped or ended) and question:
            aside("")


def aside(text: str, *, nl: bool = True) -> None:
    """Say something on stderr that nobody has to hear: what was asked for continues without a listener."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True, nl=nl)


def _waited(seconds: float) -> bool:
    return bool(select.select([0], [], [], seconds)[0])


def _line(seconds: int) -> bytes:
    typed = b""
    ends = time.monotonic() + seconds
    while len(typed) <= LONGEST_BYTES:
        left = ends - time.monotonic()
        if left <= 0 or not _waited(left):
            raise Refusal("not-a-code", text=f"no code within {seconds} seconds")
        byte = os.read(0, 1)
        if not byte and not typed.strip():
            raise Refusal("not-a-code", text="no code entered")
        if byte in (b"", b"\n"):
            break
        typed += byte
    return typed
