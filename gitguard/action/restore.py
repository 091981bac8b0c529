"""Putting a backup in the store's place, so that nothing that was used since counts again."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from typing import BinaryIO

from msgspec import Struct

from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import open_installation, settings_of
from gitguard.action.past import spend_the_past
from gitguard.action.revocation import Selection
from gitguard.factor import keyring
from gitguard.factor.recovery import drop_factors
from gitguard.machine.files import locked
from gitguard.message.reasons import Refusal, machine_fault
from gitguard.session.moment import Moment
from gitguard.store.chain import check
from gitguard.store.opening import audit_head, create, is_no_store, open_store, replace_store, url_of


class Restored(Struct, frozen=True):
    """How many sessions ended, recovery codes were invalidated (or kept) and invites
    invalidated, and what followed.

    `factors_dropped`: second factors that the key file does not decrypt; `before`: where the store that was
    there is kept, "" if there was none.
    """

    sessions: int
    recovery_codes: int
    invites: int
    factors_dropped: int
    effects: Effects
    before: str


class Keeping(Struct, frozen=True):
    """What is kept that is not kept by itself: `recovery_codes`. `only_what_decrypts`: the
    key file of the rest is lost.
    """

    recovery_codes: bool = False
    only_what_decrypts: bool = False


def restore(
    config: str, source: BinaryIO, shown: str, moment: Moment, actor: str, keeping: Keeping = Keeping()
) -> Restored:
    """Put the store that `source` holds in place. Ends all sessions, refuses codes up to now. Raises
    Refusal, and nothing changed.

    It takes the configuration's path and not an open installation: the store that is there may be the fault.
    """
    settings = settings_of(config)
    url, password_file = settings.store.url, settings.store.password_file
    folder = os.path.dirname(url.path) if url.is_file else str(settings.paths.state)
    head = audit_head(settings.paths.access_log)
    candidate = f"{folder}/.restore-{os.getpid()}"
    for stale in glob.glob(f"{glob.escape(folder)}/.restore-*"):
        os.unlink(stale)  # of a restore that was interrupted
    try:
        _copied(source, candidate)
        _check(candidate, shown)
        dropped = _check_secrets(candidate, str(settings.paths.key_ring), shown, keeping)
        details = {
            "file": os.path.basename(shown),
            "recovery_codes_kept": keeping.recovery_codes,
            "factors_dropped": len(dropped) or None,
            "head_before": _text_of(head),
        }
        counts = _make_safe(candidate, moment, actor, details, dropped, keeping)
        with locked(settings.paths.lock):
            kept = f"{folder}/store.before-restore"
            before = replace_store(url, url_of(candidate), head, password_file, kept)
    finally:
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(candidate + suffix):
                os.unlink(candidate + suffix)
    with contextlib.closing(open_store(url, head, password_file)) as store:
        store.renew_head()
    installation = open_installation(config, moment, actor)
    with contextlib.closing(installation.store):
        effects = take_effect(installation, moment, Selection(everyone=True))
    return Restored(*counts, len(dropped), effects, before)


def _copied(source: BinaryIO, candidate: str) -> None:
    """What is to be restored, beside the store, on the same disk. Raises Refusal for a full one."""
    try:
        handle = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(handle)
    except OSError as error:
        raise machine_fault(f"cannot copy it to {candidate}", error) from None


def _check_secrets(candidate: str, key_file: str, shown: str, keeping: Keeping) -> list[str]:
    """Whose second factor the key file does not decrypt. Raises Refusal where that is
    someone, unless the rest is lost.
    """
    store = open_store(url_of(candidate), candidate + ".head")
    try:
        with store.reading() as tx:
            factors = tx.totp_factors()
    finally:
        store.close()
    if not factors:
        return []
    try:
        ring = keyring.read(key_file)
    except Refusal as refusal:
        fault = refusal.detail or refusal.text
        raise Refusal(
            "usage", text=f"without its key file {shown} opens nothing, and nothing was changed: {fault}",
            hint=f"put the key file that belongs to it at {key_file} first (if it is lost: gitguard admin init makes a new one)",
        ) from None  # fmt: skip
    broken = [factor.user for factor in factors if not ring.can_decrypt(factor)]
    if broken and not keeping.only_what_decrypts:
        raise Refusal(
            "usage",
            text=f"{key_file} is not the key file of {shown}: it decrypts {len(factors) - len(broken)} of {len(factors)} secrets;"
            " nothing was changed",
            hint="put the one that belongs to it there first; if it is lost: --key-file-lost, and those people set up anew",
        )
    return broken


def _text_of(head: str) -> str:
    """The audit head outside the store, as it stands, for the record of the restore."""
    try:
        with open(head, encoding="ascii", errors="replace") as file:
            return file.read(200).strip()
    except OSError:
        return "none"


def _check(candidate: str, shown: str) -> None:
    """A whole store and chain, brought up to date. Raises Refusal for an empty, foreign or damaged file."""
    if is_no_store(url_of(candidate)):
        raise Refusal("usage", text=f"{shown} is not a store of gitguard's; nothing was changed")
    create(url_of(candidate))
    store = open_store(url_of(candidate), candidate + ".head")
    try:
        damage = store.integrity()
        found: list[str] = []
        if not damage:
            with store.reading() as tx:
                found = check(tx.audit(), None, begins=tx.archived(), outside=False).open_faults
    finally:
        store.close()
    if damage or found:
        raise Refusal("usage", text=f"{shown} is damaged ({damage or found[0]}); nothing was changed")


def _make_safe(
    candidate: str,
    moment: Moment,
    actor: str,
    details: dict[str, object],
    dropped: list[str],
    keeping: Keeping,
) -> tuple[int, int, int]:
    """What was used since the backup must not be accepted again. (sessions, recovery codes, invites)."""
    old = open_store(url_of(candidate), candidate + ".head")
    try:
        with old.writing() as tx:
            for user in dropped:
                drop_factors(tx, user)
            counts = spend_the_past(tx, moment, recovery_codes_kept=keeping.recovery_codes)
            tx.record("store-restored", moment.at, actor, **details)
    finally:
        old.close()
        if os.path.exists(candidate + ".head"):
            os.unlink(candidate + ".head")
    return counts
