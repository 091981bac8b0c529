"""One installation, opened: what every action works with. Opened in one place, for SSH and for the admin."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitguard.action.notices import listener
from gitguard.config.in_force import settings_in_force
from gitguard.config.schema import Settings
from gitguard.factor import keyring
from gitguard.factor.context import ProofContext
from gitguard.factor.recovery import void_recovery_codes_if_off
from gitguard.host.places import Places, authorized_keys, places_of
from gitguard.session.moment import Moment
from gitguard.session.request_notes import Notes
from gitguard.store.contract import Reading
from gitguard.store.gate_opening import server_name
from gitguard.store.opening import audit_head, open_lost_store, open_store

if TYPE_CHECKING:
    from gitguard.host.connections import RunningConnections


class Installation(ProofContext, frozen=True, kw_only=True):
    """Store, keyring and settings, with `places`: the installation's own files. `process`: whom we work for,
    where that is not ourselves (a gate that lent the agent its streams).
    """

    places: Places
    process: int = 0

    @property
    def connections(self) -> RunningConnections:
        """The connections that this installation's gate let in."""
        from gitguard.host.connections import RunningConnections

        return RunningConnections(
            str(self.settings.paths.state), self.places.gate, self.process or os.getpid()
        )

    def notes(self, tx: Reading) -> Notes:
        """Where pending requests are noted."""
        return tx.notes(str(self.settings.paths.state), server_name(self.settings.host.port))

    @property
    def key_file(self) -> str:
        """The authorized_keys that gitguard manages."""
        return authorized_keys(self.settings)

    @property
    def key_files(self) -> list[str]:
        """Every key file that sshd may read for the account."""
        from gitguard.host import key_file

        return key_file.files_that_sshd_reads(self.key_file, pwd.getpwnam(self.settings.host.account).pw_dir)

    @property
    def lock(self) -> str:
        """The file that admin commands lock while they write files."""
        return self.settings.paths.lock


def note_server(installation: Installation, moment: Moment) -> None:
    """Say that this server is there, to whoever looks after a store that several share. Raises Refusal."""
    if not installation.settings.store.url.is_file:
        from gitguard.machine.release import release  # what it needs is heavy

        name = server_name(installation.settings.host.port)
        installation.store.note_server(name, release(), moment.boot, installation.keyring.names)


def settings_of(config: str) -> Settings:
    """The settings of the installation whose configuration is at `config`, as they are in
    force. Raises ConfigurationError.
    """
    return settings_in_force(config, places_of(config).compiled)


def open_installation(
    config: str,
    moment: Moment,
    actor: str,
    reading: Callable[[str], Settings] = settings_of,
    process: int = 0,
    *,
    although_lost: bool = False,
    although_apart: bool = False,
) -> Installation:
    """The installation of the configuration at `config`, as its Git account. Raises
    ConfigurationError, Refusal. `although_lost`: to look at a store that is closed since it has lost
    something; `although_apart`: this machine's clock may be off, since nobody's age is judged by it.

    `reading`: how the file is read, for who opens it again and again (config/cache.py).
    """
    settings = reading(config)
    opened = open_lost_store if although_lost and not settings.store.url.is_file else open_store
    store = opened(settings.store.url, audit_head(settings.paths.access_log), settings.store.password_file)
    if although_apart:
        store.allow_apart()
    ring = keyring.read(settings.paths.key_ring)
    installation = Installation(
        store, ring, settings, lambda: reading(config), places=places_of(config), process=process
    )
    store.heard = listener(settings)
    if (
        settings.store.url.is_file
    ):  # of a store that others share, one server's setting decides for itself alone
        void_recovery_codes_if_off(installation, moment.at, actor)
    return installation
