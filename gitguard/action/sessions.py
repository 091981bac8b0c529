"""What the server's admin does to 2FA sessions: open, revoke, sweep."""

from __future__ import annotations

import contextlib

from msgspec import Struct

from gitguard.action import browsers, exemptions, pruning, steps, tally
from gitguard.action.effects import Effects, take_effect, write_keys
from gitguard.action.installation import Installation, note_server
from gitguard.action.revocation import Selection, end_stale
from gitguard.config.types import format_duration
from gitguard.host.connections import SWEPT
from gitguard.machine.files import replace
from gitguard.message.reasons import Refusal, readable
from gitguard.session.credential import ssh_key
from gitguard.session.leaders import clear_leaders
from gitguard.session.methods import ADMIN
from gitguard.session.moment import Moment
from gitguard.session.scope import network_of, scope_of
from gitguard.store import two_clocks
from gitguard.store.contract import Writing
from gitguard.store.rows import Session


class Which(Struct, frozen=True):
    """Whose sessions are meant: a user's, one by number, a key's, everyone's."""

    user: str | None = None
    number: int | None = None
    key: str | None = None
    everyone: bool = False


def open_one(
    installation: Installation,
    user: str,
    seconds: int,
    key: str,
    address: str,
    moment: Moment,
    actor: str,
    reason: str,
) -> Session:
    """Open a session of `seconds` for an enrolled user who cannot verify just now. Raises Refusal."""
    lifetime = installation.settings.session.lifetime
    if not 1 <= seconds <= lifetime:
        raise Refusal("usage", text=f"--for is 1s to the server's lifetime, {format_duration(lifetime)}")
    if address and network_of(address) is None:
        raise Refusal("usage", text=f"--from: {readable(address, 60)} is not an IP address")
    kind = installation.settings.session.scope
    scope = scope_of(kind, ssh_key(key), address)
    if scope is None:
        wanted = {"address": "--key FINGERPRINT and --from IP", "key": "--key FINGERPRINT"}.get(kind, "")
        raise Refusal("usage", text=f"scope {kind} needs {wanted}")
    with installation.store.writing() as tx:
        if steps.present(tx, user).state != "active":
            raise Refusal("usage", text=f"{user} is suspended; resume them first")
        if not tx.has_factor(user):
            raise Refusal(
                "enrolment-required", text=f"{user} has no second factor, so no session can be opened"
            )
        owner = tx.key(key) if key else None
        if key and (owner is None or owner.user != user):
            raise Refusal("usage", text=f"{key} is not a key of {user}")
        opened = tx.put_session(user, scope, moment, ADMIN, seconds)
        tx.record(
            "session-opened",
            moment.at,
            actor,
            user=user,
            key=opened.credential,
            address=opened.network,
            session=opened.id,
            scope=kind,
            method=ADMIN,
            seconds=seconds,
            reason=reason,
        )
    return opened


def revoke(
    installation: Installation, which: Which, moment: Moment, actor: str, reason: str
) -> tuple[int, Effects]:
    """End sessions at once, with the connections that they let in and what waits at a
    prompt; how many. Raises Refusal.
    """
    with installation.store.writing() as tx:
        ended = _end_all(tx) if which.everyone else _end(tx, which)
        for name, numbers in ended:
            tx.record("session-revoked", moment.at, actor, user=name, sessions=numbers, reason=reason)
    if which.number is not None and not ended:
        raise Refusal("usage", text=f"no session {which.number}")
    people = {name for name, _ in ended} | ({which.user} if which.user else set())
    return sum(len(numbers) for _, numbers in ended), take_effect(
        installation, moment, Selection(waiting=frozenset(people))
    )


def _end_all(tx: Writing) -> list[tuple[str, list[int]]]:
    """Everyone's in a few statements: others wait while it lasts."""
    ended = tx.end_all_sessions()
    tx.end_all_browsers()
    return ended


def _end(tx: Writing, which: Which) -> list[tuple[str, list[int]]]:
    """One person's, one by number, or a key's."""
    if which.user is not None:
        steps.present(tx, which.user)
    owner = tx.key(which.key) if which.key else None
    if which.key and owner is None:
        raise Refusal("usage", text=f"no key {which.key}")
    names = [which.user] if which.user else [owner.user] if owner else [user.name for user in tx.users()]
    ended = []
    for name in names:
        gone = tx.end_sessions(name, which.key, which.number)
        _sign_out(tx, name, which)
        if gone:
            ended.append((name, [session.id for session in gone]))
    return ended


def _sign_out(tx: Writing, user: str, which: Which) -> None:
    """The browsers whose sessions end, and those that a key signed in whose sessions end."""
    if which.number is not None:
        return
    if which.key is None:
        tx.end_browsers(user)
    else:
        steps.end_signed_in_by(tx, user, which.key)


def sweep(installation: Installation, moment: Moment) -> int:
    """End connections that are no longer allowed; how many connections ended. Raises Refusal.

    What comes to pass without anyone changing anything is noticed by the same look:
    exemptions that were used or end.
    """
    note_server(installation, moment)
    if not installation.settings.store.url.is_file:
        write_keys(installation)  # a key that another server added signs in here as well
        with installation.store.reading() as tx:
            apart = two_clocks.apart(tx.ahead_seconds)
        if apart:  # all else is judged by the clock
            raise Refusal("store-unavailable", apart, text=apart, hint=two_clocks.HINT)
    ended = end_stale(installation, moment)
    exemptions.look(installation, moment)
    browsers.sweep(installation, moment)
    pruning.clear_marks(str(installation.settings.paths.state), moment.at)
    clear_leaders(str(installation.settings.paths.state))
    tally.tally(installation, moment, most=None)
    pruning.prune(installation, moment)
    pruning.clear_away(installation)
    installation.store.tidy()
    with contextlib.suppress(Refusal):  # a full disk is named by doctor itself
        replace(f"{installation.settings.paths.state}/{SWEPT}", f"{moment.at}\n".encode(), 0o600)
    return ended
