"""What every store promises of its audit trail; the rest of the contract, and what holds for
all of it, is in contract.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from gitguard.session.request_notes import Notes
from gitguard.store.rows import AuditRecord


class TrailReading(Protocol):
    """Questions. `ahead_seconds`: how far this machine's clock is ahead of the store's own, negative where it
    is behind, 0 where the store has none.
    """

    ahead_seconds: int

    def rows(self, table: str, columns: tuple[str, ...], after: int = 0) -> Iterator[tuple[Any, ...]]:
        """The rows of a table, one at a time; of the trail those behind number `after`, in order."""

    def highest_number(self) -> int:
        """The highest number that any session was ever given."""

    def notes(self, state: str, server: str) -> Notes:
        """Where pending requests are noted: files below `state`, or rows that every server of the database
        sees, in this transaction. `server`: a name that no other server has.
        """

    def audit(self, after: int = 0) -> Iterator[AuditRecord]:
        """The records after number `after`, in the chain's order, one at a time,
        while the transaction lasts.
        """

    def archived(self) -> tuple[int, bytes]:
        """(number, hash) of the last record moved out, where the chain continues
        from; (0, GENESIS) for none.
        """

    def newest_audit(
        self, before: int | None, most: int, user: str = "", within: int = 20_000
    ) -> list[AuditRecord]:
        """At most `most` records before number `before` (None: the newest), the newest first.

        With `user` those that are about them, among the `within` records before `before`.
        """

    def latest_of(
        self, events: tuple[str, ...], after: int, most: int, within: int = 20_000, *, oldest: bool = False
    ) -> list[AuditRecord]:
        """At most `most` records of these events behind number `after` and among the `within` latest, the
        newest first (`oldest`: the oldest).
        """

    def latest_at(self) -> int:
        """The latest moment of any record, 0 for none: the store's own idea of how late it is."""


class TrailWriting(Protocol):
    """Changes."""

    def run(self, sql: str, *values: object) -> None:
        """A statement of a copy's, or of one kind of store's own."""

    def put_rows(self, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows as `rows` gave them."""

    def go_on_after(self, number: int) -> None:
        """The next session's number is higher than that, and than any that is there."""

    def record(self, event: str, at: int, actor: str, **details: object) -> None:
        """Add one record at the end of the chain; details that are None or "" are left out."""

    def move_out(self, until: int) -> int:
        """Take the records up to number `until` out of the trail, and remember where it
        continues from. How many went.

        MUST: a record of the chain, which the head outside the store stands at or behind,
        says that they are elsewhere.
        """
