"""What every store promises, in prose and types. SQLite keeps it today; PostgreSQL will.

MUST:
1. `writing` is one transaction: all of it and its audit records, or nothing. Two of them never interleave: the
   trail is one chain, so whoever writes takes it as a whole when the block begins and lets go when it is committed.
   (SQLite: BEGIN IMMEDIATE. A server database: a lock that every writer takes first.)
2. `reading` sees one state of the store from its first question to its last.
3. A method that changes something says whether it did (a count, a bool), never raises for "not there".
4. Whatever goes wrong inside (locked, full, truncated, gone) leaves as Refusal("store-unavailable"), a
   schema that this code does not know as Refusal("store-schema"), each within two seconds.
5. Nothing here decides: who may do what is the business of the rooms that call.

A method's own sentence is what it promises; tests/contract holds every backend to them. Values come out as the rows of rows.py; times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from gitguard.session.credential import Credential
from gitguard.session.moment import Moment
from gitguard.store.rows import (
    BreakGlass,
    Browser,
    Change,
    Counts,
    Factor,
    Failure,
    Guessing,
    Key,
    NearMiss,
    Recorded,
    Repository,
    Session,
    SignInLink,
    User,
)
from gitguard.store.trail_contract import TrailReading, TrailWriting


class Reading(TrailReading, Protocol):
    """Questions. Each answers from the one state that the transaction began with."""

    def user(self, name: str) -> User | None:
        """The user of this name, removed ones too; None for nobody."""

    def has_before(self, before: int) -> bool:
        """Whether there is anything that `prune` would take away."""

    def users(self) -> Iterator[User]:
        """Everybody, removed ones too, by name, one at a time, while the transaction lasts."""

    def find_users(
        self, holding: str, after: str, most: int, *, enrolled: bool | None = None, state: str = ""
    ) -> list[User]:
        """At most `most` users who are not removed, by name from behind `after` on, whose name holds `holding`.

        `enrolled`: only those with a second factor, or only those without one.
        """

    def count_users(self) -> tuple[int, int]:
        """(users who are not removed, those of them with a second factor)."""

    def counts(self) -> Counts:
        """How many there are of each kind, removed users too."""

    def enrolled(self) -> set[str]:
        """The users with a second factor."""

    def sessions_since(self, at: int) -> Iterator[Session]:
        """Everybody's sessions that were verified after `at`, by user, the newest first, while the transaction lasts."""

    def shared_networks(self, by: int) -> list[tuple[str, int]]:
        """(network, how many users have sessions from it) of each that so many share."""

    def browser(self, credential: str) -> Browser | None:
        """The signed-in browser of this credential (`web:HASH`), run out or not; None for none."""

    def browsers(self, user: str) -> list[Browser]:
        """The signed-in browsers of `user`, the newest first."""

    def key(self, fingerprint: str) -> Key | None:
        """The SSH key of this fingerprint, None if nobody has it."""

    def keys(self, user: str | None = None) -> list[Key]:
        """The keys of `user`, oldest first; of everybody, by user, for None."""

    def owner(self, credential: Credential) -> str | None:
        """The user that a credential of any kind belongs to, None for nobody's."""

    def factor(self, user: str) -> Factor | None:
        """The second factor of `user`, None if they have none."""

    def factors(self) -> list[Factor]:
        """Every second factor, by user."""

    def recovery_codes_left(self, user: str) -> int:
        """How many recovery codes of `user` are not burned."""

    def recovery_codes_issued(self) -> int:
        """How many recovery codes of anybody are not burned."""

    def is_burned(self, user: str, step: int) -> bool:
        """Whether the time step was burned by `burn_step` and is still above the watermark."""

    def near_miss(self, user: str, credential: str) -> NearMiss | None:
        """The last near miss of `user` with this credential, None after a success or a plainly wrong code."""

    def failures(self, user: str, since: int) -> list[Failure]:
        """The failures of `user` after `since`, oldest first."""

    def invite(self, user: str) -> tuple[bytes, int] | None:
        """(hash, end) of the open invite of `user`, run out or not; None if there is none."""

    def session(self, user: str, scope: tuple[str, str, str]) -> Session | None:
        """The session of `user` in exactly this scope, None if there is none."""

    def sessions(self, user: str | None = None) -> list[Session]:
        """The sessions of `user` (of everybody, by user, for None), newest verification first."""

    def repository(self, name: str) -> Repository | None:
        """The repository of this name, None if unknown."""

    def repository_at(self, directory: str) -> Repository | None:
        """The repository whose directory is exactly this one, None if unknown."""

    def repositories(self) -> list[Repository]:
        """Every known repository, by name."""

    def demanding_repositories(self) -> list[Repository]:
        """Those with a toggle, a lifetime of their own or an admin, by name."""

    def find_repositories(self, holding: str, after: str, most: int) -> list[Repository]:
        """At most `most` repositories, by name from behind `after` on, whose name holds `holding`."""

    def newest_sessions(self, skipping: int, most: int) -> list[Session]:
        """At most `most` sessions, the newest verification first, without the first `skipping` of them."""

    def all_browsers(self) -> list[Browser]:
        """Everybody's signed-in browsers, by user."""

    def links(self, user: str, origin: str) -> list[SignInLink]:
        """The sign-in links of `user` that `origin` asked for, run out or not."""

    def link(self, hash_: bytes) -> SignInLink | None:
        """The sign-in link of this hash, run out or not, without using it up; None for none."""

    def repository_admins(self, name: str) -> list[str]:
        """The admins of the repository, by name."""

    def administered_by(self, user: str) -> list[str]:
        """The repositories that `user` is an admin of, by name."""

    def borrowers(self, lender: str) -> list[Repository]:
        """The known repositories that borrow objects from the directory `lender`, by name."""

    def lenders(self, borrower: str) -> list[str]:
        """The directories that the repository of this name borrows objects from, in order."""

    def borrowings(self) -> list[tuple[str, str]]:
        """Every (borrower's name, lender's directory), in that order."""

    def forgotten(self) -> list[str]:
        """The directories that an admin took out, in order."""

    def open_break_glass(self) -> list[BreakGlass]:
        """Maintenance that was begun and not ended."""

    def guessing(self, user: str) -> list[Guessing]:
        """Failures of `user` by network that no success from there has followed, oldest first."""

    def users_guessed_since(self, since: int) -> list[str]:
        """The users with a failure after `since`, by name."""

    def network_known_since(self, user: str, network: str) -> int | None:
        """When `user` first verified from this network: 0 where enrolment came from it, None for never."""

    def changes(self, user: str, since: int) -> list[Change]:
        """What changed about `user` from `since` on, the oldest first."""

    def untold_changes(self, user: str, credential: str, network: str, since: int) -> list[Change]:
        """Those of them that were made elsewhere, and not told to whoever verifies by `credential` from `network`."""

    def first_code(self, user: str, credential: str) -> int | None:
        """When the first of two codes was given by this credential, None if none was."""

    def has_verified_from(self, user: str, network: str) -> bool:
        """Whether `user` has ever verified from this network."""

    def has_verified_anywhere(self, user: str) -> bool:
        """Whether `user` has ever verified from any network."""

    def rejections(self, user: str) -> Guessing | None:
        """The wrong codes of `user` since they were last told, as one sum; None for none."""


