"""What the agent keeps from one request to the next: the configuration, and the open store.

MUST: a change counts from the next request on. Each is asked, before each request, for what the gate would
ask when it opens it: owners and modes on the way, the file's identity, the schema. The code is asked as well:
`init` writes the launchers anew, and whoever began before that is outdated.
"""

from __future__ import annotations

import os
import time

from gitguard.action.installation import settings_of
from gitguard.config.cache import SettingsCache
from gitguard.config.compiled import Config
from gitguard.config.load import load
from gitguard.host.places import Places
from gitguard.machine.ownership import GRAIN_NS, fault_on_the_way, identity
from gitguard.message.reasons import Refusal
from gitguard.store.gate_opening import query_of
from gitguard.store.gate_query import GateQuery

STORE_WAIT_SECONDS = (
    0.4  # the launcher, which has to wait as well then, answers within two seconds all the same
)
QUIET_SECONDS = 1.0  # after a database that did not answer


class Resident:
    """The installation at `places`, as one worker has it at hand."""

    def __init__(
        self,
        places: Places,
        installed: object,
        git_uid: int,
        *,
        for_accounts: bool = False,
        decides_alone: bool = False,
    ) -> None:
        """`installed`: which installation our code is of, as `installed_now` said before it was loaded.
        `git_uid`: the Git account, which asks; `for_accounts`: people's own accounts ask instead.
        `decides_alone`: nobody else can, since the store is ours alone to open.
        """
        self.for_accounts = for_accounts
        self.decides_alone = decides_alone
        self.places = places
        self.git_uid = git_uid
        self._installed = installed
        self.settings = SettingsCache(settings_of)
        self._seen: tuple[object, object] | None = None
        self._config: Config | None = None
        self._store: GateQuery | None = None
        self._path = ""
        self._quiet_until = 0.0

    @property
    def is_outdated(self) -> bool:
        """Whether gitguard was installed anew since our code was loaded."""
        return installed_now(self.places) != self._installed

    def config(self) -> Config:
        """The configuration in force. Raises as `config.load.load`."""
        path, compiled, _ = self.places.of_gate
        seen = (_identity(path), _identity(compiled))
        config = self._config
        if config is None or seen != self._seen or None in seen:
            self._config = None
            config = load(*self.places.of_gate)
            if seen == (_identity(path), _identity(compiled)) and _has_settled(path, compiled):
                self._seen, self._config = seen, config
            return config
        for place in (path, config.state):
            if fault := fault_on_the_way(place, os.geteuid()):
                raise Refusal("config-invalid", fault)
        return config

    def store(self, config: Config) -> GateQuery:
        """The store, open and checked. Raises Refusal."""
        if self._store is None or self._path != config.store:
            self.forget()
            self._store, self._path = query_of(config, STORE_WAIT_SECONDS), config.store
        if time.monotonic() < self._quiet_until:
            raise Refusal("store-unavailable", "it did not answer a moment ago")
        try:
            self._store.check()
        except Refusal:
            if self._is_database:  # who waits for it anew at each request keeps everybody waiting
                self._quiet_until = time.monotonic() + QUIET_SECONDS
            raise
        return self._store

    @property
    def _is_database(self) -> bool:
        return self._path[:1] != "/"

    def before_fork(self) -> None:
        """A file must not be shared with a child; a connection is not touched by one, which ends without
        tidying up.
        """
        if not self._is_database:
            self.forget()

    def forget(self) -> None:
        """Close the store, as after a request that was cut off."""
        if self._store is not None:
            self._store.close()
            self._store = None


def installed_now(places: Places) -> object:
    """What tells one installation from the next: `init` leaves its time at the gate."""
    return _identity(places.gate)


def _identity(path: str) -> tuple[int, ...] | None:
    try:
        return identity(os.stat(path))
    except OSError:
        return None


def _has_settled(*paths: str) -> bool:
    """Whether these files can change no more without their times showing it."""
    newest = max(max(entry.st_mtime_ns, entry.st_ctime_ns) for entry in map(os.stat, paths))
    return time.time_ns() - newest > GRAIN_NS
