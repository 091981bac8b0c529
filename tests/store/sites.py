"""A server's installation, as its page and its commands open it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gitguard.action.installation import Installation, open_installation
from gitguard.session.moment import now
from lab.server import Server


@contextlib.contextmanager
def site_of(server: Server) -> Iterator[Installation]:
    """Opened, and closed again."""
    opened = open_installation(str(server.config), now(), "test")
    try:
        yield opened
    finally:
        opened.store.close()
