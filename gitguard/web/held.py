"""Enrolments that a browser has begun: in memory, never on disk, and gone when the server stops.

That is why the page is served by one process (docs/web.md). MUST: a secret and recovery codes are given out once.
"""

from __future__ import annotations

import threading
from collections import Counter

from msgspec import Struct

from gitguard.factor.enrolment import Pending
from gitguard.session.moment import Moment

MOST = 1000  # at once; the oldest go, of whoever has begun the most
MOST_OF_OWNER = 10  # of one user by one key, or one login


class Held(Struct):
    """`owner`: user and what signed the browser in; `request`: the pending request that led here, or "".

    `codes_shown` and `secret_shown`: what was given out.
    """

    pending: Pending
    owner: tuple[str, str]
    request: str
    codes_shown: bool = False
    secret_shown: bool = False


class HeldEnrolments:
    """By browser: one at a time, until it is confirmed or runs out."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()

    def put(self, browser: str, held: Held) -> None:
        """Begin one, in place of any before it."""
        with self._lock:
            self._held.pop(browser, None)
            self._held[browser] = held
            self._shrink(held.owner, MOST_OF_OWNER)
            if len(self._held) > MOST:
                (most, count), *_ = Counter(one.owner for one in self._held.values()).most_common(1)
                self._shrink(most, count - 1)

    def _shrink(self, owner: tuple[str, str], most: int) -> None:
        """Keep at most the newest `most` of `owner`'s: whoever fills the room loses what they filled it with."""
        own = [browser for browser, one in self._held.items() if one.owner == owner]
        for browser in own[: max(len(own) - most, 0)]:
            del self._held[browser]

    def get(self, browser: str, moment: Moment) -> Held | None:
        """The one of this browser, None for none or one that has run out."""
        with self._lock:
            held = self._held.get(browser)
            if held is not None and moment.at >= held.pending.ends_at:
                del self._held[browser]
                return None
            return held

    def take_codes(self, held: Held) -> tuple[str, ...]:
        """The recovery codes, the first time; nothing after that."""
        with self._lock:
            if held.codes_shown:
                return ()
            held.codes_shown = True
            return held.pending.recovery_codes

    def take_secret(self, held: Held) -> bool:
        """Whether the secret may be shown: it is the first time."""
        with self._lock:
            first, held.secret_shown = not held.secret_shown, True
            return first

    def drop(self, browser: str) -> None:
        """Forget the one of this browser."""
        with self._lock:
            self._held.pop(browser, None)
