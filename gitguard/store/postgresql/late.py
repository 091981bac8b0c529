"""A change of one person's own, beside which other people's go on: only the trail's end is written one after
the other, and last.

Lock first, as all writers do: the estate's in shared mode, the person's alone. Whoever changes more takes the
estate's alone (keeper.py), and meets none of these half way. Then the chain's lock, which is held for two
statements and the COMMIT: what every server waits for. The order is the same for all, so nobody waits in a
circle.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from gitguard.store.chain import GENESIS, link, text_of
from gitguard.store.postgresql.guard import LOCK
from gitguard.store.rows import Recorded
from gitguard.store.statements import Writer

CHAIN = LOCK + 1
_OF_PERSON = LOCK  # of advisory locks by two numbers, which are none of those by one


def locks(user: str) -> str:
    """The SQL that takes the locks of a change of `user`'s own."""
    number = int.from_bytes(
        blake2b(user.encode("utf-8", "surrogateescape"), digest_size=4).digest(), signed=True
    )
    return (
        f"SELECT pg_advisory_xact_lock_shared({LOCK}); SELECT pg_advisory_xact_lock({_OF_PERSON}, {number})"
    )


def take_chain(head: tuple[int, bytes] | None) -> str:
    """The SQL that takes the chain's lock; it answers (number, hash) of the last record, and the hash of the
    one that the head outside names.
    """
    seq = head[0] if head is not None else 0
    return (
        f"SAVEPOINT chain; SELECT pg_advisory_xact_lock({CHAIN});"
        f" SELECT seq, hash, (SELECT hash FROM audit WHERE seq = {seq:d}) FROM audit ORDER BY seq DESC LIMIT 1"
    )


GIVE_UP_CHAIN = "ROLLBACK TO SAVEPOINT chain"


class LateWriter(Writer):
    """What it records is kept until `put_records`. MUST: nothing in between reads the trail's end."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._kept: list[tuple[int, str]] = []

    def record(self, event: str, at: int, actor: str, **details: object) -> None:
        """Keep it for the end."""
        record: Recorded = {"event": event, "at": at, "actor": actor}
        record.update({name: value for name, value in details.items() if value not in (None, "")})
        self._kept.append((at - max(self.ahead_seconds, 0), text_of(record)))
        self.recorded.append(record)

    @property
    def has_records(self) -> bool:
        """Whether the chain's lock is needed at all."""
        return bool(self._kept)

    def put_records(self, end: tuple[int, bytes] | None) -> None:
        """Write them behind the chain's `end`, under its lock."""
        seq, digest = end or (0, GENESIS)
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
        self.first, self.newest = seq - len(self._kept) + 1, (seq, digest)
