"""One statement at a time on an open transaction: what the SQL of questions.py,
statements.py and trail.py is run with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gitguard.message.reasons import Refusal
from gitguard.session.request_notes import Notes


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
        """A statement that is no change of the contract's."""
        self._run(sql, values)

    def rows(self, table: str, columns: tuple[str, ...], after: int = 0) -> Iterator[tuple[Any, ...]]:
        """The rows of a table, one at a time; of the trail those behind number `after`, in order."""
        names = ", ".join(columns)
        if table == "audit":
            return self._each(f"SELECT {names} FROM audit WHERE seq > ? ORDER BY seq", after)  # noqa: S608 - names of our own
        return self._each(f"SELECT {names} FROM {table}")  # noqa: S608 - names of our own

    def put_rows(self, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
        """Add such rows as they are."""
        self.has_failed = True
        self._connection.put_rows(table, columns, rows)
        self.has_failed = False

    def highest_number(self) -> int:
        """The highest number that any session was ever given."""
        number: int = self._connection.highest_number()
        return number

    def notes(self, state: str, server: str) -> Notes:
        """Where pending requests are noted: below the state folder, or for every server of a database."""
        found: Notes = self._connection.notes(state, server)
        return found

    def go_on_after(self, number: int) -> None:
        """The next session's number is higher than that, and than any that is there."""
        self._connection.go_on_after(number)

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
