"""The agent's reading of a PostgreSQL store: the gate's own questions, over a connection that is kept.

One round trip a question. MUST: it writes nothing but the word that closes a store which has lost something,
and what this server knows of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gitguard.machine.postgresql_address import read as read_address
from gitguard.message.reasons import Refusal
from gitguard.store.chain import Head
from gitguard.store.gate_query import GateQuery, State
from gitguard.store.postgresql import guard
from gitguard.store.postgresql.connection import (
    Database,
    DatabaseError,
    LostError,
    OverdueError,
    connect_and_look,
    said,
)
from gitguard.store.postgresql.keeper import PostgresStore

Found = TypeVar("Found")
CONNECT_SECONDS = 0.7
QUERY_SECONDS = 0.4  # of one question


class PostgresQuery(GateQuery):
    """The store at `url`. Methods raise Refusal alone."""

    __slots__ = ("_db", "_head", "_known", "_password_file", "_place")
    _more, _source = ", " + guard.STATE, "store_schema"

    def __init__(
        self, url: str, password_file: str, head: str, wait_seconds: float = CONNECT_SECONDS
    ) -> None:
        super().__init__(url, min(wait_seconds, CONNECT_SECONDS))
        self._password_file = password_file
        self._place = read_address(url).shown
        self._head = Head(head)
        self._db: Database | None = None
        self._known = guard.WhichDatabase()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._db is not None and self._db.is_usable

    def open(self) -> None:
        """Connect, and look whether it is the database that it was. Raises Refusal."""
        if self.is_open:
            return
        self.close()
        self._db, self._known = connect_and_look(
            read_address(self._path), self._password_file, self._looked_at, self._wait_seconds
        )

    def _looked_at(self, db: Database) -> guard.WhichDatabase:
        db.allow(self._wait_seconds)
        try:
            return guard.look(db, self._head, self._place)
        except guard.ChangedError:
            # What a failover asks for is a change: the store makes it, and this looks again.
            PostgresStore(self._path, self._password_file, self._head.path).close()
            return guard.look(db, self._head, self._place)
        except (DatabaseError, OverdueError) as error:
            raise Refusal("store-unavailable", f"{self._place}: {said(error)}") from None

    def check(self) -> None:
        """Before each request of many: there is a connection; the rest comes with each state."""
        self.open()

    def state(self, *asked: Any, **named: Any) -> State:
        """As the gate's own; a database that was changed behind a pooler is looked at first."""
        try:
            return super().state(*asked, **named)
        except guard.ChangedError:
            self.close()
        try:
            return super().state(*asked, **named)
        except guard.ChangedError:
            raise Refusal("store-unavailable", f"{self._place}: it is failing over") from None

    def _believed(self, row: tuple[object, ...]) -> tuple[object, ...]:
        fields = len(State.FIELDS)
        guard.check_clock(guard.check_state(row[fields:], self._place, self._known), self._place)
        return row[:fields]

    def _one(self, sql: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        return self._asked(lambda db: db.execute(sql, values).fetchone())

    def _all(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        return self._asked(lambda db: db.execute(sql, values).fetchall())

    def _asked(self, question: Callable[[Database], Found]) -> Found:
        """A connection that was lost while nobody used it is made anew, once."""
        for attempt in (1, 2):
            self.open()
            db = self._db
            if db is None:
                break
            db.allow(QUERY_SECONDS)
            try:
                return question(db)
            except (DatabaseError, OverdueError, UnicodeEncodeError, OSError) as error:
                self.close()
                if attempt == 2 or not isinstance(error, LostError):
                    raise Refusal("store-unavailable", f"{self._place}: {said(error)}") from None
        raise Refusal("store-unavailable", f"{self._place} is not open")

    def ask(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """What no decision needs: for the notes of pending requests."""
        return self._all(sql, values)

    def close(self) -> None:
        """Close it."""
        if self._db is not None:
            self._db.close()
            self._db = None
