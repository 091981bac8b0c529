"""A person's own SSH keys: add one, take one away. MUST: both need a code given for it, never a key alone.

A new key is limited as the key that adds it: its `from` and its program behind the gate come along, so that
nobody widens by it what the server's admin narrowed.
"""

from __future__ import annotations

from gitguard.account.public_key import PublicKey
from gitguard.action import users
from gitguard.action.follow import Followed, follow
from gitguard.action.judge_again import Whose
from gitguard.action.keys import key_row
from gitguard.action.site import Site
from gitguard.factor.changes import note_change
from gitguard.factor.person import Person
from gitguard.factor.proof import Lasting, Proof, prove, record
from gitguard.host import key_file
from gitguard.host.key_options import NewKey
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.store.contract import Writing
from gitguard.store.rows import Key

MOST_KEYS = 20  # of one user who adds them alone; the server's admin may add more


def check_allowed(site: Site) -> None:
    """Raises Refusal("forbidden") unless people here may change their own keys, by the settings of this moment."""
    if not site.desk.renewed().settings.account.allow_keys:
        text = "this server does not let people change their own keys; ask your server admin"
        raise Refusal("forbidden", text=text)


def add(site: Site, person: Person, key: PublicKey, typed: bytes, moment: Moment) -> tuple[Key, Followed]:
    """Add `key` to the person's own, for a code: (as it is stored, what followed). Raises Refusal.

    Whose key it is otherwise is nobody else's business, and that it is in use is said after the code.
    """
    foreign = any(key_file.carried(path, [key.blob]) for path in site.key_files)

    def change(tx: Writing, _: Proof) -> Key | Refusal:
        check_allowed(site)
        there = tx.key(key.fingerprint)
        if there is not None and there.user == person.user:
            raise Refusal("usage", text=f"{key.fingerprint} is a key of yours already")
        if there is not None or foreign:
            # Returned, not raised: the code is used up by the answer, which tells something of others.
            record(tx, "key-refused", person, moment, refused=key.fingerprint)
            text = f"{key.fingerprint} is in use on this server already; ask your server admin"
            return Refusal("usage", text=text)
        if len(tx.keys(person.user)) >= MOST_KEYS:
            text = f"you have {MOST_KEYS} keys; remove one first, or ask your server admin"
            raise Refusal("usage", text=text)
        row = _limited_like(tx.key(person.credential.text), key, person.user, moment)
        users.add_key(tx, row, moment.at, person.user)
        note_change(tx, "key-added", person, moment, row.fingerprint)
        return row

    added = prove(site.desk, person, typed, moment, change, Lasting.YES)
    if isinstance(added, Refusal):
        raise added
    return added, follow(site, moment, keys=True)


def _limited_like(present: Key | None, key: PublicKey, user: str, moment: Moment) -> Key:
    if present is None:
        raise Refusal("no-identity")
    if present.verify_required and not key.is_hardware:
        text = "the key that you use requires user verification at each login, and the new one is not a hardware key"
        raise Refusal("forbidden", text=text, hint="ask your server admin to add it")
    new = NewKey(key, present.limits, present.verify_required, present.behind)
    return key_row(user, new, moment.at)


def remove(
    site: Site, person: Person, fingerprint: str, typed: bytes, moment: Moment
) -> tuple[Key, Followed]:
    """Take one of the person's own keys away, with its sessions and transfers, for a code. Raises Refusal."""

    def change(tx: Writing, _: Proof) -> Key:
        check_allowed(site)
        check_own(tx.keys(person.user), fingerprint)
        note_change(tx, "key-removed", person, moment, fingerprint)
        return users.remove_key(tx, fingerprint, moment.at, person.user)

    gone = prove(site.desk, person, typed, moment, change, Lasting.YES)
    return gone, follow(site, moment, Whose(keys=frozenset({fingerprint})), keys=True)


def check_own(keys: list[Key], fingerprint: str) -> None:
    """Raises Refusal("usage") unless `fingerprint` is one of `keys`, and not the last of them."""
    if fingerprint not in [key.fingerprint for key in keys]:
        raise Refusal("usage", text=f"{fingerprint} is not one of your keys", list_with="keys")
    if len(keys) == 1:
        raise Refusal(
            "usage",
            text="that is your last key, and without one you cannot come back; add another first",
            hint="if it is stolen, ask your server admin",
        )
