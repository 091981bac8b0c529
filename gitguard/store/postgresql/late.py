"""Records at the end of a transaction, so that what everyone waits for is short; and changes of one person's
own, beside which other people's go on.

Lock first, as all writers do. Whoever changes only what is one person's takes the estate's lock in shared
mode and the person's alone; whoever changes more takes the estate's alone (guard.TAKE), and meets none of
those half way. A change beside others takes the chain's lock last: it is held for two statements and the
COMMIT, and all servers wait for it. The order is the same for all, so nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

from gitguard.store.chain import GENESIS, link, text_of
from gitguard.store.postgresql.guard import LOCK
from gitguard.store.rows import AuditRecord, Recorded
from gitguard.store.statements import Writer

CHAIN = LOCK + 1
_OF_PERSON = LOCK  # of advisory locks by two numbers, which are none of those by one
TAKE_CHAIN = f"SAVEPOINT chain; SELECT pg_advisory_xact_lock({CHAIN}); "
MOST_KEPT = 1000  # a statement takes so many values, and no more
GIVE_UP_CHAIN = "ROLLBACK TO SAVEPOINT chain"

End = tuple[int, bytes]


def locks(user: str) -> str:
    """The SQL that takes the locks of a change of `user`'s own."""
    number = int.from_bytes(
        blake2b(user.encode("utf-8", "surrogateescape"), digest_size=4).digest(), signed=True
    )
    return (
        f"SELECT pg_advisory_xact_lock_shared({LOCK}); SELECT pg_advisory_xact_lock({_OF_PERSON}, {number})"
    )


def end_of_chain(head: End | None) -> str:
    """The SQL that answers (number, hash) of the last record, and the hash of the one that the head outside
    names.
    """
    seq = head[0] if head is not None else 0
    return (
        f"SELECT seq, hash, (SELECT hash FROM audit WHERE seq = {seq:d}) FROM audit ORDER BY seq DESC LIMIT 1"
    )


class LateWriter(Writer):
    """What it records is kept until `put_records`, which whoever commits calls; questions about the trail do
    as well, since the answer may be in it. `end`: (number, hash) of the last record there is, under the lock
    of those who write the trail; None for none.
    """

    def __init__(self, connection: Any, end: Callable[[], End | None]) -> None:
        super().__init__(connection)
        self._end = end
        self._kept: list[tuple[int, str]] = []

    def record(self, event: str, at: int, actor: str, **details: object) -> None:
        """Keep it for the end."""
        record: Recorded = {"event": event, "at": at, "actor": actor}
        record.update({name: value for name, value in details.items() if value not in (None, "")})
        self._kept.append((at - max(self.ahead_seconds, 0), text_of(record)))
        self.recorded.append(record)
        if len(self._kept) >= MOST_KEPT:
            self.put_records()

    def put_records(self) -> None:
        """Write what is kept behind the chain's end."""
        if not self._kept:
            return
        self.newest = self.newest or self._end()
        seq, digest = self.newest or (0, GENESIS)
        self.first = self.first or seq + 1
        values: list[object] = []
        for _, text in self._kept:
            seq += 1
            digest = link(bytes(digest), seq, text)
            values += [seq, text, digest]
        moment = max(at for at, _ in self._kept)
        rows = ", ".join(["(?, ?, ?)"] * len(self._kept))
        self.run(
            f"WITH added AS (INSERT INTO audit (seq, record, hash) VALUES {rows})"
            " UPDATE clock SET latest_at = ? WHERE latest_at < ?",
            *values, moment, moment,
        )  # fmt: skip
        self._kept.clear()
        self.newest = (seq, digest)

    # -- what the trail is asked, or changed by, in between

    def rows(self, table: str, columns: tuple[str, ...], after: int = 0) -> Iterator[tuple[Any, ...]]:
        """See the contract."""
        self.put_records()
        return super().rows(table, columns, after)

    def audit(self, after: int = 0) -> Iterator[AuditRecord]:
        """See the contract."""
        self.put_records()
        return super().audit(after)

    def newest_audit(
        self, before: int | None, most: int, user: str = "", within: int = 20_000
    ) -> list[AuditRecord]:
        """See the contract."""
        self.put_records()
        return super().newest_audit(before, most, user, within)

    def latest_of(
        self, events: tuple[str, ...], after: int, most: int, within: int = 20_000, *, oldest: bool = False
    ) -> list[AuditRecord]:
        """See the contract."""
        self.put_records()
        return super().latest_of(events, after, most, within, oldest=oldest)

    def latest_at(self) -> int:
        """See the contract."""
        self.put_records()
        return super().latest_at()

    def accept_clock(self, at: int) -> None:
        """See the contract."""
        self.put_records()
        super().accept_clock(at)

    def move_out(self, until: int) -> int:
        """See the contract."""
        self.put_records()
        return super().move_out(until)
