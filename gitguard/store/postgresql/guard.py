"""Whether this database is the one it was: asked before anything is believed or changed.

After a failover to a standby that lagged, what was used is not used, what ended lives, and numbers are given
twice. Whoever committed a change that is lost is a server whose head outside is ahead: that server finds out,
when it connects, and closes the store for all. A pooler may connect us to another database without a word,
so the timeline is asked in every transaction and by every decision.
MUST: nothing here opens again what was closed; that is an admin's (`admin store accept-loss`).
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import NamedTuple

from gitguard.machine.files import replace
from gitguard.message.reasons import Refusal, machine_fault
from gitguard.store import two_clocks
from gitguard.store.chain import GENESIS, Head
from gitguard.store.gate_query import SCHEMA
from gitguard.store.postgresql.connection import Database, OldPrimaryError
from gitguard.store.statements import Writer

LOCK = 0x67697467  # "gitg": an advisory lock of this database, which every writer takes first
TAKE = f"SELECT pg_advisory_xact_lock({LOCK})"
TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
# A standby has no current position: it refuses the question, and so is never believed.
STATE = f"version, oldest_reader, lost, timeline, acceptances, {TIMELINE}, extract(epoch FROM clock_timestamp())::float8"


SYSTEM = "(SELECT system_identifier::text FROM pg_control_system())"  # one for a primary and all its standbys
SYNCHRONOUS = (
    "(current_setting('synchronous_standby_names') <> ''"
    " AND current_setting('synchronous_commit') IN ('on', 'remote_apply'))::int::bigint"
)


class WhichDatabase(NamedTuple):
    """Which database it is, as far as it can tell: its timeline, and how often a loss was accepted in it."""

    timeline: int = 0
    acceptances: int = 0


def check_state(
    row: tuple[object, ...], place: str, known: WhichDatabase, *, although_lost: bool = False
) -> int:
    """By the columns of `STATE`: whether what is asked in the same breath may be believed; how many seconds
    this machine's clock is ahead of the database's. `known` is what `look` last said. Raises Refusal,
    ChangedError.
    """
    version, oldest_reader, lost, _, acceptances, current, now = row
    check_schema(int(str(version)), int(str(oldest_reader)), place)
    if lost and not although_lost:
        raise went_back(place, str(lost))
    if WhichDatabase(int(str(current), 16), int(str(acceptances))) != known:
        raise ChangedError
    return round(time.time() - float(str(now)))


class ChangedError(Exception):
    """Another database answers than the one that was looked at: it is looked at first."""


def check_schema(version: int, oldest_reader: int, place: str) -> None:
    """Whether this code reads that schema rightly. Raises Refusal("store-schema")."""
    if not (version == SCHEMA or oldest_reader <= SCHEMA < version):
        raise Refusal("store-schema", f"{place} has schema {version}, this gitguard knows {SCHEMA}")


def check_current(version: int, place: str) -> None:
    """Whether this code may change what has that schema: what a newer one keeps it knows nothing of. Raises
    Refusal("store-schema").
    """
    if version != SCHEMA:
        text = f"another server has brought {place} to a newer schema; upgrade gitguard here as well"
        raise Refusal(
            "store-schema", f"{place} has schema {version}, this gitguard knows {SCHEMA}", hint=text
        )


def check_clock(off: int, place: str) -> None:
    """Whether this machine's clock goes with the database's, which it is `off` seconds ahead of: a session's
    age is judged by it. Raises Refusal.
    """
    if text := two_clocks.apart(off):
        raise Refusal("store-unavailable", f"{place}: {text}", text=text, hint=two_clocks.HINT)


def went_back(place: str, lost: str) -> Refusal:
    """The refusal while the store is closed."""
    return Refusal("store-went-back", f"{place}: {lost}")


def look(db: Database, head: Head, place: str) -> WhichDatabase:
    """Look at a database that we were just connected to. Closes the store for every server where it has lost
    what this one knows of. Raises Refusal("store-went-back", "store-schema", "store-unavailable"),
    OldPrimaryError, ChangedError.
    """
    row = db.execute(
        f"SELECT {STATE}, synchronous > {SYNCHRONOUS}, system = {SYSTEM} FROM store_schema"
    ).fetchone()
    if row is None:
        raise Refusal("store-unavailable", f"{place} is not a store")
    (version, oldest_reader, said, noticed, acceptances, current, _, waits_no_more, is_same_system) = row
    check_schema(version, oldest_reader, place)
    found, seen = WhichDatabase(int(current, 16), acceptances), _seen(head)
    if said:
        raise went_back(place, said)
    if not is_same_system:  # a copy, or restored from a dump: its timelines are its own
        noticed, seen = 0, seen._replace(timeline=0) if seen is not None else None
    if fault := _past(found, noticed, seen):
        raise OldPrimaryError(went_back(place, fault))
    if fault := _fault(db, head):
        # What was accepted once, by whichever server, is accepted for all who knew of it before.
        if seen is None or seen.acceptances >= acceptances:
            db.execute("UPDATE store_schema SET lost = ? WHERE lost = ''", (fault,))
            raise went_back(place, fault)
        renew_head(db, head)
    elif _is_moved_out(db, head):
        renew_head(db, head)
    if found.timeline != noticed:
        raise ChangedError
    if waits_no_more:  # at once; that it waits again is noted by a sweep, since to note it waits as well
        note_replication(db)
    if found != seen:
        remember(head, found)
    return found


def note_replication(db: Database) -> None:
    """Whether a failover from here would lose nothing."""
    db.execute(f"UPDATE store_schema SET synchronous = {SYNCHRONOUS} WHERE synchronous <> {SYNCHRONOUS}")


def _is_moved_out(db: Database, head: Head) -> bool:
    """Whether an admin has moved out the record that this server knows of."""
    known = head_of(head)
    if known is None or known[0] == 0:
        return False
    return db.execute("SELECT 1 FROM audit WHERE seq = ?", (known[0],)).fetchone() is None


def renew_head(db: Database, head: Head) -> None:
    """The chain's end is what this server knows from now on. Raises Refusal."""
    row = db.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    row = row or db.execute("SELECT seq, hash FROM archived").fetchone()
    try:
        head.write(*(row or (0, GENESIS)))
    except OSError as error:
        raise machine_fault(f"cannot write {head.path}", error) from None


