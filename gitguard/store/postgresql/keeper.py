"""The store in one PostgreSQL database, for one server or many. The contract, and why each method exists, is
in contract.py.

One lock, taken first by whoever writes, under READ COMMITTED: a snapshot that is older than the lock (as
REPEATABLE READ has it) would show the writer the past, and optimistic isolation would refuse every loser of a
race.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from gitguard.machine.postgresql_address import read as read_address
from gitguard.message.reasons import Refusal
from gitguard.store import sqlite
from gitguard.store.chain import GENESIS, Head
from gitguard.store.copying import copy
from gitguard.store.postgresql import guard, health, late, queue, schema
from gitguard.store.postgresql.connection import (
    WAIT_SECONDS,
    Database,
    DatabaseError,
    LostError,
    OverdueError,
    connect_and_look,
    said,
)
from gitguard.store.questions import Reader
from gitguard.store.rows import Health, Recorded, Shortcoming
from gitguard.store.statements import Writer

PATIENT_SECONDS = 600.0
SKIPPED = 10_000  # numbers of sessions, after a loss
WINDOW_STEPS = 1  # of codes, around the present one


class PostgresStore:
    """The store at `url`; this server's newest audit hash also goes to the file `head`."""

    why_head_lags = "since other servers have recorded more"

    def __init__(self, url: str, password_file: str, head: str, *, although_lost: bool = False) -> None:
        """Open an existing store. Raises Refusal, also "store-schema" and, unless `although_lost`,
        "store-went-back".
        """
        self._although_lost = although_lost
        self._address = read_address(url)
        self._password_file = password_file
        self.place = self._address.shown
        self.head = Head(head)
        self.heard: Callable[[list[Recorded]], None] = lambda _: None
        self.lags = ""  # why the head could not be written after the last change, in words
        self._db: Database | None = None
        self._known = guard.WhichDatabase()
        self._wait_seconds = WAIT_SECONDS
        self._ahead_seconds = 0
        self._version = 0
        self._judges = True
        self._ready()

    def _ready(self) -> Database:
        """An open connection to a database that was looked at. Raises Refusal."""
        if self._db is None or not self._db.is_usable:
            self.close()
            self._db, self._known = self._connected()
        self._db.wait_seconds = self._wait_seconds
        self._db.allow(self._wait_seconds)
        return self._db

    def _look(self, db: Database) -> guard.WhichDatabase:
        with self._refusing():
            db.allow(WAIT_SECONDS)
            if self._although_lost:
                return guard.known_of(db, self.head, self.place)
            try:
                return guard.look(db, self.head, self.place)
            except guard.ChangedError:
                self._take_over(db)
                return guard.look(db, self.head, self.place)

    def _connected(self) -> tuple[Database, guard.WhichDatabase]:
        try:
            return connect_and_look(self._address, self._password_file, self._look)
        except Refusal as refusal:
            if not self._although_lost or refusal.reason != "store-went-back":
                raise
        # An old primary is all there is: an admin may go on with it.
        return connect_and_look(self._address, self._password_file, guard.timeline_and_acceptances)

    def _take_over(self, db: Database) -> None:
        """The database has failed over, and lost nothing that we know of. Where it had waited for its
        standby nothing is lost at all: no code that any other server may have seen counts. Else nobody can
        say, and the store is closed. By the first to notice, and by the database's clock: ours may be wrong.
        """
        self._lock(db)
        found = guard.changed(db)
        if found is not None and found.may_lack:
            why = (
                "it has failed over, and replication was not synchronous: what was recorded last may be lost"
            )
            db.execute("UPDATE store_schema SET lost = ? WHERE lost = ''", (why,))
        elif found is not None:
            writer = Writer(db)
            for factor in writer.totp_factors():
                writer.advance_step(factor.user, found.at // factor.period_seconds + WINDOW_STEPS)
            db.execute(f"UPDATE store_schema SET timeline = ?, system = {guard.SYSTEM}", (found.timeline,))
            writer.record("failover", found.at, "store", timeline=found.timeline)
        db.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """One state of the store, for questions."""
        with self._transaction(self._begin_reading) as db:
            self._lift_bounds(db)
            try:
                reader = Reader(db)
                reader.ahead_seconds = self._ahead_seconds
                yield reader
            finally:
                if not db.is_lost:
                    db.execute("ROLLBACK")

    def writing(self) -> AbstractContextManager[Writer]:
        """One transaction: committed at the end of the block, rolled back by any exception."""
        return self._written(guard.TAKE, "")

    def writing_for(self, user: str) -> AbstractContextManager[Writer]:
        """The same, beside other people's."""
        return self._written(late.locks(user), late.TAKE_CHAIN)

    @contextmanager
    def _written(self, locks: str, take_chain: str) -> Iterator[Writer]:
        """Lock, let the block change, write the trail, commit; then the head outside follows."""
        may_move = False
        with self._transaction(lambda db: self._check(self._lock(db, locks))) as db:
            guard.check_current(self._version, self.place)
            self._lift_bounds(db)

            def end() -> late.End | None:
                nonlocal may_move
                found, may_move = self._end_of_chain(db, take_chain)
                return found

            writer = late.LateWriter(db, end)
            writer.ahead_seconds = self._ahead_seconds
            try:
                yield writer
                writer.check_whole(self.place)
                writer.put_records()
            except BaseException:
                if not db.is_lost:
                    db.execute("ROLLBACK")
                raise
            self._commit(db)
        if may_move and writer.newest is not None:
            # The change stands; a head that lags is in order, and `admin audit verify` says so.
            try:
                self.head.advance(*writer.newest)
            except OSError as error:
                self.lags = error.strerror or "for a reason that is not known"
        if writer.recorded:
            self.heard(writer.recorded)

    def _end_of_chain(self, db: Database, take: str) -> tuple[late.End | None, bool]:
        """The last record, of whoever writes the trail from now on; and whether the head outside, which knows
        of one of them, may follow. If not, someone meddled: it stays as the evidence.
        """
        try:
            head, is_read = self.head.read(), True
        except (OSError, ValueError):
            head, is_read = None, False
        script = take + late.end_of_chain(head)
        row = queue.patiently(db, script, late.GIVE_UP_CHAIN, self.place, self._wait_seconds)
        end = (row[0], bytes(row[1])) if row is not None else None
        known = bytes(row[2]) if row is not None and row[2] is not None else None
        # A server that joins later knows of no record: it begins with what it finds.
        return end, is_read and (head is None or head == (0, GENESIS) or known == head[1])

    def _lift_bounds(self, db: Database) -> None:
        if self._wait_seconds > WAIT_SECONDS:
            db.script("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")

    @contextmanager
    def _transaction(self, begin: Callable[[Database], None]) -> Iterator[Database]:
        with self._refusing():
            db = self._begun(begin)
            try:
                yield db
            except (DatabaseError, OverdueError):
                self.close()  # what a fault leaves behind is not repaired, but thrown away
                raise
            finally:
                if not db.is_usable:
                    self.close()

    def _begun(self, begin: Callable[[Database], None]) -> Database:
        """A transaction has begun. A connection that was lost while nobody used it is made anew, once."""
        for attempt in (1, 2):
            db = self._ready()
            try:
                begin(db)
            except guard.ChangedError:
                self.close()
            except (LostError, OverdueError):
                self.close()
                if attempt == 2:
                    raise
            except BaseException:
                self.close()
                raise
            else:
                return db
        raise Refusal("store-unavailable", f"{self.place}: it is failing over")

    def _begin_reading(self, db: Database) -> None:
        script = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT {guard.STATE} FROM store_schema"
        self._check(db.script(script).fetchone())

    def _check(self, row: tuple[object, ...] | None) -> None:
        if row is None:
            raise Refusal("store-unavailable", f"{self.place} is not a store")
        self._version = int(str(row[0]))
        self._ahead_seconds = guard.check_state(
            row, self.place, self._known, although_lost=self._although_lost
        )
        if self._judges:
            guard.check_clock(self._ahead_seconds, self.place)

    def lost(self) -> str:
        """Why the store is closed, by what it says itself or by what this server knows; "" for not."""
        db = self._ready()
        with self._refusing():
            return guard.lost(db, self.head)

    @contextmanager
    def opening_again(self) -> Iterator[Writer]:
        """One transaction, after which the store counts as it is: no number that may have been given since
        is given again, and this server's head stands at its end.
        """
        with self.writing() as tx:
            # What is spent is spent up to this machine's now.
            guard.check_clock(self._ahead_seconds, self.place)
            yield tx
            guard.open_again(tx, SKIPPED, self.head)
        with self._refusing():
            db = self._ready()
            guard.renew_head(db, self.head)
            self._known = guard.timeline_and_acceptances(db)
            guard.remember(self.head, self._known)

    def begin_copy(self) -> None:
        """What is copied into it is believed only once it is whole. Raises Refusal, also where the database
        is in use.
        """
        db = self._ready()
        with self._refusing():
            silent = health.SILENT_SECONDS
            since = f"extract(epoch FROM clock_timestamp()) - {silent}"
            rows = db.execute(f"SELECT name FROM servers WHERE heard_at > {since} ORDER BY name").fetchall()
            if rows:
                text = f"{self.place} is in use by {', '.join(row[0] for row in rows)}; nothing was changed"
                hint = f"where that is over: wait {silent // 60} minutes, and copy again"
                raise Refusal("usage", text=text, hint=hint)
            guard.begin_copy(db)

    def open_if_whole(self) -> None:
        """After a copy: a database that was closed since it lacked something has it now. Raises Refusal."""
        db = self._ready()
        with self._refusing():
            guard.open_if_whole(db, self.head)

    def _lock(self, db: Database, locks: str = guard.TAKE) -> tuple[object, ...] | None:
        """Begin, and be the one who writes: with patience, as long as whoever writes now can go on. Raises
        Refusal("busy") where that took too long.
        """
        script = queue.BEGIN.format(locks=locks)
        return queue.patiently(db, script, "ROLLBACK", self.place, self._wait_seconds)

    def _commit(self, db: Database) -> None:
        """MUST: never asked again by itself: whether it was made is not known where no answer came."""
        try:
            db.execute("COMMIT")
        except (LostError, OverdueError) as error:
            text = "the database did not say whether the change was made; look before it is tried again (a code: take the next one)"
            raise Refusal("store-unavailable", f"{self.place}: COMMIT: {said(error)}", text=text) from error

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn whatever the driver raises into a refusal. MUST: without the values that it was about."""
        try:
            yield
        except (DatabaseError, OverdueError, OSError, OverflowError, UnicodeEncodeError) as error:
            what = type(error).__name__ if isinstance(error, UnicodeEncodeError) else said(error)
            raise Refusal("store-unavailable", f"{self.place}: {what}") from error

    def be_patient(self) -> None:
        """From now on a transaction may take minutes."""
        self._wait_seconds = PATIENT_SECONDS

    def health(self) -> Health:
        """What the database says of its replication and its clock, and who uses it."""
        db = self._ready()
        with self._refusing():
            found = health.look(db, self._ahead_seconds)
            if schema.lacks_bounds(db):
                what = "the bounds on how long a statement may take are not set for the role, as after a dump was restored"
                found.shortcomings.append(Shortcoming(what, "gitguard admin store migrate"))
            return found

    def allow_apart(self) -> None:
        """From now on also where this machine's clock is not the database's: for who judges no age by it."""
        self._judges = False

    def note_server(self, name: str, version: str, boot: str, cipher_keys: list[str]) -> None:
        """Say that this server is there, with its clock as it is; and know what the others have recorded.
        Raises Refusal.
        """
        judges, self._judges = self._judges, False
        try:
            with self._transaction(self._begin_reading) as db:
                db.execute("ROLLBACK")
        finally:
            self._judges = judges
        db = self._ready()
        with self._refusing():
            guard.note_replication(db)
            health.note(db, health.ServerNote(name, version, boot, cipher_keys), self._ahead_seconds)
            end, may_move = self._end_of_chain(db, "")
            if end is not None and may_move:
                self.head.advance(*end)

    def keys_of_servers(self) -> dict[str, list[str]]:
        """Server -> the keys of its key file, the one that encrypts last. Raises Refusal."""
        db = self._ready()
        with self._refusing():
            since = "extract(epoch FROM clock_timestamp()) - 86400"  # who was not there for a day is asked no more
            rows = db.execute(f"SELECT name, cipher_keys FROM servers WHERE heard_at > {since}").fetchall()
            return {name: keys.split() for name, keys in rows}

    def boots(self) -> set[str]:
        """Since when the servers run that share the store. Raises Refusal."""
        db = self._ready()
        with self._refusing():
            return {row[0] for row in db.execute("SELECT boot FROM servers").fetchall()}

    def close(self) -> None:
        """Let go of the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def integrity(self) -> str:
        """Nothing: a database server checks its own pages."""
        return ""

    def size(self) -> int:
        """Bytes of the database."""
        with self.reading() as tx:
            found: int = tx._one("SELECT pg_database_size(current_database())")[0]  # noqa: SLF001 - no question of the contract's
        return found

    def tidy(self) -> None:
        """The database does that by itself."""

    def renew_head(self) -> None:
        """Write the newest hash outside the store, whatever stood there. Raises Refusal."""
        db = self._ready()
        with self._refusing():
            guard.renew_head(db, self.head)

    def backup(self, target: str) -> None:
        """Copy the whole store into an SQLite store at `target`, while others continue. Raises Refusal."""
        before = self._wait_seconds
        sqlite.create(target)
        copied = sqlite.SqliteStore(target, f"{target}.head")
        try:
            copy(self, copied, lambda *_: None)
        finally:
            copied.close()
            self._wait_seconds = before
