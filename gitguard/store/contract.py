"""What every store promises, in prose and types. SQLite keeps it today; PostgreSQL will.

MUST:
1. `writing` is one transaction: all of it and its audit records, or nothing. Two of them never
   interleave where they touch the same user (SQLite: they never interleave at all).
2. `reading` sees one state of the store from its first question to its last.
3. A method that changes something says whether it did (a count, a bool), never raises for "not there".
4. Whatever goes wrong inside (locked, full, truncated, gone) leaves as Refusal("store-unavailable"), a
   schema that this code does not know as Refusal("store-schema"), each within two seconds.
5. Nothing here decides: who may do what is the business of the rooms that call.

Values come out as the rows below; times are Unix seconds.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from gitguard.session.moment import Moment


@dataclass(frozen=True, slots=True)
class User:
    """A person. `state` is active, suspended or removed."""

    name: str
    state: str
    always: bool
    enrolled_once: bool
    created_at: int


@dataclass(frozen=True, slots=True)
class Key:
    """An SSH public key of one user. `blob` is base64 as in authorized_keys.

    `limits`: the options that limit it, as they stand in the key line; `behind`: the program behind the gate
    with its arguments, empty for the server's own.
    """

    fingerprint: str
    user: str
    type: str
    blob: str
    comment: str
    verify_required: bool
    added_at: int
    limits: str = ""
    behind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Factor:
    """One enrolled authenticator. `secret` is encrypted; `last_step` is the replay watermark."""

    user: str
    enrolment: str
    secret: bytes
    cipher_key: str
    digits: int
    period_seconds: int
    algorithm: str
    last_step: int
    enrolled_at: int


@dataclass(frozen=True, slots=True)
class Session:
    """A 2FA session. `limit_seconds` is an admin's own limit to its age, or None. `key` and `network` are empty where the scope does not bind them."""

    id: int
    user: str
    scope: str
    key: str
    network: str
    verified_at: int
    boot: str
    boot_seconds: int
    limit_seconds: int | None
    method: str

    @property
    def verified(self) -> Moment:
        """When it was verified, by both clocks."""
        return Moment(self.verified_at, self.boot, self.boot_seconds)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that the server admin created or adopted, with its toggle.

    The floor is what the server's admin demanded; the toggle never falls below it.
    """

    name: str
    directory: str
    require: str
    lifetime_seconds: int | None
    adopted_at: int
    floor_require: str = "none"
    floor_lifetime_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed verification. `cleared`: a success came after it."""

    key: str
    at: int
    cleared: bool


@dataclass(frozen=True, slots=True)
class NearMiss:
    """The last rejected code of a key that fitted a clock `difference` (steps) outside the window."""

    step: int
    difference: int


