"""An installation of gitguard with everything below one folder, and its admin."""

from __future__ import annotations

import json
import os
import pwd
import socket
import tomllib
from pathlib import Path

import tomli_w

from gitguard.config.in_force import vouch
from lab.agent import Agent, beside
from lab.database import new_database
from lab.meddling import Where
from lab.person import Person
from lab.run import Done, gitguard

STORE = os.environ.get("GITGUARD_LAB_STORE", "")
ACCOUNT = pwd.getpwuid(os.geteuid()).pw_name


class Installation:
    """`folder` must not be there yet or be empty; everything lies below it and goes with it."""

    def __init__(self, folder: Path, *, sshd_lines: str = "", accept_env: str = "GIT_PROTOCOL") -> None:
        self.folder = folder
        self.home = folder / "gitguard"
        self.repositories = folder / "repositories"
        self.key_file = folder / "keys" / "authorized_keys"
        self.sshd_lines = sshd_lines
        self.accept_env = accept_env
        self.account = ACCOUNT
        self.people: dict[str, Person] = {}
        self.port = free_port()
        self.database_url = ""  # of its database, where the stories run on one
        self.agent: Agent | None = None  # where the stories run through one
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.home / "gitguard.toml"

    @property
    def store(self) -> Path:
        """The SQLite file."""
        return self.home / "state" / "gitguard.db"

    @property
    def kept(self) -> Where:
        """The store, of whichever kind, for whoever meddles with it."""
        return self.database_url or self.store

    @property
    def access_log(self) -> Path:
        """The access log."""
        return self.home / "log" / "access.log"

    def install(self) -> None:
        """`gitguard admin init` with everything below `folder`."""
        self.raw_admin(
            "init", "--home", str(self.home), "--account", ACCOUNT, "--repositories", str(self.repositories),
            "--host", "127.0.0.1", "--port", str(self.port), "--authorized-keys", str(self.key_file),
        )  # fmt: skip
        self.agent = beside(self)
        if STORE == "postgresql":
            self.database_url = new_database()
            self.admin("store", "copy", "--to", self.database_url)
            self.configure(store={"url": self.database_url})
            self.admin("init")

    def raw_admin(self, *words: str, status: int | None = 0, stdin: str = "") -> Done:
        """`gitguard admin ...` with the default configuration; fails unless it exits with `status`."""
        return gitguard("admin", *words, status=status, stdin=stdin)

    def admin(self, *words: str, status: int | None = 0, stdin: str = "") -> Done:
        """`gitguard --config ... admin ...`."""
        return gitguard("--config", str(self.config), "admin", *words, status=status, stdin=stdin)

    def configure(self, **tables: dict[str, object]) -> None:
        """Change keys of the configuration, and vouch for it:
        `configure(git={"enforcement": "enforced"})`.
        """
        data = tomllib.loads(self.config.read_text())
        for table, values in tables.items():
            data.setdefault(table, {}).update(values)
        self.write(tomli_w.dumps(data))

    def write(self, text: str) -> None:
        """Put `text` into the configuration, and say that it is whole, as `config edit` does."""
        vouch(str(self.home / "state" / "config.compiled"), text.encode())
        self.config.write_text(text)

    def directory(self, name: str) -> Path:
        """Where the repository `name` lies."""
        return self.repositories / f"{name}.git"

    def log(self) -> list[dict[str, object]]:
        """The access log."""
        if not self.access_log.exists():
            return []
        return [json.loads(line) for line in self.access_log.read_text().splitlines() if line]


def free_port() -> int:
    """A port of the loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