class Writing(Reading, TrailWriting, Protocol):
    """Changes, all in one transaction. `record` adds the audit record that every change MUST have."""

    def accept_clock(self, at: int) -> None:
        """Take `at` as the latest moment, and end the sessions that were verified after it."""

    def add_user(self, name: str, at: int) -> None:
        """A new, active user; one that is there is a fault of the caller's."""

    def set_user_state(self, name: str, state: str) -> None:
        """active, suspended or removed."""

    def set_always(self, name: str, *, on: bool) -> None:
        """The user's own switch."""

    def add_key(self, key: Key) -> None:
        """A new key; a fingerprint belongs to one user."""

    def remove_key(self, fingerprint: str) -> bool:
        """Take the key away, with its near misses; whether it was there."""

    def add_credential(self, credential: Credential, user: str, at: int) -> None:
        """A new credential that is not an SSH key; it belongs to one user."""

    def remove_credentials(self, user: str) -> int:
        """Take away every credential of `user` that is not an SSH key; how many."""

    def add_browser(self, browser: Browser) -> None:
        """A browser signed in, under a credential of its own."""

    def see_browser(self, credential: str, at: int) -> None:
        """The browser was here at `at` (Unix seconds)."""

    def end_browsers(self, user: str, credential: str | None = None) -> int:
        """Sign out the browsers of `user`: all, or one; their own 2FA sessions and sign-in links end too. How many."""

    def end_all_browsers(self) -> int:
        """Sign out everybody's, and void every sign-in link; how many browsers."""

    def put_link(self, hash_: bytes, link: SignInLink) -> None:
        """A new sign-in link."""

    def forget_links(self, until: int, user: str = "", origin: str = "") -> int:
        """Void the links that ran out by `until`; with a user all that `origin` asked for. How many."""

    def take_link(self, hash_: bytes) -> SignInLink | None:
        """The sign-in link of this hash, run out or not, which is used up by that; None for none."""

    def put_factor(self, factor: Factor) -> None:
        """Set the second factor of its user, in place of any before it, with all that hung on that one."""

    def replace_secret(self, user: str, secret: bytes, cipher_key: str) -> None:
        """The same secret, encrypted under another key."""

    def drop_factor(self, user: str) -> bool:
        """Take the second factor away with recovery codes, burned steps and near misses; whether it was there."""

    def advance_step(self, user: str, step: int) -> None:
        """Move the watermark to `step`, never back, and forget the burned steps below it."""

    def put_recovery_codes(self, user: str, hashes: list[bytes]) -> None:
        """These recovery codes (hashes), in place of all before them."""

    def void_recovery_codes(self) -> int:
        """Take everybody's recovery codes away; how many rows went."""

    def burn_recovery_code(self, user: str, hash_: bytes, at: int) -> bool:
        """Burn the code of `user` with this hash; False if it is not theirs or burned already."""

    def burn_step(self, user: str, step: int) -> None:
        """No code of this time step is right any more; saying so again is not an error."""

    def set_near_miss(self, user: str, credential: str, miss: NearMiss | None) -> None:
        """Remember the near miss in place of the one before; None forgets it."""

    def add_failure(self, user: str, credential: str, at: int) -> None:
        """One failure more."""

    def clear_short_failures(self, user: str, credential: str) -> None:
        """A success: what failed with this credential no longer counts in the shortest window."""

    def forget_failures(self, user: str, before: int | None = None) -> int:
        """Forget the failures of `user`, or those before a moment; how many."""

    def count_guess(self, user: str, network: str, address: str, at: int) -> None:
        """One failure more from this network that no success has followed, and one more to tell the user of."""

    def forget_guesses(self, user: str, network: str | None = None) -> None:
        """Forget the failures from `network`, or from everywhere."""

    def forget_rejections(self, user: str) -> None:
        """The user was told."""

    def note_network(self, user: str, network: str, at: int, *, enrolled: bool = False) -> None:
        """`user` has verified from here; `enrolled`: for the first time, by the enrolment itself."""

    def forget_network(self, user: str, network: str) -> int:
        """A network counts as the user's own no more; how many rows that were."""

    def forget_networks(self, user: str, but: str = "") -> int:
        """No network is known of `user` any more, but this one; how many were."""

    def note_change(self, user: str, change: Change, network: str) -> None:
        """Something changed about `user`, to be told to them."""

    def mark_told(self, user: str, credential: str, network: str) -> None:
        """Whoever verifies by `credential` from `network` knows of every change so far."""

    def prune(self, before: int, most: int) -> int:
        """Take away at most `most` sessions, failures, ended invites and changes each that are from before `before`; how many went."""

    def put_first_code(self, user: str, credential: str, at: int) -> None:
        """The first of two codes was right."""

    def drop_first_code(self, user: str, credential: str) -> bool:
        """It counts no more; whether it did."""

    def begin_break_glass(self, entry: BreakGlass) -> None:
        """Maintenance begins."""

    def end_break_glass(self, decision: str) -> bool:
        """Maintenance ends; whether it was open."""

    def put_invite(self, user: str, hash_: bytes, expires_at: int) -> None:
        """The one open invite of `user`, in place of any before it."""

    def drop_invite(self, user: str) -> bool:
        """Void the invite of `user`; whether there was one."""

    def void_invites(self) -> int:
        """Void everybody's invites; how many."""

    def put_session(
        self,
        user: str,
        scope: tuple[str, str, str],
        verified: Moment,
        method: str,
        limit_seconds: int | None = None,
    ) -> Session:
        """Open the session of `user` in this scope, or renew the one that is there; numbers are never used twice."""

    def end_sessions(
        self, user: str, credential: str | None = None, session: int | None = None
    ) -> list[Session]:
        """End the sessions of `user`: all, those that a credential may use, or one by number. Those that ended."""

    def end_all_sessions(self) -> list[tuple[str, list[int]]]:
        """End everybody's at once: (user, numbers of those that ended), by user."""

    def add_repository(self, repository: Repository) -> None:
        """A new repository; name and directory belong to one."""

    def rename_repository(self, old: str, new: str, directory: str) -> None:
        """Another name and directory; toggle, admins and borrowings go along."""

    def forget_repository(self, name: str) -> bool:
        """Make it unknown, with its admins and borrowings; whether it was there."""

    def set_toggle(self, name: str, require: str, lifetime_seconds: int | None) -> None:
        """What is demanded, and for how long a verification counts (None: as everywhere)."""

    def set_floor(self, name: str, require: str, lifetime_seconds: int | None) -> None:
        """What the server's admin demanded; the store does not compare it with the toggle."""

    def set_borrowings(self, name: str, lenders: list[str]) -> bool:
        """Whose objects it borrows (directories); whether that changed."""

    def remember_forgotten(self, directory: str, at: int) -> None:
        """An admin took this directory out."""

    def clear_forgotten(self, directory: str) -> bool:
        """It was taken back; whether it had been taken out."""

    def add_repository_admin(self, name: str, user: str) -> bool:
        """Whether `user` was no admin of it before."""

    def remove_repository_admin(self, name: str, user: str) -> bool:
        """Whether `user` was an admin of it."""


class Store(Protocol):
    """A place where transactions happen.

    `lags`: why the audit head outside could not follow the last change, "" if it did. The change stands all the same.
    `heard`: is given what a transaction recorded once that is committed, and never what was taken back.
    It raises nothing: the change stands.
    """

    lags: str
    heard: Callable[[list[Recorded]], None]

    def reading(self) -> AbstractContextManager[Reading]:
        """One state of the store, for questions."""

    def writing(self) -> AbstractContextManager[Writing]:
        """One transaction: committed at the end of the block, taken back by any exception."""

    def close(self) -> None:
        """Let go of files and connections."""