def _past(found: WhichDatabase, noticed: int, seen: WhichDatabase | None) -> str:
    """Why it is an earlier one than this server has seen, "" if it is not. What an admin accepted last is the
    store, whichever database it was.
    """
    if seen is not None and found.acceptances != seen.acceptances:
        if found.acceptances > seen.acceptances:
            return ""
        return "an admin has accepted another database as the store since"
    newest = max(noticed, seen.timeline if seen is not None else 0)
    if found.timeline >= newest:
        return ""
    return (
        f"it is on timeline {found.timeline}, and this server has seen {newest}: an old primary has come back"
    )


def known_of(db: Database, head: Head, place: str) -> WhichDatabase:
    """Which database it is now, whatever it has lost. Raises the driver's errors, for a standby as well, and
    OldPrimaryError.
    """
    known, seen = timeline_and_acceptances(db), _seen(head)
    if fault := _past(known, 0, seen):
        raise OldPrimaryError(went_back(place, fault))
    return known


def timeline_and_acceptances(db: Database) -> WhichDatabase:
    """The same, whether or not it is an old primary."""
    row = db.execute(f"SELECT {TIMELINE}, acceptances FROM store_schema").fetchone()
    return WhichDatabase(int(row[0], 16), row[1]) if row is not None else WhichDatabase()


