"""One installation, opened: what every action works with. Opened in one place, for SSH and for the server's admin."""

from __future__ import annotations

import pwd
from dataclasses import dataclass

from gitguard.config.schema import Settings
from gitguard.factor.proof import Desk
from gitguard.host import key_file
from gitguard.host.places import Places, authorized_keys
from gitguard.host.riding import Riding
from gitguard.store.contract import Store


@dataclass(frozen=True, slots=True)
class Site:
    """`desk` holds store, keyring and settings; `at` knows the installation's own files."""

    at: Places
    desk: Desk

    @property
    def settings(self) -> Settings:
        """The configuration."""
        return self.desk.settings

    @property
    def store(self) -> Store:
        """The store."""
        return self.desk.store

    @property
    def riding(self) -> Riding:
        """The processes that ride on this installation's decisions."""
        return Riding(str(self.settings.paths.state), self.at.gate)

    @property
    def key_file(self) -> str:
        """The authorized_keys that gitguard manages."""
        return authorized_keys(self.settings)

    @property
    def key_files(self) -> list[str]:
        """Every key file that sshd may read for the account."""
        return key_file.files_that_sshd_reads(self.key_file, pwd.getpwnam(self.settings.host.account).pw_dir)

    @property
    def lock(self) -> str:
        """The file that admin commands lock while they write files."""
        return f"{self.settings.paths.state}/admin.lock"
