"""A store that is an earlier one than it was: nothing that may have been used since counts again."""

from __future__ import annotations

import contextlib

from msgspec import Struct

from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import open_installation, settings_of
from gitguard.action.revocation import Selection
from gitguard.factor.totp import WINDOW
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.store.contract import Writing
from gitguard.store.opening import audit_head, open_lost_store


def spend_the_past(tx: Writing, moment: Moment, *, recovery_codes_kept: bool) -> tuple[int, int, int]:
    """End every session, sign everyone out, refuse every code up to now, void recovery codes and invites.
    How many (sessions, recovery codes, invites) that were.
    """
    ended = sum(len(numbers) for _, numbers in tx.end_all_sessions())
    for factor in tx.totp_factors():
        tx.advance_step(factor.user, moment.at // factor.period_seconds + WINDOW)
    codes = tx.recovery_codes_issued() if recovery_codes_kept else tx.void_recovery_codes()
    invites = tx.void_invites()
    tx.end_all_browsers()
    return ended, codes, invites


class Accepted(Struct, frozen=True):
    """What `store-went-back` had said; how many sessions ended, recovery codes were voided (or kept) and
    invites voided; what followed.
    """

    lost: str
    sessions: int
    recovery_codes: int
    invites: int
    effects: Effects


def accept_loss(
    config: str, moment: Moment, actor: str, reason: str, *, recovery_codes_kept: bool
) -> Accepted:
    """Go on with a database that has lost what was recorded, as after a restore. Raises Refusal("usage")
    where nothing was lost.
    """
    settings = settings_of(config)
    if settings.store.url.is_file:
        text = "a store in a file is put back by: gitguard admin store restore FILE"
        raise Refusal("usage", text=text)
    head = audit_head(settings.paths.access_log)
    store = open_lost_store(settings.store.url, head, settings.store.password_file)
    with contextlib.closing(store):
        lost = store.lost()
        if not lost:
            raise Refusal(
                "usage", text=f"{store.place} has lost nothing that this server knows of; nothing was changed"
            )
        with store.opening_again() as tx:
            counts = spend_the_past(tx, moment, recovery_codes_kept=recovery_codes_kept)
            tx.record("store-loss-accepted", moment.at, actor, reason=reason, lost=lost)
    installation = open_installation(config, moment, actor)
    with contextlib.closing(installation.store):
        effects = take_effect(installation, moment, Selection(everyone=True))
    return Accepted(lost, *counts, effects)
