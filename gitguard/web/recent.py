"""How long a server admin's code counts for the server's pages: five minutes, which slide while
they are in use, up to an hour.

In memory: one process serves the page, and whoever meets a new one types a code again.
"""

from __future__ import annotations

import threading

from gitguard.factor.change import FRESH_SECONDS
from gitguard.session.moment import Moment

LONGEST_SECONDS = 3600
_MOST = 1000


class Recent:
    """When each browser last used the server's pages."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}
        self._lock = threading.Lock()

    def is_fresh(self, browser: str, verified: Moment, moment: Moment) -> bool:
        """Whether the verification of `verified` still counts for `browser` at `moment`."""
        age = moment.age_of(verified)
        if 0 <= age <= FRESH_SECONDS:
            return True
        with self._lock:
            used = self._used.get(browser)
        return 0 <= age <= LONGEST_SECONDS and used is not None and 0 <= moment.at - used <= FRESH_SECONDS

    def use(self, browser: str, moment: Moment) -> None:
        """The browser uses them now, and they are open to it."""
        with self._lock:
            self._used.pop(browser, None)
            self._used[browser] = moment.at
            while len(self._used) > _MOST:
                del self._used[next(iter(self._used))]
