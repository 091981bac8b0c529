"""The store past all of our code, as anyone who holds it could change it: for tests, faults and benches.

One place knows what kind of store that is, so that another kind is one more row
here and in tests/backends.py.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from gitguard.machine.postgresql_address import read as read_address
from gitguard.store.postgresql.connection import in_its_dialect

Where = str | Path


def meddle(store: Where, sql: str, values: Sequence[object] = (), *, patience: float = 5) -> None:
    """One statement, committed. `patience`: seconds to wait for other writers."""
    with _opened(store, patience) as run:
        run(sql, values)


def meddle_many(store: Where, sql: str, rows: Iterable[Sequence[object]]) -> None:
    """One statement for each of `rows`, in one transaction."""
    with _opened(store) as run:
        for values in rows:
            run(sql, values)


def rows(store: Where, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """What a question answers."""
    with _opened(store) as run:
        found: list[tuple[Any, ...]] = run(sql, values).fetchall()
        return found


@contextlib.contextmanager
def _opened(store: Where, patience: float = 5) -> Iterator[Callable[[str, Sequence[object]], Any]]:
    """What runs one statement of a transaction."""
    if not str(store).startswith("postgresql:"):
        with contextlib.closing(sqlite3.connect(store, timeout=patience)) as connection, connection:
            yield connection.execute
        return
    address = read_address(str(store))
    ((host, port),) = address.hosts
    with psycopg.connect(host=host, port=port, user=address.user, dbname=address.database) as database:
        yield lambda sql, values: database.execute(in_its_dialect(sql), values)


@contextlib.contextmanager
def written_by_another(store: Where) -> Iterator[None]:
    """Another writer is in the middle of a change as long as this lasts, and takes it back at its end."""
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
