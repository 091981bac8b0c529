"""One connection to PostgreSQL, with a deadline that is ours: the one file that knows psycopg's ways.

MUST: it waits for the database no longer than it is told, whatever the database does: neither libpq's nor the
server's own time limits bound a server that was stopped, or a COMMIT that waits for its standby.
MUST: past the deadline, or at any exception in the midst, it closes and never cancels: cancelling a COMMIT
that waits for a standby has the client told that all is well, and the standby has nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from functools import cache
from typing import Any, TypeVar

from gitguard.machine.ownership import fault_on_the_way
from gitguard.machine.postgresql_address import Address
from gitguard.message.reasons import Refusal
from gitguard.store.postgresql.shared_notes import SharedNotes

try:
    import psycopg
    from psycopg import generators
except ImportError as error:
    raise Refusal(
        "store-unavailable",
        f"psycopg, the driver of PostgreSQL, cannot be loaded ({error})",
        hint="install what requirements/postgresql.txt of the release names, beside server.txt (docs/servers.md)",
    ) from None

# What libpq puts before what went wrong: where, which is said by us already.
_WHERE = re.compile(r"^.*\bfailed: +(FATAL: +|ERROR: +)?")
Found = TypeVar("Found")
Row = tuple[Any, ...]

CONNECT_SECONDS = 1.2
WAIT_SECONDS = 1.4  # in all, of one transaction
ROWS_AT_A_TIME = 1000
_LONGEST_PASSWORD = 4096
_READS, _WRITES = 1, 2  # psycopg's words for what a generator waits for, and what has come


DatabaseError = psycopg.Error
LostError = psycopg.OperationalError  # the connection, or the database behind it
LockTakenError = psycopg.errors.LockNotAvailable


class OverdueError(Exception):
    """The database has not answered in time."""


class Connection(psycopg.Connection[Row]):
    """Waits `left_seconds` for the database in all, and is closed by whatever interrupts it."""

    left_seconds = WAIT_SECONDS

    def wait(self, gen: Any, interval: float = 0.0, timeout: float | None = None) -> Any:  # noqa: ARG002 - psycopg's names
        """Have the database do it. Raises OverdueError."""
        began = time.monotonic()
        try:
            return _driven(gen, self.pgconn.socket, began + self.left_seconds)
        except psycopg.Error:
            raise
        except BaseException:
            self.pgconn.finish()
            raise
        finally:
            self.left_seconds -= time.monotonic() - began


class Database:
    """An open connection in the dialect of sql.py: `?` for each value.

    Methods raise psycopg.Error, OverdueError, UnicodeEncodeError.
    """

    def __init__(self, connection: Connection, host: str) -> None:
        self.host = host
        self.wait_seconds = WAIT_SECONDS
        self._connection = connection
        self._cursors = 0

    @property
    def is_usable(self) -> bool:
        """Whether it is open, and in no transaction."""
        status = self._connection.pgconn.transaction_status
        return not self._connection.closed and status == psycopg.pq.TransactionStatus.IDLE

    @property
    def is_lost(self) -> bool:
        """Whether it was closed, by us or by whatever went wrong."""
        return bool(self._connection.closed)

    def allow(self, seconds: float) -> None:
        """How long the database may take from now on, in all."""
        self._connection.left_seconds = seconds

    def execute(self, sql: str, values: tuple[object, ...] = ()) -> psycopg.Cursor[Row]:
        """Run one statement."""
        return self._connection.execute(in_its_dialect(sql), values)

    def script(self, sql: str) -> psycopg.Cursor[Row]:
        """Run several statements in one round trip; the answer of the last."""
        cursor = self._connection.execute(sql)
        while cursor.nextset():
            pass
        return cursor

    def each(self, sql: str, values: tuple[object, ...]) -> Iterator[Row]:
        """The rows of a question, one at a time, of which a thousand are in memory at once."""
        self._cursors += 1
        name = f"each_{self._cursors}"
        self.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}", values)
        return self._fetched(name)

    def _fetched(self, name: str) -> Iterator[Row]:
        while rows := self.execute(f"FETCH {ROWS_AT_A_TIME} FROM {name}").fetchall():
            # Who reads long is slow by itself: the next rows have their own time.
            self.allow(self.wait_seconds)
            yield from rows

    def put_rows(self, table: str, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
        """Add rows as they are."""
        sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with self._connection.cursor() as cursor, cursor.copy(sql) as target:
            for row in rows:
                target.write_row(row)

    def highest_number(self) -> int:
        """The highest number of a session, ever."""
        row = self.execute(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM sessions_id_seq"
        ).fetchone()
        return int(row[0]) if row is not None else 0

    def go_on_after(self, number: int) -> None:
        """The next one is higher; so are those of what else is numbered."""
        for table, least in (
            ("sessions", max(number, self.highest_number())),
            ("failures", 0),
            ("changes", 0),
        ):
            sql = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest(coalesce(max(id), 0), ?, 1)) FROM {table}"
            self.execute(sql, (least,))

    def notes(self, state: str, server: str) -> SharedNotes:
        """Where pending requests are noted, in the transaction that is open."""
        return SharedNotes(state, server, lambda sql, values: self.execute(sql, values).fetchall())

    def close(self) -> None:
        """Let go of it, without a word where one would have to be waited for."""
        with contextlib.suppress(psycopg.Error):
            self._connection.close()


def quoted(name: str) -> str:
    """A name of the database's, as SQL takes it."""
    return psycopg.sql.Identifier(name).as_string()


@cache
def in_its_dialect(sql: str) -> str:
    """Our SQL as psycopg takes it."""
    return sql.replace("%", "%%").replace("?", "%s")


