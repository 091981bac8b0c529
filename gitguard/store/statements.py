"""The contract's questions and changes as SQL, on any open transaction; see contract.Reading and Writing.

Plain SQL that a second backend can share; the driver, its errors and its transactions are sqlite.py's.
"""

from __future__ import annotations

import json
from typing import Any

from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.store.chain import GENESIS, link, text_of
from gitguard.store.contract import (
    AuditRecord,
    Factor,
    Failure,
    Key,
    NearMiss,
    Repository,
    Session,
    User,
)

_USER = "SELECT name, state, always, enrolled_once, created_at FROM user"
_KEY = "SELECT fingerprint, user, type, blob, comment, verify_required, added_at FROM key"
_FACTOR = "SELECT user, enrolment, secret, cipher_key, digits, period_seconds, algorithm, last_step, enrolled_at FROM factor"
_SESSION = "SELECT id, user, scope, key, network, verified_at, boot, boot_seconds, limit_seconds, method FROM session"
_REPOSITORY = "SELECT name, directory, require, lifetime_seconds, adopted_at FROM repository"


class Reader:
    """Questions inside one transaction; see contract.Reading."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def _one(self, sql: str, *values: object) -> Any:
        return self._connection.execute(sql, values).fetchone()

    def _all(self, sql: str, *values: object) -> list[Any]:
        rows: list[Any] = self._connection.execute(sql, values).fetchall()
        return rows

    def user(self, name: str) -> User | None:
        row = self._one(f"{_USER} WHERE name = ?", name)
        return None if row is None else _user(row)

    def users(self) -> list[User]:
        return [_user(row) for row in self._all(f"{_USER} ORDER BY name")]

    def key(self, fingerprint: str) -> Key | None:
        row = self._one(f"{_KEY} WHERE fingerprint = ?", fingerprint)
        return None if row is None else _key(row)

    def keys(self, user: str | None = None) -> list[Key]:
        if user is None:
            return [_key(row) for row in self._all(f"{_KEY} ORDER BY user, added_at, fingerprint")]
        return [_key(row) for row in self._all(f"{_KEY} WHERE user = ? ORDER BY added_at, fingerprint", user)]

    def factor(self, user: str) -> Factor | None:
        row = self._one(f"{_FACTOR} WHERE user = ?", user)
        return None if row is None else Factor(*row)

    def factors(self) -> list[Factor]:
        return [Factor(*row) for row in self._all(f"{_FACTOR} ORDER BY user")]

    def recovery_codes_left(self, user: str) -> int:
        count: int = self._one(
            "SELECT count(*) FROM recovery_code WHERE user = ? AND burned_at IS NULL", user
        )[0]
        return count

    def recovery_codes_issued(self) -> int:
        count: int = self._one("SELECT count(*) FROM recovery_code WHERE burned_at IS NULL")[0]
        return count

    def is_burned(self, user: str, step: int) -> bool:
        return self._one("SELECT 1 FROM burned_step WHERE user = ? AND step = ?", user, step) is not None

    def near_miss(self, user: str, key: str) -> NearMiss | None:
        row = self._one("SELECT step, difference FROM near_miss WHERE user = ? AND key = ?", user, key)
        return None if row is None else NearMiss(*row)

    def failures(self, user: str, since: int) -> list[Failure]:
        rows = self._all(
            "SELECT key, at, cleared FROM failure WHERE user = ? AND at > ? ORDER BY at, id", user, since
        )
        return [Failure(key, at, bool(cleared)) for key, at, cleared in rows]

    def invite(self, user: str) -> tuple[bytes, int] | None:
        row: tuple[bytes, int] | None = self._one("SELECT hash, expires_at FROM invite WHERE user = ?", user)
        return row

    def session(self, user: str, scope: tuple[str, str, str]) -> Session | None:
        row = self._one(f"{_SESSION} WHERE user = ? AND scope = ? AND key = ? AND network = ?", user, *scope)
        return None if row is None else Session(*row)

    def sessions(self, user: str | None = None) -> list[Session]:
        where, values = ("", ()) if user is None else (" WHERE user = ?", (user,))
        return [
            Session(*row)
            for row in self._all(f"{_SESSION}{where} ORDER BY user, verified_at DESC, id", *values)
        ]

    def repository(self, name: str) -> Repository | None:
        row = self._one(f"{_REPOSITORY} WHERE name = ?", name)
        return None if row is None else Repository(*row)

    def repository_at(self, directory: str) -> Repository | None:
        row = self._one(f"{_REPOSITORY} WHERE directory = ?", directory)
        return None if row is None else Repository(*row)

    def repositories(self) -> list[Repository]:
        return [Repository(*row) for row in self._all(f"{_REPOSITORY} ORDER BY name")]

    def repository_admins(self, name: str) -> list[str]:
        rows = self._all("SELECT user FROM repository_admin WHERE repository = ? ORDER BY user", name)
        return [row[0] for row in rows]

    def audit(self, after: int = 0) -> list[AuditRecord]:
        rows = self._all("SELECT seq, record, hash FROM audit WHERE seq > ? ORDER BY seq", after)
        return [AuditRecord(seq, _json(text), text, digest) for seq, text, digest in rows]

    def latest_at(self) -> int:
        """The latest moment of any record, 0 for none: the store's own idea of how late it is."""
        latest: int = self._one("SELECT latest_at FROM clock")[0]
        return latest


