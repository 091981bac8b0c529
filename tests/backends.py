"""The stores that run the contract's tests: how each is made and opened."""

from __future__ import annotations

import atexit
import os
import sqlite3
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from gitguard.store import sqlite
from gitguard.store.contract import Store
from gitguard.store.postgresql import schema as postgresql_schema
from gitguard.store.postgresql.keeper import PostgresStore
from lab.database import Pooler, own_server


class Backend(Protocol):
    """A kind of store below a folder of the test's own."""

    def __init__(self, folder: Path) -> None: ...
    def create(self) -> None:
        """Make it, at the newest schema."""

    def open(self) -> Store:
        """A connection of its own, as another process would have."""

    def meddle(self, sql: str, *values: object) -> None:
        """Change what is stored past all of our code, as anyone who holds the store could."""


class SqliteBackend:
    """One SQLite file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self) -> None:
        """Make it, at the newest schema."""
        sqlite.create(str(self.folder / "gitguard.db"))

    def open(self) -> sqlite.SqliteStore:
        """A connection of its own."""
        return sqlite.SqliteStore(str(self.folder / "gitguard.db"), str(self.folder / "audit.head"))

    def meddle(self, sql: str, *values: object) -> None:
        """Past all of our code."""
        connection = sqlite3.connect(self.folder / "gitguard.db")
        with connection:
            connection.execute(sql, values)
        connection.close()


class PostgresBackend:
    """A database of its own on this process's PostgreSQL server."""

    made: ClassVar[int] = 0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"store{os.getpid()}_{PostgresBackend.made}"
        PostgresBackend.made += 1
        self.url = own_server().database(self.name)
        self._opened: list[PostgresStore] = []

    def create(self) -> None:
        """Make it, at the newest schema."""
        postgresql_schema.create(self.url, "")

    def open(self) -> PostgresStore:
        """A connection of its own."""
        store = PostgresStore(self.url, "", str(self.folder / "audit.head"))
        self._opened.append(store)
        return store

    def meddle(self, sql: str, *values: object) -> None:
        """Past all of our code."""
        own_server().ask(sql.replace("?", "%s"), *values, database=self.name)


class PooledBackend(PostgresBackend):
    """The same through PgBouncer, which gives each transaction another connection."""

    pooler: ClassVar[Pooler | None] = None

    def create(self) -> None:
        """Make it, past the pooler, as an admin would."""
        super().create()
        if PooledBackend.pooler is None:
            PooledBackend.pooler = Pooler(own_server())
            atexit.register(PooledBackend.pooler.stop)
        self.url = PooledBackend.pooler.url(self.name)


class EncryptedBackend(PostgresBackend):
    """The same over TCP and TLS, to whom a certificate vouches for."""

    def create(self) -> None:
        """Make it."""
        self.url = own_server().url_by_tls(self.name, own_server().folder / "authority.crt")
        super().create()


BACKENDS: dict[str, type[Backend]] = {
    "sqlite": SqliteBackend,
    "postgresql": PostgresBackend,
    "pgbouncer": PooledBackend,
    "tls": EncryptedBackend,
}
EACH = [
    pytest.param(kind, marks=pytest.mark.e2e if name != "sqlite" else (), id=name)
    for name, kind in BACKENDS.items()
]