class OldPrimaryError(Exception):
    """What answers as a primary is one no more; `refusal` says so."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def connect_and_look(
    address: Address, password_file: str, look: Callable[[Database], Found], seconds: float = CONNECT_SECONDS
) -> tuple[Database, Found]:
    """A connection, and what `look` says of it. Where that raises OldPrimaryError, the other hosts are asked:
    an old primary that was started again answers beside the new one. Raises Refusal.
    """
    passed_over: list[str] = []
    refusal: Refusal | None = None
    while True:
        try:
            db = connect(address, password_file, seconds, passed_over)
        except Refusal:
            if refusal is not None:
                raise refusal from None
            raise
        try:
            return db, look(db)
        except OldPrimaryError as error:
            db.close()
            passed_over.append(db.host)
            refusal = error.refusal
        except BaseException:
            db.close()
            raise


def connect(
    address: Address, password_file: str, seconds: float = CONNECT_SECONDS, passed_over: Collection[str] = ()
) -> Database:
    """The first of the hosts that answers as a primary; all are asked at once, so that a silent one costs
    nothing. Raises Refusal("store-unavailable").
    """
    password = _password(password_file)
    attempts = [
        (f"{host}:{port}", _connecting(address, host, port, password, seconds))
        for host, port in address.hosts
        if f"{host}:{port}" not in passed_over
    ]
    connection, answered, fault = _first(attempts, time.monotonic() + seconds)
    if connection is None:
        raise Refusal("store-unavailable", f"{address.shown}: {fault}")
    opened = Connection(connection)
    opened.autocommit = True  # transactions begin where we say so
    opened.prepare_threshold = None  # a pooler in between gives each transaction another connection
    return Database(opened, answered)


def _connecting(address: Address, host: str, port: int, password: str, seconds: float) -> Any:
    words: dict[str, Any] = {
        "host": host, "port": port, "user": address.user, "dbname": address.database,
        "target_session_attrs": "read-write", "tcp_user_timeout": int(seconds * 1000), "application_name": "gitguard",
        "gssencmode": "disable", "client_encoding": "UTF8", **address.options,
    }  # fmt: skip
    if password:
        words["password"] = password
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # PGHOSTADDR, PGOPTIONS, a service file: what is not said here is not ours
    return generators.connect(psycopg.conninfo.make_conninfo("", **words))


def _first(attempts: list[tuple[str, Any]], until: float) -> tuple[Any, str, str]:
    """(the connection, its host, "") of the first attempt to succeed, or (None, "", what went wrong)."""
    waiting: dict[int, tuple[str, Any]] = {}
    poll = select.poll()
    faults = []

    def step(host: str, attempt: Any, ready: int | None) -> Any:
        try:
            handle, wanted = next(attempt) if ready is None else attempt.send(ready)
        except StopIteration as done:
            return done.value
        except psycopg.Error as error:
            faults.append(f"{host}: {said(error)}" if len(attempts) > 1 else said(error))
            return None
        waiting[handle] = (host, attempt)
        poll.register(handle, _events(wanted))
        return None

    try:
        for host, attempt in attempts:
            if found := step(host, attempt, None):
                return found, host, ""
        while waiting and (left := until - time.monotonic()) > 0:
            for handle, happened in poll.poll(left * 1000):
                poll.unregister(handle)
                host, attempt = waiting.pop(handle)
                if found := step(host, attempt, _ready(happened)):
                    return found, host, ""
    finally:
        for _, attempt in waiting.values():
            attempt.close()
    faults += [
        f"{host}: no answer in time" if len(attempts) > 1 else "no answer in time"
        for host, _ in waiting.values()
    ]
    return None, "", "; ".join(faults)


def _driven(gen: Generator[int, int, Found], handle: int, until: float) -> Found:
    poll = select.poll()
    try:
        wanted = next(gen)
        while True:
            poll.register(handle, _events(wanted))
            happened = poll.poll(max(until - time.monotonic(), 0) * 1000)
            if not happened:
                raise OverdueError("no answer in time")
            wanted = gen.send(_ready(happened[0][1]))
    except StopIteration as done:
        found: Found = done.value
        return found


def _events(wanted: int) -> int:
    return (select.POLLIN if wanted & _READS else 0) | (select.POLLOUT if wanted & _WRITES else 0)


def _ready(happened: int) -> int:
    ended = select.POLLERR | select.POLLHUP | select.POLLNVAL
    if happened & ended:
        return _READS | _WRITES
    return (_READS if happened & select.POLLIN else 0) | (_WRITES if happened & select.POLLOUT else 0)


def said(error: BaseException) -> str:
    """What went wrong, in one line. MUST: never the rows that it was about, which the database would show."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return f"{error.diag.message_primary} ({error.sqlstate})"
    if isinstance(error, psycopg.Error):
        lines = str(error).strip().splitlines()  # the first says what, the others what that may mean
        return _WHERE.sub("", lines[0]).strip() if lines else type(error).__name__
    return str(error) or type(error).__name__


def _password(path: str) -> str:
    """The first line of the file, "" for no file. Raises Refusal where others may read it."""
    if not path:
        return ""
    if fault := fault_on_the_way(path, os.geteuid()):
        raise Refusal("store-unavailable", fault)
    try:
        if os.stat(path).st_mode & 0o077:
            raise Refusal("store-unavailable", f"{path} is readable by others; try: chmod 600 '{path}'")
        with open(path, encoding="utf-8") as file:
            return file.read(_LONGEST_PASSWORD).partition("\n")[0]
    except (OSError, ValueError) as error:
        raise Refusal("store-unavailable", f"{path}: {error}") from None
