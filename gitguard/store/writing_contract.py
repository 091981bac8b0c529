"""What can be changed in any store, in one transaction. The promise of each method is its own
sentence; contract.py has the rest.
"""

from __future__ import annotations

from typing import Protocol

from gitguard.session.credential import Credential
from gitguard.session.moment import Moment
from gitguard.store.reading_contract import Reading
from gitguard.store.rows import (
    BreakGlass,
    Browser,
    Change,
    Key,
    NearMiss,
    Repository,
    Session,
    SignInLink,
    TotpFactor,
)
from gitguard.store.trail_contract import TrailWriting


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

    def remove_credential(self, credential: Credential) -> bool:
        """Take one away that is not an SSH key, with the sessions that are its own; whether it was there."""

    def remove_credentials(self, user: str) -> int:
        """Take away every credential of `user` that is not an SSH key; how many."""

    def add_browser(self, browser: Browser) -> None:
        """A browser signed in, under a credential of its own."""

    def see_browser(self, credential: str, at: int) -> None:
        """The browser was here at `at` (Unix seconds)."""

    def end_browsers(self, user: str, credential: str | None = None) -> int:
        """Sign out all browsers of `user`, or one; their 2FA sessions and sign-in links end too. How many."""

    def end_all_browsers(self) -> int:
        """Sign out everyone's, and void every sign-in link; how many browsers."""

    def put_link(self, hash_: bytes, link: SignInLink) -> None:
        """A new sign-in link."""

    def forget_links(self, until: int, user: str = "", origin: str = "") -> int:
        """Void the links that expired by `until`; with a user all that `origin` asked for. How many."""

    def take_link(self, hash_: bytes) -> SignInLink | None:
        """The sign-in link of this hash, expired or not, which is used up by that; None for none."""

    def put_totp(self, factor: TotpFactor) -> None:
        """Set the authenticator app of its user, replacing any before it and all that hung on that one."""

    def replace_secret(self, user: str, secret: bytes, cipher_key: str) -> None:
        """The same secret, encrypted under another key."""

    def drop_totp(self, user: str) -> bool:
        """Take the authenticator app away with its burned steps and near misses; whether it was there."""

    def drop_recovery_codes(self, user: str) -> int:
        """Take the recovery codes away, used ones too; how many there were."""

    def advance_step(self, user: str, step: int) -> None:
        """Move the watermark to `step`, never back, and forget the burned steps below it."""

    def put_recovery_codes(self, user: str, hashes: list[bytes]) -> None:
        """These recovery codes (hashes), in place of all before them."""

    def void_recovery_codes(self) -> int:
        """Take everyone's recovery codes away; how many rows went."""

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

    def forget_failures(self, user: str) -> int:
        """Forget all of them; how many there were."""

    def count_guess(self, user: str, network: str, address: str, at: int) -> None:
        """One more failure from this network without a success since, and one more to tell the user of."""

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
        """Take away at most `most` sessions, failures, ended invites and changes each that are from
        before `before`; how many went.
        """

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
        """Void everyone's invites; how many."""

    def put_session(
        self,
        user: str,
        scope: tuple[str, str, str],
        verified: Moment,
        method: str,
        limit_seconds: int | None = None,
    ) -> Session:
        """Open the session of `user` in this scope, or renew it; numbers are never used twice."""

    def end_sessions(
        self, user: str, credential: str | None = None, session: int | None = None
    ) -> list[Session]:
        """End sessions of `user`: all, those that a credential may use, or one
        by number. Those that ended.
        """

    def end_all_sessions(self) -> list[tuple[str, list[int]]]:
        """End everyone's at once: (user, numbers of those that ended), by user."""

    def add_repository(self, repository: Repository) -> None:
        """A new repository; name and directory belong to one."""

    def rename_repository(self, old: str, new: str, directory: str) -> None:
        """Another name and directory; toggle, admins and borrowings go along."""

    def forget_repository(self, name: str) -> bool:
        """Make it unknown, with its admins and borrowings; whether it was there."""

    def set_toggle(self, name: str, require: str, lifetime_seconds: int | None) -> None:
        """What is required, and for how long a verification counts (None: as everywhere)."""

    def set_floor(self, name: str, require: str, lifetime_seconds: int | None) -> None:
        """What the server's admin required; the store does not compare it with the toggle."""

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
