"""What a form did, for the page behind it: a form answers with a redirection, so that loading
the page again repeats nothing.

Kept in memory for ten minutes, by browser. What is secret (recovery codes, an invite, a secret of
an app) is given out once: MUST, but for a second request within two seconds, which is the
browser's own after a double click.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from typing import TypeVar

T = TypeVar("T")
KEPT_SECONDS = 600
AGAIN_SECONDS = 2.0
MOST = 1000
MOST_OF_BROWSER = 10


class _Kept:
    def __init__(self, browser: str, what: object, *, is_secret: bool) -> None:
        self.browser, self.what, self.is_secret = browser, what, is_secret
        self.ends = time.monotonic() + KEPT_SECONDS


class Results:
    """By a random name, which stands in the address of the page."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, browser: str, what: object, *, is_secret: bool = False) -> str:
        """Keep `what` for this browser; the name under which it is taken."""
        name = secrets.token_urlsafe(9)
        with self._lock:
            self._clear(time.monotonic())
            self._kept[name] = _Kept(browser, what, is_secret=is_secret)
            own = [other for other, one in self._kept.items() if one.browser == browser]
            for old in own[: max(len(own) - MOST_OF_BROWSER, 0)]:
                del self._kept[old]
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return name

    def take(self, browser: str, name: str, kind: type[T]) -> T | None:
        """What is kept under `name` for this browser; None for nothing, what was shown already,
        and what is of another kind.
        """
        now = time.monotonic()
        with self._lock:
            self._clear(now)
            one = self._kept.get(name)
            if one is None or one.browser != browser or not isinstance(one.what, kind):
                return None
            if one.is_secret:
                one.ends = min(one.ends, now + AGAIN_SECONDS)
                one.is_secret = False
            return one.what

    def _clear(self, now: float) -> None:
        """MUST: a secret that was given out, or that nobody came for, is not kept in memory."""
        for name in [name for name, one in self._kept.items() if one.ends <= now]:
            del self._kept[name]

    def forget(self, browser: str) -> None:
        """Drop all that is kept for this browser."""
        with self._lock:
            for name in [name for name, one in self._kept.items() if one.browser == browser]:
                del self._kept[name]
