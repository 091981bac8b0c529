"""What the admin does to people: add, suspend, resume, reset, unthrottle, remove, restore, invite."""

from __future__ import annotations

from msgspec import Struct

from gitguard.action import steps
from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import Installation
from gitguard.action.keys import check_not_foreign, key_row
from gitguard.action.revocation import NO_SELECTION, Selection
from gitguard.answer.log_reader import LogEntry, read_log, unread
from gitguard.host.key_options import NewKey
from gitguard.machine.git_account import uid_of
from gitguard.message.numbers import number
from gitguard.message.reasons import Refusal
from gitguard.session.credential import account_of
from gitguard.session.moment import Moment
from gitguard.store.rows import Key

DAY_SECONDS = 86400


class Changed(Struct, frozen=True):
    """What became of a person: `token` an invite or "", `keys` those that came or went,
    `changed` whether anything did.
    """

    name: str
    effects: Effects
    changed: bool = True
    token: str = ""
    keys: tuple[Key, ...] = ()


def change_account(
    installation: Installation, name: str, verb: str, account: str, moment: Moment, actor: str
) -> Changed:
    """Say that the account `account` of this machine is the user's (`verb` add), or no more (remove). Raises
    Refusal.
    """
    uid = number(account, 1 << 32) if verb == "remove" else None  # of an account that is gone
    if uid is None:
        hint = (
            "make the account first"
            if verb == "add"
            else "one that is gone is named by its uid: admin user show"
        )
        uid = uid_of(account, hint)
    settings = installation.settings
    if verb == "add" and uid in (0, uid_of(settings.host.account), uid_of(settings.keeper)):
        raise Refusal("usage", text=f"{account} is no person's account")
    credential = account_of(uid)
    with installation.store.writing() as tx:
        steps.present(tx, name)
        owner = tx.owner(credential)
        if verb == "add" and owner is not None and owner != name:
            raise Refusal("usage", text=f"the account {account} is {owner}'s already")
        changed = owner is None if verb == "add" else owner == name
        if changed and verb == "add":
            tx.add_credential(credential, name, moment.at)
        elif changed:
            tx.remove_credential(credential)
        if changed:
            event = "account-linked" if verb == "add" else "account-unlinked"
            tx.record(event, moment.at, actor, user=name, account=account, uid=uid)
    return Changed(name, take_effect(installation, moment) if changed else Effects(), changed)


def add(
    installation: Installation,
    name: str,
    keys: list[NewKey],
    moment: Moment,
    actor: str,
    *,
    if_missing: bool = False,
    of_many: bool = False,
) -> Changed:
    """Add a user with `keys` and an invite. With `if_missing` one who is there only
    gets the keys. Raises Refusal.

    `of_many`: as in `keys.add`.
    """
    if not of_many:
        check_not_foreign(installation, [new.key for new in keys])
    with installation.store.writing() as tx:
        there = tx.user(name) is not None if if_missing else False
        if there:
            steps.present(tx, name)
        else:
            steps.add_user(tx, name, moment.at, actor)
        rows = [key_row(name, new, moment.at) for new in keys]
        added = [row for row in rows if steps.add_key(tx, row, moment.at, actor)]
        token = "" if there else steps.new_invite(tx, installation.keyring, name, moment.at, actor)
    effects = Effects() if of_many else take_effect(installation, moment, keys=bool(added))
    return Changed(name, effects, not there or bool(added), token, tuple(added))


def invite(installation: Installation, names: list[str], moment: Moment, actor: str) -> list[Changed]:
    """A fresh invite for each; the ones before no longer work. Raises Refusal, and then none was made."""
    with installation.store.writing() as tx:
        tokens = [steps.new_invite(tx, installation.keyring, name, moment.at, actor) for name in names]
    return [Changed(name, Effects(), token=token) for name, token in zip(names, tokens, strict=True)]


def not_enrolled(installation: Installation) -> list[str]:
    """Every active user without a second factor."""
    with installation.store.reading() as tx:
        return [user.name for user in tx.users() if user.state == "active" and not tx.has_factor(user.name)]


def active(installation: Installation) -> list[str]:
    """Every active user."""
    with installation.store.reading() as tx:
        return [user.name for user in tx.users() if user.state == "active"]


