"""The settings of one file, parsed anew only when it has changed: for a process that answers many requests."""

from __future__ import annotations

import os
import time

from gitguard.config.compiled import identity
from gitguard.config.faults import ConfigurationError, Fault
from gitguard.config.parse import read_settings
from gitguard.config.schema import Settings

RACY_SECONDS = 2  # a file this young may change once more without its times showing it


class Kept:
    """Use it as `read_settings`. MUST: a change counts from the next request on, a broken file refuses from then on."""

    def __init__(self) -> None:
        self._held: tuple[str, object, Settings] | None = None

    def __call__(self, path: str) -> Settings:
        """The settings in the file at `path`, as it is now. Raises ConfigurationError."""
        try:
            entry = os.stat(path)
        except OSError as error:
            raise ConfigurationError(path, [Fault(0, "file", error.strerror or str(error))]) from None
        held = self._held
        if held is not None and held[:2] == (path, identity(entry)):
            return held[2]
        settings = read_settings(path)
        settled = time.time() - max(entry.st_mtime, entry.st_ctime) >= RACY_SECONDS
        # Looked at before it was read: a change in between leaves an identity that is gone, and is read again.
        self._held = (path, identity(entry), settings) if settled else None
        return settings