def lost(db: Database, head: Head) -> str:
    """Why `look` would close, "" if it would not."""
    row = db.execute(f"SELECT lost, timeline, system = {SYSTEM} FROM store_schema").fetchone()
    said, noticed, is_same_system = row or ("", 0, True)
    seen = _seen(head)
    if not is_same_system:
        noticed, seen = 0, seen._replace(timeline=0) if seen is not None else None
    return said or _past(timeline_and_acceptances(db), noticed, seen) or _fault(db, head)


def open_again(tx: Writer, skipped: int, head: Head) -> None:
    """In the transaction that accepts what is lost. It is one acceptance more than this server has seen, in
    whichever database.
    """
    tx.go_on_after(tx.highest_number() + skipped)
    seen = _seen(head)
    sql = (
        f"lost = '', acceptances = greatest(acceptances, ?) + 1, system = {SYSTEM},"
        f" timeline = ('x' || {TIMELINE})::bit(32)::bigint"
    )
    tx.run(f"UPDATE store_schema SET {sql}", seen.acceptances if seen is not None else 0)


def begin_copy(db: Database) -> None:
    """Nobody believes the database before the copy into it is whole."""
    db.execute("UPDATE store_schema SET lost = 'a copy into it is under way, or was cut off: copy once more'")


def open_if_whole(db: Database, head: Head) -> None:
    """Open what was closed for what is in the chain now."""
    if not _fault(db, head):
        db.execute("UPDATE store_schema SET lost = ''")


class FailedOver(NamedTuple):
    """Another database has taken the place of the one before: its timeline; whether it may lack what was
    said to be done (it took over from one that waited for no standby); how late it is, by its own clock.
    """

    timeline: int
    may_lack: bool
    at: int


def changed(db: Database) -> FailedOver | None:
    """What the store has not noticed yet; None where nothing has changed."""
    row = db.execute(
        f"SELECT timeline, {TIMELINE}, synchronous, system = {SYSTEM}, extract(epoch FROM clock_timestamp())::bigint"
        " FROM store_schema"
    ).fetchone()
    if row is None:
        return None
    noticed, current, was_synchronous, is_same_system, at = row
    if int(current, 16) == noticed and is_same_system:
        return None
    return FailedOver(int(current, 16), bool(is_same_system) and not was_synchronous, at)


def head_of(head: Head) -> tuple[int, bytes] | None:
    """The newest record that this server knows of. Raises Refusal where that cannot be said."""
    try:
        return head.read()
    except (OSError, ValueError) as error:
        raise Refusal("store-unavailable", f"{head.path}: {error}") from None


def _fault(db: Database, head: Head) -> str:
    """Why the chain does not hold what this server knows of, "" if it does."""
    known = head_of(head)
    if known is None or known[0] == 0:
        return ""
    row = db.execute("SELECT hash FROM audit WHERE seq = ?", (known[0],)).fetchone()
    if row is None:
        row = db.execute("SELECT hash FROM archived WHERE seq >= ?", (known[0],)).fetchone()
        if row is not None:
            return ""  # moved out by an admin: `audit verify` asks whether the chain says so
        return f"the database has lost what {os.uname().nodename} recorded, up to record {known[0]}"
    if row[0] != known[1]:
        return f"the database has another record {known[0]} than {os.uname().nodename} knows"
    return ""


def _path(head: Head) -> str:
    return f"{head.path}.seen"


def _seen(head: Head) -> WhichDatabase | None:
    """What this server has seen last; None for nothing that can be read."""
    with contextlib.suppress(OSError, ValueError), open(_path(head), encoding="ascii") as file:
        timeline, acceptances = file.read(40).split()
        return WhichDatabase(int(timeline), int(acceptances))
    return None


def remember(head: Head, known: WhichDatabase) -> None:
    """The server that we are on has seen it. Raises Refusal: what it does not remember, it would not miss."""
    replace(_path(head), f"{known.timeline} {known.acceptances}\n".encode(), 0o600)
