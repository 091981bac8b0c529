"""Enrolments that a browser has begun: in memory, never on disk, and gone when the server stops.

That is why the page is served by one process (docs/web.md). MUST: a secret and recovery codes are
given out once (results.py).
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter

from msgspec import Struct, field

from gitguard.factor.enrolment import EnrolmentAuthorization, PendingEnrolment
from gitguard.session.moment import Moment

MOST = 1000  # at once; the oldest go, of anyone who has begun the most
MOST_OF_OWNER = 10  # of one user by one key, or one login
LOST_SECONDS = 600  # for so long a recovery code that was given in a browser lets it set up another app


class BrowserEnrolment(Struct):
    """`owner`: user and what signed the browser in; `request`: the pending request that led here, or "".

    `by_lost`: begun on a recovery code alone, whose session must still stand when it is confirmed.
    `name`: tells it from one that was begun later in the same browser, in another tab.
    """

    pending: PendingEnrolment
    owner: tuple[str, str]
    request: str
    by_lost: bool = False
    secret_given: bool = False
    name: str = field(default_factory=lambda: secrets.token_urlsafe(6))


class PendingEnrolments:
    """By browser: one at a time, until it is confirmed or expires."""

    def __init__(self) -> None:
        self._begun: dict[str, BrowserEnrolment] = {}
        self._lost: dict[str, tuple[EnrolmentAuthorization, int]] = {}
        self._lock = threading.Lock()

    def put(self, browser: str, begun: BrowserEnrolment) -> None:
        """Begin one, in place of any before it."""
        with self._lock:
            self._begun.pop(browser, None)
            self._begun[browser] = begun
            self._shrink(begun.owner, MOST_OF_OWNER)
            if len(self._begun) > MOST:
                (most, count), *_ = Counter(one.owner for one in self._begun.values()).most_common(1)
                self._shrink(most, count - 1)

    def _shrink(self, owner: tuple[str, str], most: int) -> None:
        """Keep at most the newest `most` of `owner`'s: a flood loses only what it filled the room with."""
        own = [browser for browser, one in self._begun.items() if one.owner == owner]
        for browser in own[: max(len(own) - most, 0)]:
            del self._begun[browser]

    def get(self, browser: str, moment: Moment) -> BrowserEnrolment | None:
        """The one of this browser, None for none or one that has expired."""
        with self._lock:
            begun = self._begun.get(browser)
            if begun is not None and moment.at >= begun.pending.ends_at:
                del self._begun[browser]
                return None
            return begun

    def note_lost(self, browser: str, authorization: EnrolmentAuthorization, moment: Moment) -> None:
        """A recovery code was given here: the phone is lost, so the code also authorizes another app."""
        with self._lock:
            self._lost.pop(browser, None)
            self._lost[browser] = (authorization, moment.at + LOST_SECONDS)
            while len(self._lost) > MOST:
                del self._lost[next(iter(self._lost))]

    def lost(self, browser: str, moment: Moment) -> EnrolmentAuthorization | None:
        """On what this browser may set up another app without giving one more code; None for nothing."""
        with self._lock:
            authorization, ends_at = self._lost.get(browser, (None, 0))
            return authorization if 0 <= ends_at - moment.at <= LOST_SECONDS else None

    def drop(self, browser: str) -> None:
        """Forget what this browser has begun."""
        with self._lock:
            self._begun.pop(browser, None)
            self._lost.pop(browser, None)
