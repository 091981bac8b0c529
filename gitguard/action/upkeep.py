"""What the admin does to the installation itself: a new cipher key, a corrected clock, a mended trail."""

from __future__ import annotations

from msgspec import Struct

from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import Installation
from gitguard.factor import keyring
from gitguard.machine.files import locked
from gitguard.session.moment import Moment
from gitguard.store.chain import ACCEPTED, check
from gitguard.store.contract import Store


class Rotated(Struct, frozen=True):
    """`cipher_key`: the new key's name; `secrets`: how many were encrypted again."""

    cipher_key: str
    secrets: int


def rotate_key(installation: Installation, moment: Moment, actor: str) -> Rotated:
    """Make a new encryption key, re-encrypt every secret under it, drop the old ones. Raises Refusal.

    A crash half way leaves both keys, which is in order: the old ones go only when nothing rests under them.
    """
    path = installation.settings.paths.key_ring
    with locked(installation.lock):
        keyring.add_key(path)
        ring = keyring.read(path)
        with installation.store.writing() as tx:
            factors = tx.totp_factors()
            for factor in factors:
                name, sealed = ring.encrypt(factor.user, factor.enrolment, ring.decrypt(factor))
                tx.replace_secret(factor.user, sealed, name)
            tx.record("cipher-key-rotated", moment.at, actor, cipher_key=ring.newest, secrets=len(factors))
        keyring.drop_old_keys(path)
    return Rotated(ring.newest, len(factors))


def accept_clock(installation: Installation, moment: Moment, actor: str, reason: str) -> tuple[int, Effects]:
    """Go on by `moment` after the clock was wrong: (what the newest record said,
    what followed). Raises Refusal.

    Sessions that the wrong clock opened in the future end, and so do the connections that they let in.
    """
    with installation.store.writing() as tx:
        before = tx.latest_at()
        tx.record("clock-accepted", moment.at, actor, before=before, reason=reason)
        tx.accept_clock(moment.at)
    return before, take_effect(installation, moment)


def accept_chain(store: Store, moment: Moment, actor: str, reason: str) -> int:
    """Record the trail's faults and renew the head; how many, 0 for a whole chain. Raises Refusal."""
    try:
        head = store.head.read()
    except (OSError, ValueError):
        head = None
    with store.reading() as tx:
        checked = check(tx.audit(), head, begins=tx.archived())
    if not checked.open_faults:
        return 0
    found = checked.all_faults
    with store.writing() as tx:
        tx.record(ACCEPTED, moment.at, actor, reason=reason, faults=found)
    store.renew_head()
    return len(found)
