"""The audit trail as SQL: one chain of records, its end where changes are written, its beginning where
an admin moved older ones out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gitguard.store.chain import GENESIS, link, text_of
from gitguard.store.rows import AuditRecord, Recorded
from gitguard.store.sql import Sql, containing

_RECORD = "SELECT seq, record, hash FROM audit"


class TrailReader(Sql):
    """Questions about the trail; see contract.Reading."""

    def audit(self, after: int = 0) -> Iterator[AuditRecord]:
        return map(AuditRecord._make, self._each(f"{_RECORD} WHERE seq > ? ORDER BY seq", after))

    def newest_audit(
        self, before: int | None, most: int, user: str = "", within: int = 20_000
    ) -> list[AuditRecord]:
        if before is None:
            before = self._one("SELECT COALESCE(MAX(seq), 0) + 1 FROM audit")[0]
        if not user:
            rows = self._all(f"{_RECORD} WHERE seq < ? ORDER BY seq DESC LIMIT ?", before, most)
            return [AuditRecord._make(row) for row in rows]
        least, named = before - within, containing(json.dumps(user))
        sql = f"{_RECORD} WHERE seq < ? AND seq >= ? AND record LIKE ? ESCAPE '!' ORDER BY seq DESC LIMIT ?"
        found: list[AuditRecord] = []
        # The text may name the user in another place: page by page, until there are enough.
        while len(found) < most and (rows := self._all(sql, before, least, named, most)):
            page = [AuditRecord._make(row) for row in rows]
            found += [record for record in page if record.record.get("user") == user]
            before = page[-1].seq
        return found[:most]

    def latest_of(
        self, events: tuple[str, ...], after: int, most: int, within: int = 20_000, *, oldest: bool = False
    ) -> list[AuditRecord]:
        newest = self._one("SELECT COALESCE(MAX(seq), 0) FROM audit")[0]
        wanted = " OR ".join(["record LIKE ? ESCAPE '!'"] * len(events))
        rows = self._all(
            f"{_RECORD} WHERE seq > ? AND ({wanted}) ORDER BY seq {'ASC' if oldest else 'DESC'} LIMIT ?",
            max(after, newest - within), *[containing(f'"event":"{event}"') for event in events], most,
        )  # fmt: skip
        found = [AuditRecord._make(row) for row in rows]
        return [one for one in found if one.record.get("event") in events]

    def archived(self) -> tuple[int, bytes]:
        row = self._one("SELECT seq, hash FROM archived")
        return (int(row[0]), bytes(row[1])) if row is not None else (0, GENESIS)

    def latest_at(self) -> int:
        latest: int = self._one("SELECT latest_at FROM clock")[0]
        return latest


class TrailWriter(TrailReader):
    """Changes to the trail; see contract.Writing."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.first = 0
        self.newest: tuple[int, bytes] | None = None
        self.recorded: list[Recorded] = []
        self._latest_at = -1

    def record(self, event: str, at: int, actor: str, **details: object) -> None:
        # Nobody else writes while this transaction lasts: the end of the chain is looked up once.
        row = self.newest or self._one("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        seq, previous = (row[0] + 1, row[1]) if row is not None else (1, GENESIS)
        record: Recorded = {"event": event, "at": at, "actor": actor}
        record.update({name: value for name, value in details.items() if value not in (None, "")})
        text = text_of(record)
        digest = link(previous, seq, text)
        self._change("INSERT INTO audit (seq, record, hash) VALUES (?, ?, ?)", seq, text, digest)
        # A server whose clock runs ahead is not to have all others refuse codes until they catch up.
        moment = at - max(self.ahead_seconds, 0)
        if moment > self._latest_at:
            self._change("UPDATE clock SET latest_at = ? WHERE latest_at < ?", moment, moment)
            self._latest_at = moment
        self.newest = (seq, digest)
        self.recorded.append(record)
        self.first = self.first or seq

    def is_ancestor(self, head: tuple[int, bytes] | None) -> bool:
        """Whether the head outside the store, as it was before this transaction, is one of its records."""
        if head is None:
            return self.first <= 1
        seq, digest = head
        if seq == 0:
            return digest == GENESIS
        row = self._one("SELECT hash FROM audit WHERE seq = ?", seq)
        return row is not None and row[0] == digest

    def move_out(self, until: int) -> int:
        self._change("DELETE FROM archived")
        self._change("INSERT INTO archived (seq, hash) SELECT seq, hash FROM audit WHERE seq = ?", until)
        return self._change("DELETE FROM audit WHERE seq <= ?", until)
