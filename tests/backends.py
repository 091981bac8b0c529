"""The stores that run the contract's tests: how each is made and opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Protocol

from gitguard.store import sqlite
from gitguard.store.contract import Store


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


BACKENDS: dict[str, type[Backend]] = {"sqlite": SqliteBackend}
