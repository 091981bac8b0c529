"""One statement at a time on an open transaction: what the SQL of questions.py,
statements.py and trail.py is run with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Sql:
    """`connection`: inside a transaction of the driver's, which begins and ends it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def _one(self, sql: str, *values: object) -> Any:
        return self._connection.execute(sql, values).fetchone()

    def _all(self, sql: str, *values: object) -> list[Any]:
        rows: list[Any] = self._connection.execute(sql, values).fetchall()
        return rows

    def _each(self, sql: str, *values: object) -> Iterator[Any]:
        """A row at a time: for what may be longer than memory."""
        return iter(self._connection.execute(sql, values))

    def _change(self, sql: str, *values: object) -> int:
        count: int = self._connection.execute(sql, values).rowcount
        return count


def containing(text: str) -> str:
    """A LIKE pattern for what holds `text`, with `!` before what LIKE would read."""
    return "%" + "".join("!" + c if c in "!%_" else c for c in text) + "%"
