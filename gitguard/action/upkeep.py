"""What the admin does to the installation itself: a new cipher key, a corrected clock, a mended trail."""

from __future__ import annotations

import os
from enum import Enum

from msgspec import Struct

from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import Installation
from gitguard.factor import keyring
from gitguard.machine.files import locked
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.store.chain import ACCEPTED, check
from gitguard.store.contract import Store
from gitguard.store.gate_opening import server_name


class RotationStep(Enum):
    """How far a rotation is: on a server alone it is `DONE` at once."""

    PREPARED = "prepared"
    USED = "used"
    DONE = "done"


class Rotated(Struct, frozen=True):
    """`cipher_key`: the new key's name; `secrets`: how many were encrypted again."""

    cipher_key: str
    secrets: int
    step: RotationStep = RotationStep.DONE


def rotate_key(installation: Installation, moment: Moment, actor: str) -> Rotated:
    """Make a new encryption key, re-encrypt every secret under it, drop the old ones. Raises Refusal.

    A crash half way leaves both keys, which is in order: the old ones go only when nothing rests under them.
    Where several servers share the store that takes three calls, with the key file copied to all in between:
    each has a key that decrypts before anyone encrypts by it.
    """
    path = installation.settings.paths.key_ring
    with locked(installation.lock):
        if not installation.settings.store.url.is_file:
            return _rotate_for_all(installation, path, moment, actor)
        keyring.add_key(path)
        done = _encrypt_again(installation, path, moment, actor)
        keyring.drop_old_keys(path)
    return Rotated(*done)


def _rotate_for_all(installation: Installation, path: str, moment: Moment, actor: str) -> Rotated:
    others = installation.store.keys_of_servers()
    others.pop(server_name(installation.settings.host.port), None)
    if prepared := keyring.prepared_key(path):
        _check_everywhere(path, {name: prepared in keys for name, keys in others.items()})
        keyring.use_prepared_key(path)
        return Rotated(*_encrypt_again(installation, path, moment, actor), RotationStep.USED)
    names = keyring.read(path).names
    if behind := sorted(name for name, keys in others.items() if set(keys) - set(names)):
        text = f"{', '.join(behind)} has keys that {path} has not: a rotation is under way there; nothing was changed"
        raise Refusal("usage", text=text, hint=f"continue there, or copy its {path} here first")
    if len(names) > 1:
        _check_everywhere(path, {name: keys[-1:] == names[-1:] for name, keys in others.items()})
        done = _encrypt_again(installation, path, moment, actor)
        keyring.drop_old_keys(path)
        return Rotated(*done)
    _check_everywhere(path, {name: keys == names for name, keys in others.items()})
    return Rotated(keyring.prepare_key(path), 0, RotationStep.PREPARED)


def _check_everywhere(path: str, is_there: dict[str, bool]) -> None:
    """Raises Refusal("usage") that names the servers which do not have the key file as it is here."""
    if missing := sorted(name for name, found in is_there.items() if not found):
        text = (
            f"{', '.join(missing)} has another {os.path.basename(path)} than this server; nothing was changed"
        )
        hint = f"copy {path} there; within a minute each server says what it has; then run this again"
        raise Refusal("usage", text=text, hint=hint)


def _encrypt_again(installation: Installation, path: str, moment: Moment, actor: str) -> tuple[str, int]:
    """(the key that encrypts, how many secrets rest under it now)."""
    ring = keyring.read(path)
    with installation.store.writing() as tx:
        factors = tx.totp_factors()
        for factor in factors:
            name, sealed = ring.encrypt(factor.user, factor.enrolment, ring.decrypt(factor))
            tx.replace_secret(factor.user, sealed, name)
        tx.record("cipher-key-rotated", moment.at, actor, cipher_key=ring.newest, secrets=len(factors))
    return ring.newest, len(factors)


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
