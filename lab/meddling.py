"""The store past all of our code, as anyone who holds it could change it: for tests, faults and benches.

One place knows what kind of store that is, so that another kind is one more row
here and in tests/backends.py.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

Where = str | Path


def meddle(store: Where, sql: str, values: Sequence[object] = (), *, patience: float = 5) -> None:
    """One statement, committed. `patience`: seconds to wait for other writers."""
    with contextlib.closing(sqlite3.connect(store, timeout=patience)) as connection, connection:
        connection.execute(sql, values)


def meddle_many(store: Where, sql: str, rows: Iterable[Sequence[object]]) -> None:
    """One statement for each of `rows`, in one transaction."""
    with contextlib.closing(sqlite3.connect(store, timeout=5)) as connection, connection:
        connection.executemany(sql, rows)


def rows(store: Where, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """What a question answers."""
    with contextlib.closing(sqlite3.connect(store, timeout=5)) as connection:
        return connection.execute(sql, values).fetchall()


@contextlib.contextmanager
def written_by_another(store: Where) -> Iterator[None]:
    """Another writer is in the middle of a change as long as this lasts, and takes it back at its end."""
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
