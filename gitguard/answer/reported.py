"""What stands in the trail and an admin has not marked as seen: reports, guessing, maintenance past 2FA."""

from __future__ import annotations

from msgspec import Struct

from gitguard.store.rows import Recorded
from gitguard.store.trail_contract import TrailReading

REPORTED = ("request-denied", "many-users-guessed", "throttled", "break-glass-begun")  # events of the trail
SEEN = "attention-seen"
MOST = 20  # are shown at once; the oldest, so that a flood hides nothing that came before it
MOST_RECORDS = 2000


class Concern(Struct, frozen=True):
    """One thing. `kind`: the event, or a word of whoever adds it; `seq`: its latest record's
    number, 0 for what stands in none.

    `first`: its first record's number; `count`: how many records say it. `facts`: user, key, address,
    repository, ... of the latest, as far as they are known.
    """

    kind: str
    seq: int
    at: int
    facts: dict[str, str]
    first: int = 0
    count: int = 1


def reported(tx: TrailReading) -> tuple[list[Concern], int]:
    """(at most `MOST`, the latest first; how many more there are). What one user's
    records say alike is one concern.

    A thief who reports a thousand times is one line, and pushes nobody else's off the list.
    """
    seen = tx.latest_of((SEEN,), 0, 1)
    after = _number(seen[0].record.get("upto")) if seen else 0
    found: dict[tuple[str, str], Concern] = {}
    for one in tx.latest_of(REPORTED, after, MOST_RECORDS, oldest=True):
        kind, user = str(one.record["event"]), str(one.record.get("user", ""))
        before = found.get((kind, user))
        found[kind, user] = Concern(
            kind,
            one.seq,
            _number(one.record.get("at")),
            _facts(one.record),
            before.first if before is not None else one.seq,
            before.count + 1 if before is not None else 1,
        )
    all_ = sorted(found.values(), key=lambda concern: concern.first)
    shown = sorted(all_[:MOST], key=lambda concern: -concern.seq)
    return shown, len(all_) - len(shown)


def seen_up_to(tx: TrailReading, shown: list[Concern]) -> int:
    """Up to which record everything was shown: none of what is still hidden is marked with it."""
    seen = tx.latest_of((SEEN,), 0, 1)
    after = _number(seen[0].record.get("upto")) if seen else 0
    names = {(one.kind, one.facts.get("user", "")) for one in shown}
    for one in tx.latest_of(REPORTED, after, MOST_RECORDS, oldest=True):
        if (str(one.record["event"]), str(one.record.get("user", ""))) not in names:
            return one.seq - 1
    return max((one.seq for one in shown), default=0)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _facts(record: Recorded) -> dict[str, str]:
    names = ("user", "key", "address", "repository", "last_address", "users", "reason")
    return {name: str(record[name]) for name in names if name in record}
