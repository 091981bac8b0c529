"""Putting a backup in the store's place, so that nothing that was used since counts again."""

from __future__ import annotations

import glob
import os
import shutil
from dataclasses import dataclass

from gitguard.action.follow import Followed, follow
from gitguard.action.judge_again import Whose
from gitguard.action.site import open_site, settings_of
from gitguard.factor.totp import WINDOW
from gitguard.machine.files import locked, replace
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.store.chain import check
from gitguard.store.sqlite import SqliteStore, audit_head, copy_file, create, is_no_store


@dataclass(frozen=True, slots=True)
class Restored:
    """How many sessions ended, recovery codes were voided (or kept) and invites voided, and what followed.

    `before`: where the store that was there is kept, "" if there was none.
    """

    sessions: int
    recovery_codes: int
    invites: int
    followed: Followed
    before: str


def restore(
    config: str, data: bytes, shown: str, moment: Moment, actor: str, *, keep_recovery_codes: bool
) -> Restored:
    """Put the store in `data` in place. Ends all sessions, refuses codes up to now. Raises Refusal, and nothing changed.

    It takes the configuration's path and not an open installation: the store that is there may be the fault.
    """
    settings = settings_of(config)
    live = settings.store.url.path
    head = audit_head(settings.paths.access_log)
    candidate = f"{os.path.dirname(live)}/.restore-{os.getpid()}"
    for stale in glob.glob(f"{glob.escape(os.path.dirname(live))}/.restore-*"):
        os.unlink(stale)  # of a restore that was interrupted
    try:
        replace(candidate, data, 0o600)
        _check(candidate, shown)
        details = {
            "file": os.path.basename(shown),
            "recovery_codes_kept": keep_recovery_codes,
            "head_before": _text_of(head),
        }
        counts = _make_safe(candidate, moment, actor, details, keep_recovery_codes=keep_recovery_codes)
        before = ""
        with locked(settings.paths.lock):
            if os.path.exists(live):
                before = f"{live}.before-restore"
                shutil.copyfile(live, before)
                os.chmod(before, 0o600)
            copy_file(candidate, live)
    finally:
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(candidate + suffix):
                os.unlink(candidate + suffix)
    SqliteStore(live, head).renew_head()
    site = open_site(config, moment, actor)
    return Restored(*counts, follow(site, moment, Whose(everyone=True)), before)


def _text_of(head: str) -> str:
    """The audit head outside the store, as it stands, for the record of the restore."""
    try:
        with open(head, encoding="ascii", errors="replace") as file:
            return file.read(200).strip()
    except OSError:
        return "none"


def _check(candidate: str, shown: str) -> None:
    """A whole store with a whole chain, brought up to date. Raises Refusal for an empty, foreign or damaged file."""
    if is_no_store(candidate):
        raise Refusal("usage", text=f"{shown} is not a store of gitguard's; nothing was changed")
    create(candidate)
    store = SqliteStore(candidate, candidate + ".head")
    try:
        damage = store.integrity()
        found: list[str] = []
        if not damage:
            with store.reading() as tx:
                found = check(tx.audit(), None, begins=tx.archived(), outside=False).faults
    finally:
        store.close()
    if damage or found:
        raise Refusal("usage", text=f"{shown} is damaged ({damage or found[0]}); nothing was changed")


def _make_safe(
    candidate: str, moment: Moment, actor: str, details: dict[str, object], *, keep_recovery_codes: bool
) -> tuple[int, int, int]:
    """What was used since the backup must not be accepted again. (sessions, recovery codes, invites)."""
    old = SqliteStore(candidate, candidate + ".head")
    try:
        with old.writing() as tx:
            ended = sum(len(tx.end_sessions(user.name)) for user in tx.users())
            for factor in tx.factors():
                tx.advance_step(factor.user, moment.at // factor.period_seconds + WINDOW)
            codes = tx.recovery_codes_issued() if keep_recovery_codes else tx.void_recovery_codes()
            invites = tx.void_invites()
            tx.end_all_browsers()
            tx.record("store-restored", moment.at, actor, **details)
    finally:
        old.close()
        if os.path.exists(candidate + ".head"):
            os.unlink(candidate + ".head")
    return ended, codes, invites
