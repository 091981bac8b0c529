"""What every admin command works with, opened as the Git account."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

import click

from gitguard.config.parse import ConfigurationError, read_settings
from gitguard.config.schema import Settings
from gitguard.factor import keyring
from gitguard.factor.proof import Desk, void_recovery_codes_if_off
from gitguard.host import key_file
from gitguard.host.account import become, own_command_line
from gitguard.host.files import locked
from gitguard.host.install import authorized_keys
from gitguard.host.places import Places, places
from gitguard.host.riding import Riding
from gitguard.message.reasons import Refusal, printable
from gitguard.message.refusals import View
from gitguard.session.moment import now
from gitguard.store.sqlite import SqliteStore, audit_head


@dataclass(frozen=True, slots=True)
class Office:
    """`actor` is who types, for the audit trail; `view` how the server is called in hints."""

    at: Places
    settings: Settings
    desk: Desk
    actor: str
    view: View

    @property
    def sqlite(self) -> SqliteStore:
        """The store as the file that it is, for backup and checks."""
        return SqliteStore(self.settings.store.url.path, audit_head(self.settings.paths.access_log))

    def head_before(self) -> str:
        """The audit head outside the store, as it stands, for the record of a restore."""
        try:
            with open(audit_head(self.settings.paths.access_log), encoding="ascii", errors="replace") as file:
                return file.read(200).strip()
        except OSError:
            return "none"

    @property
    def key_file(self) -> str:
        """The authorized_keys that gitguard manages."""
        return authorized_keys(self.settings)

    @property
    def key_files(self) -> list[str]:
        """Every key file that sshd may read for the account."""
        return key_file.files_that_sshd_reads(self.key_file, pwd.getpwnam(self.settings.host.account).pw_dir)

    @property
    def riding(self) -> Riding:
        """The processes that ride on this installation's decisions."""
        return Riding(str(self.settings.paths.state), self.at.gate)

    def write_keys(self, *, without: frozenset[str] = frozenset()) -> bool:
        """Bring our block of the key file in line with the store; whether it changed."""
        with locked(f"{self.settings.paths.state}/admin.lock"):
            with self.desk.store.reading() as tx:
                keys = tx.keys()
            return key_file.write(self.key_file, keys, self.at.gate, without=without)


def actor() -> str:
    """`admin:NAME` of the person at the keyboard: through sudo, or of this uid."""
    name = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    if not name:
        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            name = f"uid {os.getuid()}"  # an account that this machine has no name for
    return "admin:" + printable(name, 64)


def open_settings(config: str) -> Settings:
    """The settings, read before the account is known. Raises ConfigurationError, Refusal."""
    try:
        os.stat(config)
    except PermissionError:
        line = "sudo " + " ".join(own_command_line())
        raise Refusal("forbidden", text=f"you may not look at {config}", hint=f"type: {line}") from None
    except OSError:
        raise Refusal(
            "usage",
            text=f"no configuration at {config}",
            hint="name it with gitguard --config FILE, or begin with: gitguard admin init",
        ) from None
    return read_settings(config)


def open_office(ctx: click.Context, *, store_may_be_broken: bool = False) -> Office:
    """Become the Git account and open store and keys. Raises Refusal.

    `store_may_be_broken`: for `restore` alone; the office's desk then has an empty store in memory.
    """
    who = actor()
    config: str = ctx.find_root().obj
    try:
        settings = open_settings(config)
    except ConfigurationError as error:
        for fault in error.faults:
            click.echo(f"{error.path}: {fault}", err=True)
        raise Refusal(
            "config-invalid", text=f"{len(error.faults)} faults in {config}; mend them first"
        ) from None
    become(str(settings.host.account), own_command_line())
    os.umask(0o077)
    try:
        store = SqliteStore(settings.store.url.path, audit_head(settings.paths.access_log))
    except Refusal:
        if not store_may_be_broken:
            raise
        store = SqliteStore.in_memory()
    keys = keyring.read(f"{settings.paths.state}/secret.keys")
    host = settings.host
    view = View(account=str(host.account), host=host.name, port=host.port)
    desk = Desk(store, keys, settings)
    void_recovery_codes_if_off(desk, now().at, who)
    return Office(places(config), settings, desk, who, view)
