"""The service's log: what an admin has to know of requests, and each thing at most once a minute."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict

LOG = logging.getLogger("gitguard.web")
SELDOM_SECONDS = 60
_MOST = 100

_said: OrderedDict[str, float] = OrderedDict()
_lock = threading.Lock()


def seldom(text: str) -> None:
    """A warning that a client can cause as often as it likes: the same words once a minute."""
    with _lock:
        last = _said.get(text)
        if last is not None and time.monotonic() - last < SELDOM_SECONDS:
            return
        _said[text] = time.monotonic()
        _said.move_to_end(text)
        while len(_said) > _MOST:
            _said.popitem(last=False)
    LOG.warning("%s", text)