@dataclass(frozen=True, slots=True)
class Guessing:
    """Failures of one user from one network that no success from there has followed."""

    network: str
    failures: int
    last_address: str
    last_at: int


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """Maintenance that was begun and not ended: the process that holds the grant."""

    decision: str
    actor: str
    pid: int
    started: int
    boot: str


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One change: who did what to whom, and its link in the chain."""

    seq: int
    record: dict[str, object]
    text: str
    hash: bytes


class Reading(Protocol):
    """Questions. Each answers from the one state that the transaction began with."""

    def user(self, name: str) -> User | None: ...
    def users(self) -> list[User]: ...
    def key(self, fingerprint: str) -> Key | None: ...
    def keys(self, user: str | None = None) -> list[Key]: ...
    def factor(self, user: str) -> Factor | None: ...
    def factors(self) -> list[Factor]: ...
    def recovery_codes_left(self, user: str) -> int: ...
    def recovery_codes_issued(self) -> int: ...
    def is_burned(self, user: str, step: int) -> bool: ...
    def near_miss(self, user: str, key: str) -> NearMiss | None: ...
    def failures(self, user: str, since: int) -> list[Failure]: ...
    def invite(self, user: str) -> tuple[bytes, int] | None: ...
    def session(self, user: str, scope: tuple[str, str, str]) -> Session | None: ...
    def sessions(self, user: str | None = None) -> list[Session]: ...
    def repository(self, name: str) -> Repository | None: ...
    def repository_at(self, directory: str) -> Repository | None: ...
    def repositories(self) -> list[Repository]: ...
    def repository_admins(self, name: str) -> list[str]: ...
    def administered_by(self, user: str) -> list[str]: ...
    def borrowers(self, lender: str) -> list[Repository]: ...
    def borrowings(self) -> list[tuple[str, str]]: ...
    def forgotten(self) -> list[str]: ...
    def open_break_glass(self) -> list[BreakGlass]: ...
    def guessing(self, user: str) -> list[Guessing]: ...
    def users_guessed_since(self, since: int) -> list[str]: ...
    def has_verified_from(self, user: str, network: str) -> bool: ...
    def rejections(self, user: str) -> Guessing | None: ...
    def audit(self, after: int = 0) -> list[AuditRecord]: ...
    def latest_at(self) -> int: ...


class Writing(Reading, Protocol):
    """Changes, all in one transaction. `record` adds the audit record that every change MUST have."""

    def record(self, event: str, at: int, actor: str, **details: object) -> None: ...
    def accept_clock(self, at: int) -> None: ...
    def add_user(self, name: str, at: int) -> None: ...
    def set_user_state(self, name: str, state: str) -> None: ...
    def set_always(self, name: str, *, on: bool) -> None: ...
    def add_key(self, key: Key) -> None: ...
    def remove_key(self, fingerprint: str) -> bool: ...
    def put_factor(self, factor: Factor) -> None: ...
    def replace_secret(self, user: str, secret: bytes, cipher_key: str) -> None: ...
    def drop_factor(self, user: str) -> bool: ...
    def advance_step(self, user: str, step: int) -> None: ...
    def put_recovery_codes(self, user: str, hashes: list[bytes]) -> None: ...
    def void_recovery_codes(self) -> int: ...
    def burn_recovery_code(self, user: str, hash_: bytes, at: int) -> bool: ...
    def burn_step(self, user: str, step: int) -> None: ...
    def set_near_miss(self, user: str, key: str, miss: NearMiss | None) -> None: ...
    def add_failure(self, user: str, key: str, at: int) -> None: ...
    def clear_short_failures(self, user: str, key: str) -> None: ...
    def forget_failures(self, user: str, before: int | None = None) -> int: ...
    def count_guess(self, user: str, network: str, address: str, at: int) -> None: ...
    def forget_guesses(self, user: str, network: str | None = None) -> None: ...
    def forget_rejections(self, user: str) -> None: ...
    def note_network(self, user: str, network: str, at: int) -> None: ...
    def begin_break_glass(self, entry: BreakGlass) -> None: ...
    def end_break_glass(self, decision: str) -> bool: ...
    def put_invite(self, user: str, hash_: bytes, expires_at: int) -> None: ...
    def drop_invite(self, user: str) -> bool: ...
    def void_invites(self) -> int: ...
    def put_session(
        self,
        user: str,
        scope: tuple[str, str, str],
        verified: Moment,
        method: str,
        limit_seconds: int | None = None,
    ) -> Session: ...
    def end_sessions(
        self, user: str, key: str | None = None, session: int | None = None
    ) -> list[Session]: ...
    def add_repository(self, repository: Repository) -> None: ...
    def rename_repository(self, old: str, new: str, directory: str) -> None: ...
    def forget_repository(self, name: str) -> bool: ...
    def set_toggle(self, name: str, require: str, lifetime_seconds: int | None) -> None: ...
    def set_floor(self, name: str, require: str, lifetime_seconds: int | None) -> None: ...
    def set_borrowings(self, name: str, lenders: list[str]) -> bool: ...
    def remember_forgotten(self, directory: str, at: int) -> None: ...
    def clear_forgotten(self, directory: str) -> bool: ...
    def add_repository_admin(self, name: str, user: str) -> bool: ...
    def remove_repository_admin(self, name: str, user: str) -> bool: ...


class Store(Protocol):
    """A place where transactions happen."""

    def reading(self) -> AbstractContextManager[Reading]: ...
    def writing(self) -> AbstractContextManager[Writing]: ...
    def close(self) -> None: ...
