"""What can be asked of any store, in one transaction. The promise of each method is its own
sentence; contract.py has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from gitguard.session.credential import Credential
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
)
from gitguard.store.trail_contract import TrailReading


class Reading(TrailReading, Protocol):
    """Questions. Each answers from the one state that the transaction began with."""

    def user(self, name: str) -> User | None:
        """The user of this name, removed ones too; None for nobody."""

    def has_before(self, before: int) -> bool:
        """Whether there is anything that `prune` would take away."""

    def users(self) -> Iterator[User]:
        """Everyone, removed ones too, by name, one at a time, while the transaction lasts."""

    def find_users(
        self, containing: str, after: str, most: int, *, enrolled: bool | None = None, state: str = ""
    ) -> list[User]:
        """At most `most` users who are not removed, by name from behind `after`
        on, whose name holds `containing`, capitals of a to z or not.

        `enrolled`: only those with a second factor, or only those without one.
        """

    def count_users(self) -> tuple[int, int]:
        """(users who are not removed, those of them with a second factor)."""

    def counts(self) -> Counts:
        """How many there are of each kind, removed users too."""

    def enrolled(self) -> set[str]:
        """The users with a second factor."""

    def sessions_since(self, at: int) -> Iterator[Session]:
        """Sessions verified after `at`, by user, the newest first, while the transaction lasts."""

    def shared_networks(self, by: int) -> list[tuple[str, int]]:
        """(network, how many users have sessions from it) of each that so many share."""

    def browser(self, credential: str) -> Browser | None:
        """The signed-in browser of this credential (`web:HASH`), expired or not; None for none."""

    def browsers(self, user: str) -> list[Browser]:
        """The signed-in browsers of `user`, the newest first."""

    def key(self, fingerprint: str) -> Key | None:
        """The SSH key of this fingerprint, None if nobody has it."""

    def keys(self, user: str | None = None) -> list[Key]:
        """The keys of `user`, oldest first; of everyone, by user, for None."""

    def accounts(self, user: str) -> list[int]:
        """The uids of the user's accounts on this machine."""

    def owner(self, credential: Credential) -> str | None:
        """The user that a credential of any kind belongs to, None for nobody's."""

    def has_factor(self, user: str) -> bool:
        """Whether `user` is enrolled: has a second factor, of whichever kind."""

    def totp_of(self, user: str) -> TotpFactor | None:
        """The authenticator app of `user`, None for none."""

    def totp_factors(self) -> list[TotpFactor]:
        """Every authenticator app, by user."""

    def recovery_codes_left(self, user: str) -> int:
        """How many recovery codes of `user` are not burned."""

    def recovery_codes_issued(self) -> int:
        """How many recovery codes of anyone are not burned."""

    def is_burned(self, user: str, step: int) -> bool:
        """Whether the time step was burned by `burn_step` and is still above the watermark."""

    def near_miss(self, user: str, credential: str) -> NearMiss | None:
        """The last near miss of `user` with this credential, None after a success or a plainly wrong code."""

    def failures(self, user: str, since: int) -> list[Failure]:
        """The failures of `user` after `since`, oldest first."""

    def invite(self, user: str) -> tuple[bytes, int] | None:
        """(hash, end) of the open invite of `user`, expired or not; None if there is none."""

    def session(self, user: str, scope: tuple[str, str, str]) -> Session | None:
        """The session of `user` in exactly this scope, None if there is none."""

    def sessions(self, user: str | None = None) -> list[Session]:
        """The sessions of `user` (of everyone, by user, for None), newest verification first."""

    def repository(self, name: str) -> Repository | None:
        """The repository of this name, None if unknown."""

    def repository_at(self, directory: str) -> Repository | None:
        """The repository whose directory is exactly this one, None if unknown."""

    def repositories(self) -> list[Repository]:
        """Every known repository, by name."""

    def demanding_repositories(self) -> list[Repository]:
        """Those with a toggle, a lifetime of their own or an admin, by name."""

    def find_repositories(self, containing: str, after: str, most: int) -> list[Repository]:
        """At most `most` repositories, by name from behind `after` on, whose name holds `containing`,
        capitals of a to z or not.
        """

    def newest_sessions(self, skipping: int, most: int) -> list[Session]:
        """At most `most` sessions, the newest verification first, without the first `skipping` of them."""

    def all_browsers(self) -> list[Browser]:
        """Everyone's signed-in browsers, by user."""

    def links(self, user: str, origin: str) -> list[SignInLink]:
        """The sign-in links of `user` that `origin` asked for, expired or not."""

    def link(self, hash_: bytes) -> SignInLink | None:
        """The sign-in link of this hash, expired or not, without using it up; None for none."""

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
        """Those made elsewhere, and not told to whoever verifies by `credential` from `network`."""

    def first_code(self, user: str, credential: str) -> int | None:
        """When the first of two codes was given by this credential, None if none was."""

    def has_verified_from(self, user: str, network: str) -> bool:
        """Whether `user` has ever verified from this network."""

    def has_verified_anywhere(self, user: str) -> bool:
        """Whether `user` has ever verified from any network."""

    def rejections(self, user: str) -> Guessing | None:
        """The wrong codes of `user` since they were last told, as one sum; None for none."""
