"""The settings of one file, read again only when it has changed: for a process that answers many requests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from gitguard.config.faults import ConfigurationError, Fault
from gitguard.config.in_force import SETTLED_SECONDS
from gitguard.config.schema import Settings
from gitguard.machine.ownership import identity


class SettingsCache:
    """Use it as `reading`. MUST: a change counts from the next request on; a
    broken file refuses from then on.
    """

    def __init__(self, reading: Callable[[str], Settings]) -> None:
        self._reading = reading
        self._last: tuple[str, object, Settings] | None = None

    def __call__(self, path: str) -> Settings:
        """The settings of the file at `path`, as it is now. Raises ConfigurationError."""
        try:
            entry = os.stat(path)
        except OSError as error:
            raise ConfigurationError(path, [Fault(0, "file", error.strerror or str(error))]) from None
        last = self._last
        if last is not None and last[:2] == (path, identity(entry)):
            return last[2]
        settings = self._reading(path)
        # A file this young may change once more without its times showing it, or be in doubt.
        settled = time.time() - max(entry.st_mtime, entry.st_ctime) >= SETTLED_SECONDS
        # Looked at before it was read: a change in between leaves an identity that is gone; it is read again.
        self._last = (path, identity(entry), settings) if settled else None
        return settings
