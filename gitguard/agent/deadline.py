"""A deadline around a piece of work in a process of one thread: the kernel's alarm ends it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class LateError(BaseException):
    """The time is up. No `Exception`, since whoever catches those is what takes the time."""


_armed = False


def _ring(*_: object) -> None:
    if _armed:
        raise LateError


def disarm() -> None:
    """The deadline in force counts no more."""
    global _armed  # noqa: PLW0603
    _armed = False  # first: an alarm in the middle of the next line must not count
    signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises LateError inside the block once `seconds` are over. Not nested; for the main thread alone."""
    global _armed  # noqa: PLW0603 - there is one alarm in a process, and this is whether it counts
    signal.signal(signal.SIGALRM, _ring)
    _armed = True
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        disarm()
