"""The store in one SQLite file. The contract, and why each method exists, is in contract.py."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from gitguard.identity.names import fold
from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.reasons import Refusal
from gitguard.session.request_notes import Notes
from gitguard.store.chain import Head
from gitguard.store.gate_query import SCHEMA
from gitguard.store.questions import Reader
from gitguard.store.rows import Health, Recorded
from gitguard.store.statements import Writer
from gitguard.store.turn import turn

FOLDER = os.path.dirname(__file__)
WHOLE = "schema.sqlite.sql"  # the present schema, for a new store
WAIT_SECONDS = 1.2  # a refusal within two seconds, never a hang; half a second goes to start the command


class _Connection(sqlite3.Connection):
    """What sql.py runs its statements with."""

    def each(self, sql: str, values: tuple[object, ...]) -> Iterator[tuple[object, ...]]:
        """The rows, one at a time."""
        return iter(self.execute(sql, values))

    def put_rows(self, table: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
        """Add rows as they are."""
        places = ", ".join("?" * len(columns))
        self.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)  # noqa: S608 - names of our own

    def notes(self, state: str, _: str) -> Notes:
        """Where pending requests are noted."""
        return Notes(state)

    def highest_number(self) -> int:
        """The highest number of a session, ever."""
        row = self.execute("SELECT seq FROM sqlite_sequence WHERE name = 'sessions'").fetchone()
        return int(row[0]) if row is not None else 0

    def go_on_after(self, number: int) -> None:
        """The next one is higher."""
        highest = max(number, self.highest_number())
        self.execute("DELETE FROM sqlite_sequence WHERE name = 'sessions'")
        self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('sessions', ?)", (highest,))


class SqliteStore:
    """The store in the file at `path`; the newest audit hash also goes to the file `head`."""

    why_head_lags = "as after a crash"

    def __init__(self, path: str, head: str) -> None:
        """Open an existing store. Raises Refusal("store-unavailable" or "store-schema")."""
        self.path = self.place = path
        self.head = Head(head)
        self.heard: Callable[[list[Recorded]], None] = lambda _: None
        self.lags = ""  # why the head could not be written after the last change, in words
        if fault := fault_on_the_way(path, os.geteuid()):
            raise Refusal("store-unavailable", fault)
        for file in (path, f"{path}-wal", f"{path}-shm"):
            if _is_closed_to_us(file):
                name = pwd.getpwuid(os.geteuid()).pw_name
                raise Refusal(
                    "store-unavailable",
                    f"{name} may not read and write {file}",
                    remedy=f"chown {name}: {shlex.quote(file)} && chmod 600 {shlex.quote(file)}",
                )
        with _refusing(path):
            self._connection = _connect(path)
        try:
            self._check_schema()
        except Refusal:
            self.close()
            raise

    def _check_schema(self) -> None:
        with _refusing(self.path):
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            raise Refusal(
                "store-unavailable",
                f"{self.path} is not a store; put a backup in its place: gitguard admin store restore FILE",
            )
        if version != SCHEMA:
            raise Refusal("store-schema", f"{self.path} has schema {version}, this gitguard knows {SCHEMA}")

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """One state of the store, for questions."""
        with _refusing(self.path):
            self._connection.execute("BEGIN")
            try:
                yield Reader(self._connection)
            finally:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """One transaction: committed at the end of the block, rolled back by any exception."""
        with _refusing(self.path), turn(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            writer = Writer(self._connection)
            renew = False
            try:
                yield writer
                writer.check_whole(self.place)
                renew = writer.newest is not None and self._head_may_move(writer)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        if renew and writer.newest is not None:
            # The change stands; a head that lags is in order, and `admin audit verify` says so.
            try:
                self.head.write(*writer.newest)
            except OSError as error:
                self.lags = error.strerror or "for a reason that is not known"
        if writer.recorded:
            self.heard(writer.recorded)

    def writing_for(self, _: str) -> AbstractContextManager[Writer]:
        """A file has one writer at a time."""
        return self.writing()

    def _head_may_move(self, writer: Writer) -> bool:
        """Whether the head outside is an ancestor. If not, someone meddled: it stays as the evidence."""
        try:
            head = self.head.read()
        except (OSError, ValueError):
            return False
        newest = writer.newest
        return newest is not None and (head is None or head[0] < newest[0]) and writer.is_ancestor(head)

    def be_patient(self) -> None:
        """A file answers at its own pace."""

    def health(self) -> Health:
        """Nothing to say that its own check does not."""
        return Health({}, [])

    def allow_apart(self) -> None:
        """A file has no clock."""

    def note_server(self, name: str, version: str, boot: str, cipher_keys: list[str]) -> None:
        """It has one."""

    def keys_of_servers(self) -> dict[str, list[str]]:
        """Of no other server."""
        return {}

    def boots(self) -> set[str]:
        """Of no other server."""
        return set()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def integrity(self) -> str:
        """What SQLite's own check finds wrong, "" if nothing."""
        try:
            rows = self._connection.execute("PRAGMA integrity_check(5)").fetchall()
        except sqlite3.Error as error:
            return str(error)
        return "" if rows == [("ok",)] else "; ".join(str(row[0]) for row in rows)

    def size(self) -> int:
        """Bytes on disk, with the log beside the file."""
        found = 0
        for path in (self.path, f"{self.path}-wal"):
            with contextlib.suppress(FileNotFoundError):
                found += os.stat(path).st_size
        return found

    def tidy(self) -> None:
        """Move what a killed writer left in the log into the file: each gate would read it again."""
        with _refusing(self.path):
            if os.path.exists(f"{self.path}-wal"):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def renew_head(self) -> None:
        """Write the newest hash outside the store, whatever stood there. Raises Refusal."""
        with self.reading() as tx:
            newest = tx.newest_audit(None, 1)
        with _refusing(self.head.path):
            for record in newest:
                self.head.write(record.seq, record.hash)

    def backup(self, target: str) -> None:
        """Copy the whole store to `target` by SQLite's own backup, while others continue. Raises Refusal."""
        with _refusing(target):
            copy = sqlite3.connect(target, isolation_level=None)
            try:
                self._connection.backup(copy)
            finally:
                copy.close()


