"""How often a network may try to sign in. In memory: one process serves the page."""

from __future__ import annotations

import threading
from collections import OrderedDict

WINDOW_SECONDS = 60
MOST_TRIES = 20  # in a window, from one network
MOST_NETWORKS = 10_000


class Limiter:
    """Counts tries by network; the least lately seen are forgotten where there are too many."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def retry_at(self, network: str, at: int) -> int | None:
        """Count one try at `at` (Unix seconds); when the next is welcome, None if this one is."""
        with self._lock:
            began, count = self._tries.pop(network, (at, 0))
            if not 0 <= at - began < WINDOW_SECONDS:
                began, count = at, 0
            self._tries[network] = (began, count + 1)
            while len(self._tries) > MOST_NETWORKS:
                self._tries.popitem(last=False)
        return began + WINDOW_SECONDS if count >= MOST_TRIES else None
