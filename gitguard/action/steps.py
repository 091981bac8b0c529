"""The steps that several actions take inside their transaction: with people, invites and keys.

Each takes the open transaction and writes its audit record. The actions are in users.py, keys.py,
importing.py and apply.py; what follows outside the store (key file, running connections) is theirs.
"""

from __future__ import annotations

from gitguard.factor import invite
from gitguard.factor.keyring import Keyring
from gitguard.factor.recovery import drop_factors
from gitguard.identity.names import is_user_name
from gitguard.message.reasons import Refusal, printable
from gitguard.store.contract import Reading, Writing
from gitguard.store.rows import Key, User


def present(tx: Reading, name: str) -> User:
    """The user, who is there and not removed. Raises Refusal("usage") in words."""
    user = tx.user(name) if is_user_name(name) else None
    if user is None:
        raise Refusal("usage", text=f"no user {printable(name, 64)}")
    if user.state == "removed":
        raise Refusal(
            "usage",
            text=f"{name} was removed; the name stays reserved",
            hint=f"if they are back: gitguard admin user restore {name}",
        )
    return user


def check_present(tx: Reading, name: str) -> None:
    """Raises Refusal("usage") in words unless the user is there and not removed."""
    present(tx, name)


def name_fault(name: str) -> str:
    """Why `name` cannot be a user's name, "" if it can."""
    if is_user_name(name):
        return ""
    return f"{printable(name, 64)!r} cannot be a user's name: small letters, digits, . _ -, at most 64, the first a letter or digit"


def add_user(tx: Writing, name: str, at: int, actor: str) -> None:
    """A new user. Raises Refusal("usage") for a name that cannot be, is taken, or is reserved."""
    if fault := name_fault(name):
        raise Refusal("usage", text=fault)
    there = tx.user(name)
    if there is not None:
        if there.state == "removed":
            raise Refusal(
                "usage",
                text=f"the user {name} was removed and stays reserved",
                hint=f"if it is the same person: gitguard admin user restore {name}",
            )
        raise Refusal("usage", text=f"the user {name} is there already")
    tx.add_user(name, at)
    tx.record("user-added", at, actor, user=name)


def new_invite(tx: Writing, keyring: Keyring, name: str, at: int, actor: str) -> str:
    """A fresh invite for a user who is there; the one before it no longer works."""
    present(tx, name)
    token = invite.issue(tx, keyring, name, at)
    tx.record("invite-issued", at, actor, user=name)
    return token


def set_user_state(tx: Writing, name: str, state: str, at: int, actor: str, reason: str = "") -> bool:
    """Suspend or resume; False if it was so already. Suspending ends all sessions."""
    if present(tx, name).state == state:
        return False
    tx.set_user_state(name, state)
    if state == "suspended":
        tx.end_sessions(name)
        tx.end_browsers(name)
    tx.record(
        "user-suspended" if state == "suspended" else "user-resumed", at, actor, user=name, reason=reason
    )
    return True


def reset_factor(tx: Writing, keyring: Keyring, name: str, at: int, actor: str, reason: str = "") -> str:
    """Take the second factor away, end all sessions, and issue the invite that lets the user come back."""
    present(tx, name)
    had = drop_factors(tx, name)
    ended = tx.end_sessions(name)
    tx.end_browsers(name)
    tx.forget_networks(name)  # one of them may be the thief's
    _forget_failures(tx, name)
    tx.record("factor-reset", at, actor, user=name, had_factor=had, sessions_ended=len(ended), reason=reason)
    return new_invite(tx, keyring, name, at, actor)


def forget_guessing(tx: Writing, name: str, at: int, actor: str, reason: str = "") -> int:
    """Forget the user's failures; how many there were."""
    present(tx, name)
    count = _forget_failures(tx, name)
    tx.record("user-unthrottled", at, actor, user=name, failures=count, reason=reason)
    return count


def _forget_failures(tx: Writing, name: str) -> int:
    tx.forget_guesses(name)
    return tx.forget_failures(name)


def remove_user(tx: Writing, name: str, at: int, actor: str, reason: str = "") -> list[Key]:
    """Remove a user with factor, sessions, keys and invites; the name stays reserved. The keys that went."""
    present(tx, name)
    keys = tx.keys(name)
    drop_factors(tx, name)
    tx.drop_invite(name)
    tx.end_browsers(name)
    tx.remove_credentials(name)
    tx.end_sessions(name)
    _forget_failures(tx, name)
    for key in keys:
        tx.remove_key(key.fingerprint)
    for repository in tx.administered_by(name):
        tx.remove_repository_admin(repository, name)
    tx.set_always(name, on=False)
    tx.set_user_state(name, "removed")
    tx.record("user-removed", at, actor, user=name, keys=[key.fingerprint for key in keys], reason=reason)
    return keys


def add_key(tx: Writing, key: Key, at: int, actor: str) -> bool:
    """Give a user a key; False if it is theirs already. Raises Refusal("usage") if it is another's."""
    present(tx, key.user)
    there = tx.key(key.fingerprint)
    if there is not None:
        if there.user == key.user:
            return False
        raise Refusal(
            "usage",
            text=f"{key.fingerprint} belongs to {there.user} already; a key can belong to one user only",
        )
    tx.add_key(key)
    tx.record(
        "key-added", at, actor, user=key.user, key=key.fingerprint, type=key.type,
        limits=key.limits, behind=list(key.behind) or None,
    )  # fmt: skip
    return True


def end_signed_in_by(tx: Writing, user: str, origin: str, spared: str = "") -> int:
    """Sign out the browsers that the credential `origin` of `user` signed in, but `spared`;
    void the links it asked for.

    How many browsers and links there were.
    """
    count = tx.forget_links(0, user, origin)
    for browser in tx.browsers(user):
        if browser.origin == origin and browser.credential != spared:
            count += tx.end_browsers(user, browser.credential)
    return count


def remove_key(tx: Writing, fingerprint: str, at: int, actor: str, reason: str = "") -> Key:
    """Take a key away and end its sessions. Raises Refusal("usage") if nobody has it."""
    key = tx.key(fingerprint)
    if key is None:
        raise Refusal("usage", text=f"no key {printable(fingerprint, 60)}")
    tx.end_sessions(key.user, fingerprint)
    end_signed_in_by(tx, key.user, fingerprint)
    tx.remove_key(fingerprint)
    tx.record("key-removed", at, actor, user=key.user, key=fingerprint, reason=reason)
    return key
