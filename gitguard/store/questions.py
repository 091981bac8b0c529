"""The contract's questions as SQL, on any open transaction; see contract.Reading.

SQL that a second backend can share: no reserved names, `?` for each value; the driver, its errors and its
transactions are sqlite.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitguard.session.credential import SSH_KEY, Credential
from gitguard.session.moment import Moment
from gitguard.store.gate_query import KEYS
from gitguard.store.rows import (
    BreakGlass,
    Browser,
    Change,
    Counts,
    Failure,
    Guessing,
    Key,
    NearMiss,
    Repository,
    Session,
    SignInLink,
    TotpFactor,
    User,
    key_of,
)
from gitguard.store.sql import containing as like
from gitguard.store.trail import TrailReader

_USER = "SELECT name, state, always, enrolled_once, created_at FROM users"
_FACTOR = "SELECT user_name, enrolment, secret, cipher_key, digits, period_seconds, algorithm, last_step, enrolled_at FROM factors"
_SESSION = "SELECT id, user_name, scope, credential, network, verified_at, boot, boot_seconds, limit_seconds, method FROM sessions"
_CHANGE = "SELECT id, at, event, subject, credential, address FROM changes"
_BROWSER = "SELECT credential, user_name, origin, address, signed_in_at, boot, boot_seconds, agent, seen_at FROM browsers"
_REPOSITORY = (
    "SELECT name, directory, require, lifetime_seconds, adopted_at, floor_require, floor_lifetime_seconds"
    " FROM repositories"
)

_DEMANDING = (
    " WHERE require <> 'none' OR lifetime_seconds IS NOT NULL"
    " OR EXISTS (SELECT 1 FROM repository_admins WHERE repository = repositories.name)"
)

PRUNED = (  # (table, its key, when what it holds was)
    ("sessions", "id", "verified_at"),
    ("failures", "id", "at"),
    ("invites", "user_name", "expires_at"),
    ("changes", "id", "at"),
)


class Reader(TrailReader):
    """Questions inside one transaction; see contract.Reading."""

    def user(self, name: str) -> User | None:
        row = self._one(f"{_USER} WHERE name = ?", name)
        return None if row is None else _user(row)

    def users(self) -> Iterator[User]:
        return map(_user, self._each(f"{_USER} ORDER BY name"))

    def find_users(
        self, containing: str, after: str, most: int, *, enrolled: bool | None = None, state: str = ""
    ) -> list[User]:
        having = {None: "", True: " AND EXISTS", False: " AND NOT EXISTS"}[enrolled]
        factor = " (SELECT 1 FROM factors WHERE user_name = users.name)" if having else ""
        sql = (
            f"{_USER} WHERE state <> 'removed' AND state LIKE ? AND name > ? AND lower(name) LIKE lower(?) ESCAPE '!'{having}{factor}"
            " ORDER BY name LIMIT ?"
        )
        return [_user(row) for row in self._all(sql, state or "%", after, like(containing), most)]

    def count_users(self) -> tuple[int, int]:
        row = self._one(
            "SELECT COUNT(*), COUNT(factors.user_name) FROM users LEFT JOIN factors ON factors.user_name = users.name"
            " WHERE users.state <> 'removed'"
        )
        return int(row[0]), int(row[1])

    def counts(self) -> Counts:
        tables = ("users", "keys", "repositories", "sessions", "audit")
        return Counts(*(int(self._one(f"SELECT COUNT(*) FROM {table}")[0]) for table in tables))  # noqa: S608 - names of our own

    def enrolled(self) -> set[str]:
        return {row[0] for row in self._each("SELECT user_name FROM factors")}

    def sessions_since(self, at: int) -> Iterator[Session]:
        sql = f"{_SESSION} WHERE verified_at > ? ORDER BY user_name, verified_at DESC, id"
        return (Session(*row) for row in self._each(sql, at))

    def shared_networks(self, by: int) -> list[tuple[str, int]]:
        rows = self._all(
            "SELECT network, COUNT(DISTINCT user_name) FROM sessions WHERE network <> '' GROUP BY network"
            " HAVING COUNT(DISTINCT user_name) >= ? ORDER BY network",
            by,
        )
        return [(str(row[0]), int(row[1])) for row in rows]

    def browser(self, credential: str) -> Browser | None:
        row = self._one(f"{_BROWSER} WHERE credential = ?", credential)
        return None if row is None else _browser(row)

    def browsers(self, user: str) -> list[Browser]:
        sql = f"{_BROWSER} WHERE user_name = ? ORDER BY signed_in_at DESC, credential"
        return [_browser(row) for row in self._all(sql, user)]

    def all_browsers(self) -> list[Browser]:
        return [_browser(row) for row in self._all(f"{_BROWSER} ORDER BY user_name, credential")]

    def has_before(self, before: int) -> bool:
        return any(
            self._one(f"SELECT 1 FROM {table} WHERE {at} < ? LIMIT 1", before) is not None  # noqa: S608 - names of our own
            for table, _, at in PRUNED
        )

    def links(self, user: str, origin: str) -> list[SignInLink]:
        sql = "SELECT user_name, purpose, origin, expires_at FROM sign_in_links WHERE user_name = ? AND origin = ?"
        return [SignInLink(*row) for row in self._all(sql, user, origin)]

    def link(self, hash_: bytes) -> SignInLink | None:
        row = self._one(
            "SELECT user_name, purpose, origin, expires_at FROM sign_in_links WHERE hash = ?", hash_
        )
        return None if row is None else SignInLink(*row)

    def key(self, fingerprint: str) -> Key | None:
        row = self._one(f"{KEYS} WHERE fingerprint = ?", fingerprint)
        return None if row is None else key_of(row)

    def keys(self, user: str | None = None) -> list[Key]:
        if user is None:
            return [key_of(row) for row in self._all(f"{KEYS} ORDER BY user_name, added_at, fingerprint")]
        return [
            key_of(row)
            for row in self._all(f"{KEYS} WHERE user_name = ? ORDER BY added_at, fingerprint", user)
        ]

    def accounts(self, user: str) -> list[int]:
        rows = self._all(
            "SELECT credential FROM credentials WHERE user_name = ? AND credential LIKE 'uid:%' ORDER BY credential",
            user,
        )
        return sorted(int(row[0].removeprefix("uid:")) for row in rows)

    def owner(self, credential: Credential) -> str | None:
        table, column = (
            ("keys", "fingerprint") if credential.kind == SSH_KEY else ("credentials", "credential")
        )
        row = self._one(f"SELECT user_name FROM {table} WHERE {column} = ?", credential.text)  # noqa: S608 - of two words
        return None if row is None else str(row[0])

    def has_factor(self, user: str) -> bool:
        return self._one("SELECT 1 FROM factors WHERE user_name = ?", user) is not None

    def totp_of(self, user: str) -> TotpFactor | None:
        row = self._one(f"{_FACTOR} WHERE user_name = ?", user)
        return None if row is None else TotpFactor(*row)

    def totp_factors(self) -> list[TotpFactor]:
        return [TotpFactor(*row) for row in self._all(f"{_FACTOR} ORDER BY user_name")]

    def recovery_codes_left(self, user: str) -> int:
        count: int = self._one(
            "SELECT count(*) FROM recovery_codes WHERE user_name = ? AND burned_at IS NULL", user
        )[0]
        return count

    def recovery_codes_issued(self) -> int:
        count: int = self._one("SELECT count(*) FROM recovery_codes WHERE burned_at IS NULL")[0]
        return count

    def is_burned(self, user: str, step: int) -> bool:
        return (
            self._one("SELECT 1 FROM burned_steps WHERE user_name = ? AND step = ?", user, step) is not None
        )

    def near_miss(self, user: str, credential: str) -> NearMiss | None:
        row = self._one(
            "SELECT step, difference FROM near_misses WHERE user_name = ? AND credential = ?",
            user,
            credential,
        )
        return None if row is None else NearMiss(*row)

    def failures(self, user: str, since: int) -> list[Failure]:
        rows = self._all(
            "SELECT credential, at, cleared FROM failures WHERE user_name = ? AND at > ? ORDER BY at, id",
            user,
            since,
        )
        return [Failure(credential, at, bool(cleared)) for credential, at, cleared in rows]

    def invite(self, user: str) -> tuple[bytes, int] | None:
        row: tuple[bytes, int] | None = self._one(
            "SELECT hash, expires_at FROM invites WHERE user_name = ?", user
        )
        return row

    def session(self, user: str, scope: tuple[str, str, str]) -> Session | None:
        row = self._one(
            f"{_SESSION} WHERE user_name = ? AND scope = ? AND credential = ? AND network = ?", user, *scope
        )
        return None if row is None else Session(*row)

    def sessions(self, user: str | None = None) -> list[Session]:
        where, values = ("", ()) if user is None else (" WHERE user_name = ?", (user,))
        return [
            Session(*row)
            for row in self._all(f"{_SESSION}{where} ORDER BY user_name, verified_at DESC, id", *values)
        ]

    def repository(self, name: str) -> Repository | None:
        row = self._one(f"{_REPOSITORY} WHERE name = ?", name)
        return None if row is None else Repository(*row)

    def demanding_repositories(self) -> list[Repository]:
        return [Repository(*row) for row in self._all(f"{_REPOSITORY}{_DEMANDING} ORDER BY name")]

    def find_repositories(self, containing: str, after: str, most: int) -> list[Repository]:
        sql = f"{_REPOSITORY} WHERE name > ? AND lower(name) LIKE lower(?) ESCAPE '!' ORDER BY name LIMIT ?"
        return [Repository(*row) for row in self._all(sql, after, like(containing), most)]

    def newest_sessions(self, skipping: int, most: int) -> list[Session]:
        sql = f"{_SESSION} ORDER BY verified_at DESC, id DESC LIMIT ? OFFSET ?"
        return [Session(*row) for row in self._all(sql, most, skipping)]

    def repository_at(self, directory: str) -> Repository | None:
        row = self._one(f"{_REPOSITORY} WHERE directory = ?", directory)
        return None if row is None else Repository(*row)

    def repositories(self) -> list[Repository]:
        return [Repository(*row) for row in self._all(f"{_REPOSITORY} ORDER BY name")]

    def repository_admins(self, name: str) -> list[str]:
        rows = self._all(
            "SELECT user_name FROM repository_admins WHERE repository = ? ORDER BY user_name", name
        )
        return [row[0] for row in rows]

    def administered_by(self, user: str) -> list[str]:
        rows = self._all(
            "SELECT repository FROM repository_admins WHERE user_name = ? ORDER BY repository", user
        )
        return [row[0] for row in rows]

    def borrowers(self, lender: str) -> list[Repository]:
        names = self._all("SELECT borrower FROM borrowings WHERE lender = ? ORDER BY borrower", lender)
        found = (self.repository(name) for (name,) in names)
        return [repository for repository in found if repository is not None]

    def lenders(self, borrower: str) -> list[str]:
        rows = self._all("SELECT lender FROM borrowings WHERE borrower = ? ORDER BY lender", borrower)
        return [row[0] for row in rows]

    def borrowings(self) -> list[tuple[str, str]]:
        return [
            (row[0], row[1]) for row in self._all("SELECT borrower, lender FROM borrowings ORDER BY 1, 2")
        ]

    def forgotten(self) -> list[str]:
        return [row[0] for row in self._all("SELECT directory FROM forgotten ORDER BY directory")]

    def open_break_glass(self) -> list[BreakGlass]:
        rows = self._all("SELECT decision, actor, pid, started, boot FROM break_glass ORDER BY decision")
        return [BreakGlass(*row) for row in rows]

    def guessing(self, user: str) -> list[Guessing]:
        rows = self._all(
            "SELECT network, failures, last_address, last_at FROM guesses WHERE user_name = ? ORDER BY last_at, network",
            user,
        )
        return [Guessing(*row) for row in rows]

    def users_guessed_since(self, since: int) -> list[str]:
        sql = "SELECT DISTINCT user_name FROM guesses WHERE last_at > ? ORDER BY user_name"
        return [row[0] for row in self._all(sql, since)]

    def has_verified_anywhere(self, user: str) -> bool:
        return self._one("SELECT 1 FROM known_networks WHERE user_name = ? LIMIT 1", user) is not None

    def network_known_since(self, user: str, network: str) -> int | None:
        row = self._one(
            "SELECT first_at FROM known_networks WHERE user_name = ? AND network = ?", user, network
        )
        return None if row is None else int(row[0])

    def changes(self, user: str, since: int) -> list[Change]:
        return [
            Change(*row[1:])
            for row in self._all(f"{_CHANGE} WHERE user_name = ? AND at >= ? ORDER BY id", user, since)
        ]

    def untold_changes(self, user: str, credential: str, network: str, since: int) -> list[Change]:
        told = "SELECT change_id FROM told WHERE user_name = ? AND credential = ? AND network = ?"
        rows = self._all(
            f"{_CHANGE} WHERE user_name = ? AND at >= ? AND id > COALESCE(({told}), 0)"
            " AND NOT (credential = ? AND network = ?) ORDER BY id",
            user, since, user, credential, network, credential, network,
        )  # fmt: skip
        return [Change(*row[1:]) for row in rows]

    def first_code(self, user: str, credential: str) -> int | None:
        row = self._one("SELECT at FROM first_codes WHERE user_name = ? AND credential = ?", user, credential)
        return None if row is None else int(row[0])

    def has_verified_from(self, user: str, network: str) -> bool:
        sql = "SELECT 1 FROM known_networks WHERE user_name = ? AND network = ?"
        return self._one(sql, user, network) is not None

    def rejections(self, user: str) -> Guessing | None:
        row = self._one("SELECT failures, last_address, last_at FROM rejections WHERE user_name = ?", user)
        return None if row is None else Guessing("", *row)


def _user(row: Any) -> User:
    return User(row[0], row[1], bool(row[2]), bool(row[3]), row[4])


def _browser(row: Any) -> Browser:
    return Browser(row[0], row[1], row[2], row[3], Moment(row[4], row[5], row[6]), row[7], row[8])
