"""What stands in the trail and a server's admin has not marked as seen: reports, guessing, maintenance past 2FA."""

from __future__ import annotations

from msgspec import Struct

from gitguard.store.rows import Recorded
from gitguard.store.trail_contract import TrailReading

REPORTED = ("request-denied", "many-users-guessed", "throttled", "break-glass-begun")  # events of the trail
SEEN = "attention-seen"
MOST = 20


class Concern(Struct, frozen=True):
    """One thing. `kind`: the event, or a word of whoever adds it; `seq`: its record's number, 0 for what stands in no record.

    `facts`: user, key, address, repository, ... as far as they are known.
    """

    kind: str
    seq: int
    at: int
    facts: dict[str, str]


def reported(tx: TrailReading) -> list[Concern]:
    """The newest first, at most `MOST`."""
    seen = tx.latest_of((SEEN,), 0, 1)
    after = _number(seen[0].record.get("upto")) if seen else 0
    return [
        Concern(str(one.record["event"]), one.seq, _number(one.record.get("at")), _facts(one.record))
        for one in tx.latest_of(REPORTED, after, MOST)
    ]


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _facts(record: Recorded) -> dict[str, str]:
    names = ("user", "key", "address", "repository", "last_address", "users", "reason")
    return {name: str(record[name]) for name in names if name in record}