class Writer(Reader):
    """Changes inside one transaction; see contract.Writing."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.first = 0
        self.newest: tuple[int, bytes] | None = None

    def _change(self, sql: str, *values: object) -> int:
        count: int = self._connection.execute(sql, values).rowcount
        return count

    def record(self, event: str, at: int, actor: str, **details: object) -> None:
        row = self._one("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        seq, previous = (row[0] + 1, row[1]) if row is not None else (1, GENESIS)
        kept = {name: value for name, value in details.items() if value not in (None, "")}
        text = text_of({"event": event, "at": at, "actor": actor, **kept})
        digest = link(previous, seq, text)
        self._change("INSERT INTO audit (seq, record, hash) VALUES (?, ?, ?)", seq, text, digest)
        self._change("UPDATE clock SET latest_at = max(latest_at, ?)", at)
        self.newest = (seq, digest)
        self.first = self.first or seq

    def is_ancestor(self, head: tuple[int, bytes] | None) -> bool:
        """Whether the head outside the store, as it was before this transaction, is one of its records."""
        if head is None:
            return self.first <= 1
        seq, digest = head
        if seq == 0:
            return digest == GENESIS
        row = self._one("SELECT hash FROM audit WHERE seq = ?", seq)
        return row is not None and row[0] == digest

    def accept_clock(self, at: int) -> None:
        self._change("UPDATE clock SET latest_at = ?", at)
        # A session of a fast clock would come alive when the right one catches up with it.
        self._change("DELETE FROM session WHERE verified_at > ?", at)

    def add_user(self, name: str, at: int) -> None:
        self._change("INSERT INTO user (name, state, created_at) VALUES (?, 'active', ?)", name, at)

    def set_user_state(self, name: str, state: str) -> None:
        self._change("UPDATE user SET state = ? WHERE name = ?", state, name)

    def set_always(self, name: str, *, on: bool) -> None:
        self._change("UPDATE user SET always = ? WHERE name = ?", int(on), name)

    def add_key(self, key: Key) -> None:
        self._change(
            "INSERT INTO key (fingerprint, user, type, blob, comment, verify_required, added_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            key.fingerprint, key.user, key.type, key.blob, key.comment, int(key.verify_required), key.added_at,
        )  # fmt: skip

    def remove_key(self, fingerprint: str) -> bool:
        self._change("DELETE FROM near_miss WHERE key = ?", fingerprint)
        return self._change("DELETE FROM key WHERE fingerprint = ?", fingerprint) > 0

    def put_factor(self, factor: Factor) -> None:
        self.drop_factor(factor.user)
        self._change(
            "INSERT INTO factor (user, enrolment, secret, cipher_key, digits, period_seconds, algorithm,"
            " last_step, enrolled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            factor.user, factor.enrolment, factor.secret, factor.cipher_key, factor.digits, factor.period_seconds,
            factor.algorithm, factor.last_step, factor.enrolled_at,
        )  # fmt: skip
        self._change("UPDATE user SET enrolled_once = 1 WHERE name = ?", factor.user)

    def replace_secret(self, user: str, secret: bytes, cipher_key: str) -> None:
        self._change("UPDATE factor SET secret = ?, cipher_key = ? WHERE user = ?", secret, cipher_key, user)

    def drop_factor(self, user: str) -> bool:
        for table in ("recovery_code", "burned_step", "near_miss"):
            self._change(f"DELETE FROM {table} WHERE user = ?", user)  # noqa: S608 - one of three words
        return self._change("DELETE FROM factor WHERE user = ?", user) > 0

    def advance_step(self, user: str, step: int) -> None:
        self._change("UPDATE factor SET last_step = max(last_step, ?) WHERE user = ?", step, user)
        self._change("DELETE FROM burned_step WHERE user = ? AND step <= ?", user, step)

    def put_recovery_codes(self, user: str, hashes: list[bytes]) -> None:
        self._change("DELETE FROM recovery_code WHERE user = ?", user)
        for digest in hashes:
            self._change("INSERT INTO recovery_code (hash, user) VALUES (?, ?)", digest, user)

    def void_recovery_codes(self) -> int:
        return self._change("DELETE FROM recovery_code")

    def burn_recovery_code(self, user: str, hash_: bytes, at: int) -> bool:
        sql = "UPDATE recovery_code SET burned_at = ? WHERE user = ? AND hash = ? AND burned_at IS NULL"
        return self._change(sql, at, user, hash_) > 0

    def burn_step(self, user: str, step: int) -> None:
        self._change("INSERT OR IGNORE INTO burned_step (user, step) VALUES (?, ?)", user, step)

    def set_near_miss(self, user: str, key: str, miss: NearMiss | None) -> None:
        self._change("DELETE FROM near_miss WHERE user = ? AND key = ?", user, key)
        if miss is not None:
            self._change("INSERT INTO near_miss VALUES (?, ?, ?, ?)", user, key, miss.step, miss.difference)

    def add_failure(self, user: str, key: str, at: int) -> None:
        self._change("INSERT INTO failure (user, key, at) VALUES (?, ?, ?)", user, key, at)

    def clear_short_failures(self, user: str, key: str) -> None:
        self._change("UPDATE failure SET cleared = 1 WHERE user = ? AND key = ?", user, key)

    def forget_failures(self, user: str, before: int | None = None) -> int:
        if before is None:
            return self._change("DELETE FROM failure WHERE user = ?", user)
        return self._change("DELETE FROM failure WHERE user = ? AND at < ?", user, before)

    def put_invite(self, user: str, hash_: bytes, expires_at: int) -> None:
        self.drop_invite(user)
        self._change("INSERT INTO invite (user, hash, expires_at) VALUES (?, ?, ?)", user, hash_, expires_at)

    def void_invites(self) -> int:
        return self._change("DELETE FROM invite")

    def drop_invite(self, user: str) -> bool:
        return self._change("DELETE FROM invite WHERE user = ?", user) > 0

    def put_session(
        self,
        user: str,
        scope: tuple[str, str, str],
        verified: Moment,
        method: str,
        limit_seconds: int | None = None,
    ) -> Session:
        self._change(
            "INSERT INTO session (user, scope, key, network, verified_at, boot, boot_seconds, limit_seconds, method)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (user, scope, key, network) DO UPDATE SET"
            " verified_at = excluded.verified_at, boot = excluded.boot, boot_seconds = excluded.boot_seconds,"
            " limit_seconds = excluded.limit_seconds, method = excluded.method",
            user, *scope, verified.at, verified.boot, verified.boot_seconds, limit_seconds, method,
        )  # fmt: skip
        session = self.session(user, scope)
        if session is None:
            raise Refusal("internal-error", "a session just written is not there")
        return session

    def end_sessions(self, user: str, key: str | None = None, session: int | None = None) -> list[Session]:
        ended = [
            s
            for s in self.sessions(user)
            if (key is None or s.key in (key, "")) and (session is None or s.id == session)
        ]
        for s in ended:
            self._change("DELETE FROM session WHERE id = ?", s.id)
        return ended

    def add_repository(self, repository: Repository) -> None:
        self._change(
            "INSERT INTO repository (name, directory, require, lifetime_seconds, adopted_at) VALUES (?, ?, ?, ?, ?)",
            repository.name, repository.directory, repository.require, repository.lifetime_seconds,
            repository.adopted_at,
        )  # fmt: skip

    def rename_repository(self, old: str, new: str, directory: str) -> None:
        self._change("UPDATE repository SET name = ?, directory = ? WHERE name = ?", new, directory, old)

    def forget_repository(self, name: str) -> bool:
        return self._change("DELETE FROM repository WHERE name = ?", name) > 0

    def set_toggle(self, name: str, require: str, lifetime_seconds: int | None) -> None:
        self._change(
            "UPDATE repository SET require = ?, lifetime_seconds = ? WHERE name = ?",
            require,
            lifetime_seconds,
            name,
        )

    def add_repository_admin(self, name: str, user: str) -> bool:
        return self._change("INSERT OR IGNORE INTO repository_admin VALUES (?, ?)", name, user) > 0

    def remove_repository_admin(self, name: str, user: str) -> bool:
        return self._change("DELETE FROM repository_admin WHERE repository = ? AND user = ?", name, user) > 0


def _user(row: Any) -> User:
    return User(row[0], row[1], bool(row[2]), bool(row[3]), row[4])


def _key(row: Any) -> Key:
    return Key(row[0], row[1], row[2], row[3], row[4], bool(row[5]), row[6])


def _json(text: str) -> dict[str, object]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}
