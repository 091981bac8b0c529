"""The gate's own reading of the store: everything one decision needs, in one query.

It is held to the same answers as the full store by tests/contract. MUST: it never writes, waits at
most `WAIT_SECONDS`, and turns every fault into a refusal. Plain dialect: gate and hook load this file.
"""

import posix
import time
from _stat import S_ISREG

from gitguard.identity.names import fold
from gitguard.machine.ownership import GRAIN_NS, fault_on_the_way, identity
from gitguard.message.reasons import Refusal
from gitguard.session.credential import SSH_KEY, Credential
from gitguard.store import driver

SCHEMA = 7
WAIT_SECONDS = 1.0

_STATE = """
SELECT u.state, u.always, f.user_name IS NOT NULL, k.user_name, {verify_required},
       r.name, r.directory, r.require, r.lifetime_seconds,
       s.id, s.verified_at, s.boot, s.boot_seconds, s.limit_seconds{more}
FROM {source} AS one
LEFT JOIN users u ON u.name = ?
LEFT JOIN factors f ON f.user_name = u.name
LEFT JOIN {owners} = ?
LEFT JOIN repositories r ON r.{column} = ?
LEFT JOIN sessions s ON s.user_name = u.name AND s.scope = ? AND s.credential = ? AND s.network = ?
"""
_KEY = {
    "owners": "keys k ON k.fingerprint",
    "verify_required": "k.verify_required <> 0 AND k.type LIKE 'sk-%'",
}
_OTHER = {"owners": "credentials k ON k.credential", "verify_required": "NULL"}
KEYS = (
    "SELECT fingerprint, user_name, type, blob, comment, verify_required, added_at, limits, behind FROM keys"
)
_REPOSITORY = "SELECT name, require, lifetime_seconds FROM repositories WHERE directory = ?"
_BORROWERS = (
    "SELECT r.name, r.require, r.lifetime_seconds FROM borrowings b JOIN repositories r ON r.name = b.borrower"
    " WHERE b.lender = ?"
)


class State:
    """What the store says about one user, credential, repository and scope; None where it knows nothing."""

    __slots__ = FIELDS = (
        "user_state", "always", "enrolled", "owner", "key_verify_required",
        "name", "directory", "require", "toggle_lifetime_seconds",
        "session", "verified_at", "session_boot", "session_boot_seconds", "session_limit_seconds",
    )  # fmt: skip

    user_state: "str | None"
    always: "int | None"
    enrolled: int
    owner: "str | None"
    key_verify_required: "int | None"
    name: "str | None"
    directory: "str | None"
    require: "str | None"
    toggle_lifetime_seconds: "int | None"
    session: "int | None"
    verified_at: "int | None"
    session_boot: "str | None"
    session_boot_seconds: "int | None"
    session_limit_seconds: "int | None"

    def __init__(self, row: "tuple[object, ...]") -> None:
        for name, value in zip(self.FIELDS, row, strict=True):
            setattr(self, name, value)


