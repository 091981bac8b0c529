"""When the next attempt may be made. Pure: failures and limits in, a moment out.

A budget is per user and credential, and per user over all of them; TOTP, recovery codes and invites share it.
"""

from __future__ import annotations

from gitguard.config.schema import Throttle
from gitguard.config.types import Limit
from gitguard.store.rows import Failure

CLEARED_SECONDS = 300  # a success clears windows up to this: the five-minute count alone
LONG_SECONDS = 86400  # windows from here on shrink under long guessing
HALVED_EACH = 100  # unanswered failures after which a long window's budget is halved, again and again
LEAST = 5  # failures that a long window always leaves


def longest_window(limits: Throttle) -> int:
    """Seconds after which a failure no longer counts anywhere."""
    return max(limit.seconds for limit in (*limits.per_key, *limits.per_user))


def shrunk(limit: Limit, unanswered: int) -> Limit:
    """`limit` as it stands after `unanswered` failures that no success from their network has followed.

    A day's budget is halved after each hundred, down to five: guessing on for a year then costs about 2 100
    tries instead of 18 000 (docs/threat-model.md has the arithmetic).
    """
    if limit.seconds < LONG_SECONDS:
        return limit
    halved = limit.failures >> min(unanswered // HALVED_EACH, 63)
    return Limit(max(halved, min(LEAST, limit.failures)), limit.seconds)


def retry_at(
    failures: list[Failure], credential: str, now: int, limits: Throttle, unanswered: int = 0
) -> int | None:
    """When `credential` may try again (Unix seconds), or None if it may now.

    `failures` are all of the user's, oldest first. A failure in the future (the clock was set back) counts.
    Only a per-key window of five minutes or less forgets what a success cleared; otherwise a victim's daily
    work would refill a thief's budget.
    """
    blocked = [
        _blocked_until(
            [
                f.at
                for f in failures
                if f.credential == credential and not (f.cleared and limit.seconds <= CLEARED_SECONDS)
            ],
            now,
            shrunk(limit, unanswered),
        )
        for limit in limits.per_key
    ]
    times = [f.at for f in failures]
    blocked += [_blocked_until(times, now, shrunk(limit, unanswered)) for limit in limits.per_user]
    latest = max(blocked)
    return latest if latest > now else None


def _blocked_until(times: list[int], now: int, limit: Limit) -> int:
    counted = [at for at in times if at > now - limit.seconds]
    if len(counted) < limit.failures:
        return 0
    # The window opens when the oldest of the newest `failures` leaves it.
    return counted[-limit.failures] + limit.seconds
