"""One statement at a time on an open transaction: what the SQL of questions.py,
statements.py and trail.py is run with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitguard.message.reasons import Refusal


class Sql:
    """`connection`: inside a transaction of the driver's, which begins and ends it. `has_failed`: whether a
    statement did, after which nothing of the transaction may stand. `ahead_seconds`: how far this machine's
    clock is ahead of the store's own, where it has one.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.has_failed = False
        self.ahead_seconds = 0

    def check_whole(self, place: str) -> None:
        """Raises Refusal where a statement failed, and whoever called went on all the same."""
        if self.has_failed:
            raise Refusal("store-unavailable", f"{place}: a statement failed, so nothing of it stands")

    def run(self, sql: str, *values: object) -> None:
        """A statement of one kind of store's own."""
        self._run(sql, values)

    def _one(self, sql: str, *values: object) -> Any:
        return self._run(sql, values).fetchone()

    def _all(self, sql: str, *values: object) -> list[Any]:
        rows: list[Any] = self._run(sql, values).fetchall()
        return rows

    def _each(self, sql: str, *values: object) -> Iterator[Any]:
        """A row at a time: for what may be longer than memory."""
        rows: Iterator[Any] = self._connection.each(sql, values)
        return rows

    def _change(self, sql: str, *values: object) -> int:
        count: int = self._run(sql, values).rowcount
        return count

    def _run(self, sql: str, values: tuple[object, ...]) -> Any:
        # What one database keeps and another refuses, or changes without a word, no store keeps.
        if any((isinstance(v, str) and "\0" in v) or isinstance(v, float) for v in values):
            self.has_failed = True
            raise Refusal("store-unavailable", "a text with a NUL in it, or a number with a fraction")
        try:
            return self._connection.execute(sql, values)
        except BaseException:
            self.has_failed = True
            raise


def containing(text: str) -> str:
    """A LIKE pattern for what holds `text`, with `!` before what LIKE would read."""
    return "%" + "".join("!" + c if c in "!%_" else c for c in text) + "%"