def set_state(
    installation: Installation, name: str, state: str, moment: Moment, actor: str, reason: str
) -> Changed:
    """Suspend or resume. Suspending ends sessions, transfers and what waits at a prompt. Raises Refusal."""
    with installation.store.writing() as tx:
        changed = steps.set_user_state(tx, name, state, moment.at, actor, reason)
    selected = Selection(users=frozenset({name})) if state == "suspended" else NO_SELECTION
    return Changed(name, take_effect(installation, moment, selected), changed)


class Emergency(Struct, frozen=True):
    """What was ended, and what the log says that the user read and pushed within a
    day before it, oldest first.

    `unread` is why the log could not be read, "" if it could: the rest stands all the same.
    """

    done: Changed
    sessions: int
    entries: tuple[LogEntry, ...]
    unread: str = ""


def emergency(installation: Installation, name: str, moment: Moment, actor: str, reason: str) -> Emergency:
    """Suspend, end sessions, transfers and prompts, void the invite, then look up
    the last day. Raises Refusal.

    Someone who is suspended already is looked up all the same.
    """
    with installation.store.writing() as tx:
        steps.check_present(tx, name)
        sessions = len(tx.sessions(name))
        tx.drop_invite(name)
        changed = steps.set_user_state(tx, name, "suspended", moment.at, actor, reason)
        tx.record("emergency", moment.at, actor, user=name, reason=reason, sessions_ended=sessions)
    done = Changed(name, take_effect(installation, moment, Selection(users=frozenset({name}))), changed)
    found: list[LogEntry] = []
    path, since = str(installation.settings.paths.access_log), moment.at - DAY_SECONDS
    packed = unread(path, since)
    cannot = f"{', '.join(packed)} cannot be unpacked here" if packed else ""
    try:
        found.extend(
            entry
            for entry in read_log(path, since)
            if entry is not None and _is_transfer_of(entry, name, since)
        )
    except Refusal as refusal:
        cannot = refusal.detail
    return Emergency(done, sessions, tuple(found), cannot)


def _is_transfer_of(entry: LogEntry, name: str, after: int) -> bool:
    at = entry.get("at")
    allowed = entry.get("user") == name and entry.get("verdict") == "allowed"
    return allowed and isinstance(at, int) and at >= after


def reset(
    installation: Installation, names: list[str], moment: Moment, actor: str, reason: str
) -> list[Changed]:
    """Remove the second factor, end all sessions, issue an invite to come back. Raises Refusal."""
    with installation.store.writing() as tx:
        tokens = [
            steps.reset_factor(tx, installation.keyring, name, moment.at, actor, reason) for name in names
        ]
    effects = take_effect(installation, moment, Selection(users=frozenset(names)))
    return [Changed(name, effects, token=token) for name, token in zip(names, tokens, strict=True)]


def unthrottle(installation: Installation, name: str, moment: Moment, actor: str, reason: str) -> int:
    """Forget the user's failures; how many there were. Raises Refusal."""
    with installation.store.writing() as tx:
        return steps.forget_guessing(tx, name, moment.at, actor, reason)


def remove(installation: Installation, name: str, moment: Moment, actor: str, reason: str) -> Changed:
    """Remove a user with factor, sessions, keys and invites. Raises Refusal."""
    with installation.store.writing() as tx:
        gone = steps.remove_user(tx, name, moment.at, actor, reason)
    effects = take_effect(installation, moment, Selection(users=frozenset({name})), keys=True)
    return Changed(name, effects, keys=tuple(gone))


def restore(installation: Installation, name: str, moment: Moment, actor: str, reason: str) -> Changed:
    """Let a removed user come back under the name, without keys, by an invite. Raises Refusal."""
    with installation.store.writing() as tx:
        user = tx.user(name)
        if user is None or user.state != "removed":
            raise Refusal("usage", text=f"{name} was not removed" if user is not None else f"no user {name}")
        tx.set_user_state(name, "active")
        tx.record("user-restored", moment.at, actor, user=name, reason=reason)
        token = steps.new_invite(tx, installation.keyring, name, moment.at, actor)
    return Changed(name, take_effect(installation, moment), token=token)
