"""A line that says how far a command is, where someone watches and it takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

PATIENCE_SECONDS = 2
_EVERY = 4096  # items between two looks at the clock: looking costs more than most items
_Item = TypeVar("_Item")


class Progress:
    """Writes over its own line on a terminal; nothing to a file or pipe, nor before `PATIENCE_SECONDS`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + PATIENCE_SECONDS
        self._shown = 0
        self._watched = sys.stderr.isatty()

    def at(self, count: int, of: int = 0) -> None:
        """So many are done, of so many where that is known."""
        if not self._watched or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.5
        share = f" of {of:,}" if of else ""
        text = f"{self._what}: {count:,}{share} ...".replace(",", " ")
        print("\r" + text.ljust(self._shown), end="", file=sys.stderr, flush=True)
        self._shown = len(text)

    def over(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r" + " " * self._shown + "\r", end="", file=sys.stderr, flush=True)
            self._shown = 0


def watched(items: Iterable[_Item], what: str) -> Iterator[_Item]:
    """`items`, with a line that counts them."""
    progress = Progress(what)
    try:
        for count, item in enumerate(items, 1):
            if not count % _EVERY:
                progress.at(count)
            yield item
    finally:
        progress.over()
