"""Waiting for a lock of ours, as long as whoever holds it can go on at all."""

from __future__ import annotations

import time
from typing import Any

from gitguard.message.reasons import Refusal
from gitguard.store.postgresql import guard
from gitguard.store.postgresql.connection import Database, LockTakenError
from gitguard.store.turn import PATIENCE_SECONDS

LOCK_SECONDS = 0.8  # one wait, shorter than any statement may take; then we look whether its holder can go on
ANSWER_SECONDS = 0.7  # beyond that wait: a database that stands still is no queue
BEGIN = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {int(LOCK_SECONDS * 1000)}; {{locks}};"
    f" SELECT {guard.STATE} FROM store_schema"
)
# Whoever holds a lock of ours waits for a standby, and nobody can say for how long.
_STUCK = (
    "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted"
    " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND wait_event = 'SyncRep'"
)


def patiently(
    db: Database, script: str, give_up: str, place: str, wait_seconds: float
) -> tuple[Any, ...] | None:
    """What `script` answers once it has its lock. Raises Refusal("busy") where that took too long, and the
    driver's errors. `give_up`: takes back a script that had to wait; `wait_seconds`: how long the database
    may take from then on.
    """
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        db.allow(LOCK_SECONDS + min(wait_seconds, ANSWER_SECONDS))
        try:
            found = db.script(script).fetchone()
        except LockTakenError:
            db.execute(give_up)
        else:
            db.allow(wait_seconds)
            return found
        if db.execute(_STUCK).fetchone() is not None:
            text = "a change waits for the standby, which does not answer"
            raise Refusal("store-unavailable", f"{place}: {text}")
        if time.monotonic() >= ends:
            raise Refusal("busy", f"no turn within {PATIENCE_SECONDS:g} s")