class GateQuery:
    """The store at `path`, opened for reading by the first question. Methods raise Refusal alone."""

    __slots__ = ("_files", "_opened", "_path", "_wait_seconds")
    _more, _source = "", "(SELECT 1)"  # another database says of itself in the same breath how it is

    def __init__(self, path: str, wait_seconds: float = WAIT_SECONDS) -> None:
        self._path = path
        self._wait_seconds = wait_seconds
        self._opened: driver.Connection | None = None
        self._files: object = None

    def __enter__(self) -> "GateQuery":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Open the store, if it is not. Raises Refusal("store-unavailable" or "store-schema")."""
        if self._opened is not None:
            return
        path = self._path
        self._believe()
        escaped = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        try:
            connection = driver.connect(
                f"file:{escaped}?mode=ro", timeout=self._wait_seconds, isolation_level=None, uri=True
            )
        except driver.Error as error:
            raise Refusal("store-unavailable", f"{path}: {error}") from None
        try:
            self._check_schema(connection)
        except Refusal:
            connection.close()
            raise
        self._opened = connection
        self._files = self._seen()

    def check(self) -> None:
        """Before each request of many: what is open is still what lies at its path, by the same questions as
        at its opening, and nobody has put another in its place or written into it past SQLite; else it is
        opened again. Raises as `open`.
        """
        if self._opened is None:
            return
        try:
            self._believe()
            if self._files is not None and self._seen() == self._files:
                self._check_schema(self._opened)
                return
        except Refusal:
            self.close()
            raise
        self.close()

    def _seen(self) -> object:
        """Which files it is made of: the store's identity, which a checkpoint changes as well, and which log
        and index lie beside it, which SQLite removes with the last connection alone. None: ask again.
        """
        try:
            found = posix.stat(self._path)
            beside = [posix.stat(self._path + end) for end in ("-wal", "-shm")]
        except OSError:
            return None
        if max(found.st_mtime_ns, found.st_ctime_ns) + GRAIN_NS >= time.time_ns():
            return None  # so young that one more change would not show
        return (identity(found), *[(entry.st_dev, entry.st_ino) for entry in beside])

    def _believe(self) -> None:
        """Raises Refusal where the store's file may not be believed."""
        if fault := fault_on_the_way(self._path, posix.geteuid()):
            raise Refusal("store-unavailable", fault)
        if not S_ISREG(posix.stat(self._path).st_mode):
            raise Refusal("store-unavailable", f"{self._path} is not a file")

    def _check_schema(self, connection: "driver.Connection") -> None:
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except driver.Error as error:
            raise Refusal("store-unavailable", f"{self._path}: {error}") from None
        if version == 0:
            raise Refusal("store-unavailable", f"{self._path} is not a store")
        if version != SCHEMA:
            raise Refusal("store-schema", f"{self._path} has schema {version}, this gitguard knows {SCHEMA}")

    @property
    def _connection(self) -> "driver.Connection":
        self.open()
        if self._opened is None:
            raise Refusal("store-unavailable", f"{self._path} is not open")
        return self._opened

    def state(
        self,
        user: str,
        credential: Credential,
        scope: "tuple[str, str, str] | None",
        *,
        name: str = "",
        directory: str = "",
    ) -> State:
        """What is known about `user`, `credential`, a repository by `name` or by `directory`, and `scope`."""
        column, which = ("directory", directory) if directory else ("name", name)
        of_kind = _KEY if credential.kind == SSH_KEY else _OTHER
        sql = _STATE.format(column=column, more=self._more, source=self._source, **of_kind)
        row = self._one(sql, (user, credential.text, which, *(scope or ("", "", ""))))
        if row is None:
            raise Refusal("store-unavailable", f"{self._path}: no answer")
        return State(self._believed(row))

    def _believed(self, row: "tuple[object, ...]") -> "tuple[object, ...]":
        """The columns of a state, where what was said beside them lets it be believed. Raises Refusal."""
        return row

    def repository(self, directory: str) -> "tuple[str, str, int | None] | None":
        """(name, require, toggle's lifetime) of the repository in `directory`, None if unknown."""
        row = self._one(_REPOSITORY, (directory,))
        return None if row is None else (row[0], row[1], row[2])

    def key_row(self, fingerprint: str) -> "tuple | None":  # type: ignore[type-arg]
        """The key as the store keeps it (rows.key_of), None if unknown."""
        return self._one(f"{KEYS} WHERE fingerprint = ?", (fingerprint,))

    def owner(self, credential: str) -> "str | None":
        """Whose a credential is that is no SSH key, None for nobody's."""
        row = self._one("SELECT user_name FROM credentials WHERE credential = ?", (credential,))
        return None if row is None else row[0]

    def is_known_by_another_form(self, name: str) -> bool:
        """Whether a repository is known whose name equals `name` but for case, outer blanks, or a suffix."""
        return self._one("SELECT 1 FROM repositories WHERE folded = ? LIMIT 1", (fold(name),)) is not None

    def borrowers(self, directory: str) -> "list[tuple[str, str, int | None]]":
        """(name, require, toggle's lifetime) of the repositories that borrow from the one in `directory`."""
        return self._all(_BORROWERS, (directory,))

    def shortest_demand(self, operation: str, default_seconds: int) -> "int | None":
        """The shortest lifetime of all toggles that demand 2FA for `operation`, None if none does."""
        words = "('all')" if operation == "read" else "('push', 'all')"
        row = self._one(
            f"SELECT count(*), min(lifetime_seconds) FROM repositories WHERE require IN {words}",  # noqa: S608
            (),
        )
        if row is None or row[0] == 0:
            return None
        return default_seconds if row[1] is None else min(row[1], default_seconds)

    def other_sessions(self, user: str) -> "list[tuple[str, str, str, int, str, int, int | None]]":
        """(scope, key, network, verified_at, boot, boot_seconds, limit_seconds) of all of a
        user's sessions, newest first.
        """
        sql = (
            "SELECT scope, credential, network, verified_at, boot, boot_seconds, limit_seconds FROM sessions"
            " WHERE user_name = ? ORDER BY verified_at DESC, id DESC LIMIT 20"
        )
        return self._all(sql, (user,))

    def _all(self, sql: str, values: "tuple[object, ...]") -> "list":  # type: ignore[type-arg]
        try:
            return self._connection.execute(sql, values).fetchall()
        except (driver.Error, UnicodeEncodeError) as error:
            raise Refusal("store-unavailable", f"{self._path}: {error}") from None

    def close(self) -> None:
        """Close it."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _one(self, sql: str, values: "tuple[object, ...]") -> "tuple | None":  # type: ignore[type-arg]
        try:
            row: tuple | None = self._connection.execute(sql, values).fetchone()  # type: ignore[type-arg]
        except (driver.Error, UnicodeEncodeError) as error:
            raise Refusal("store-unavailable", f"{self._path}: {error}") from None
        return row
