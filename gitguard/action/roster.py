"""Who is who: one entry for each user, as lists and pages show it. It looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from gitguard.action.installation import Installation
from gitguard.decision.status import live_sessions
from gitguard.session.methods import method_of
from gitguard.session.moment import Moment
from gitguard.store.contract import Reading
from gitguard.store.rows import User


class RosterEntry(Struct, frozen=True):
    """One user. `keys`: fingerprints; `sessions`: those that are live; `invite_expires_at`:
    None without an open invite.
    """

    user: str
    state: str
    enrolled: bool
    keys: tuple[str, ...]
    sessions: int
    always: bool
    recovery_codes_left: int
    invite_expires_at: int | None
    created_at: int


def entry_of(installation: Installation, tx: Reading, user: User, moment: Moment) -> RosterEntry:
    """The entry of `user` at `moment`."""
    invite = tx.invite(user.name)
    return RosterEntry(
        user=user.name,
        state=user.state,
        enrolled=tx.has_factor(user.name),
        keys=tuple(key.fingerprint for key in tx.keys(user.name)),
        sessions=sum(1 for _ in live_sessions(tx, installation.settings, moment, user.name)),
        always=user.always,
        recovery_codes_left=tx.recovery_codes_left(user.name),
        invite_expires_at=invite[1] if invite is not None and invite[1] > moment.at else None,
        created_at=user.created_at,
    )


def roster(
    installation: Installation,
    moment: Moment,
    *,
    containing: str = "",
    not_enrolled: bool = False,
    not_verified_since: int | None = None,
) -> Iterator[RosterEntry]:
    """Everyone whose name holds `holding`, by name; the two other conditions leave active users only.

    `not_verified_since` is Unix seconds UTC.
    """
    with installation.store.reading() as tx:
        verified = set() if not_verified_since is None else _verified_since(tx, not_verified_since)
        for user in tx.users():
            if containing not in user.name or (
                (not_enrolled or not_verified_since is not None) and user.state != "active"
            ):
                continue
            entry = entry_of(installation, tx, user, moment)
            if not (not_enrolled and entry.enrolled) and entry.user not in verified:
                yield entry


def _verified_since(tx: Reading, since: int) -> set[str]:
    """Who opened a session by a factor of their own since then, by the trail:
    sessions are renewed or gone.
    """
    return {
        str(said.get("user"))
        for record in tx.audit()
        if record.at >= since and record.is_about("session-opened")
        if method_of(str((said := record.record).get("method"))).by_factor
    }