def create(path: str) -> list[str]:
    """Create the store, or bring it to the present schema; the names of the files of SQL that ran.

    The file is 0600 whatever the umask. Raises Refusal.
    """
    with _refusing(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return _made_whole(connection) or _migrate(connection)
        finally:
            connection.close()


def is_no_store(path: str) -> bool:
    """Whether the file is empty, no database, or a database of something else."""
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            named = {
                row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
        finally:
            connection.close()
    except sqlite3.Error:
        return True
    return version == 0 or "audit" not in named or named.isdisjoint({"users", "user"})


def keep_copy(source: str, target: str) -> None:
    """A copy of the store at `source`, with what stands in its log; of one that is none any more,
    of the file. Raises Refusal.
    """
    with _refusing(target):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        origin, copy = (
            sqlite3.connect(source, isolation_level=None),
            sqlite3.connect(target, isolation_level=None),
        )
        try:
            origin.backup(copy)
        except sqlite3.DatabaseError:
            copy.close()
            import shutil

            shutil.copyfile(source, target)
        finally:
            origin.close()
            copy.close()


def renew_file(path: str) -> None:
    """Put the store at `path` into a new file: who holds the old one open holds no store any more. Nobody
    else may write meanwhile. Raises Refusal.
    """
    new = f"{path}.new"
    with _refusing(path):
        held = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            held.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the log beside it has nothing to add
            held.execute("BEGIN IMMEDIATE")
            keep_copy(path, new)
            with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as copy:
                copy.execute("PRAGMA journal_mode = WAL")
                copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            held.execute("ROLLBACK")
        finally:
            held.close()
        os.rename(new, path)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + suffix)


def copy_file(source: str, target: str) -> None:
    """Replace the store at `target` by the one at `source`, in one step, under the locks of those who use it.

    A `target` that is not a store any more is replaced as a file. Raises Refusal.
    """
    with _refusing(target):
        origin = sqlite3.connect(source, isolation_level=None)
        try:
            if _backed_up_into(origin, target):
                return
            origin.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            origin.close()
        for suffix in ("-wal", "-shm"):
            if os.path.exists(target + suffix):
                os.unlink(target + suffix)
        os.rename(source, target)


def _backed_up_into(origin: sqlite3.Connection, target: str) -> bool:
    """Whether `target` is a database that took a copy of `origin`; False if it is none at all."""
    live = sqlite3.connect(target, timeout=WAIT_SECONDS, isolation_level=None)
    try:
        live.execute("PRAGMA schema_version").fetchone()
        origin.backup(live)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        return False
    finally:
        live.close()
    return True


def _made_whole(connection: sqlite3.Connection) -> list[str]:
    """Make an empty database a store of the present schema; [] if it is not empty, or ever was a store."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version or connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        return []
    _run(connection, os.path.join(FOLDER, WHOLE), SCHEMA)
    return [WHOLE]


def _migrate(connection: sqlite3.Connection) -> list[str]:
    ran = []
    folder = os.path.join(FOLDER, "migrations")
    for name in sorted(os.listdir(folder)):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if name.endswith(".sqlite.sql") and int(name[:4]) > version:
            _run(connection, os.path.join(folder, name), int(name[:4]))
            ran.append(name)
    return ran


def _run(connection: sqlite3.Connection, path: str, schema: int) -> None:
    """Run a file of SQL in one transaction, after which the store has that schema."""
    with open(path, encoding="utf-8") as file:
        sql = file.read()
    connection.create_function("fold", 1, fold, deterministic=True)
    connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {schema};\nCOMMIT;")


def _is_closed_to_us(path: str) -> bool:
    """Whether owner or mode keep us from a file that is there; a read-only file system is another matter.

    Asked without opening it: closing a second handle would drop the locks of a connection of this
    process. From one look at it: the log beside a store goes when the last connection is closed, and
    comes with the next one, between any two.
    """
    try:
        entry = os.stat(path)
        if os.geteuid() == 0 or _is_open_to_us(entry):
            return False
        return not os.statvfs(path).f_flag & os.ST_RDONLY
    except FileNotFoundError:
        return False


def _is_open_to_us(entry: os.stat_result) -> bool:
    """Whether the mode lets us read and write, as owner, in its group, or as anyone."""
    if entry.st_uid == os.geteuid():
        wanted = stat.S_IRUSR | stat.S_IWUSR
    elif entry.st_gid in (os.getegid(), *os.getgroups()):
        wanted = stat.S_IRGRP | stat.S_IWGRP
    else:
        wanted = stat.S_IROTH | stat.S_IWOTH
    return entry.st_mode & wanted == wanted


def _connect(path: str) -> sqlite3.Connection:
    escaped = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(
        f"file:{escaped}?mode=rw", timeout=WAIT_SECONDS, isolation_level=None, uri=True, factory=_Connection
    )
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # a burned code stays burned through a power cut
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    """Turn whatever the driver raises into a refusal."""
    try:
        yield
    except (sqlite3.Error, OSError, OverflowError, UnicodeEncodeError) as error:
        raise Refusal("store-unavailable", f"{path}: {error}") from error
