"""When the next attempt may be made. Pure: failures and limits in, a moment out.

A budget is per user and key, and per user over all keys; TOTP, recovery codes and invites share it.
"""

from __future__ import annotations

from gitguard.config.schema import Limit, Throttle
from gitguard.store.contract import Failure

CLEARED_SECONDS = 300  # a success clears windows up to this: the five-minute count alone


def longest_window(limits: Throttle) -> int:
    """Seconds after which a failure no longer counts anywhere."""
    return max(limit.seconds for limit in (*limits.per_key, *limits.per_user))


def retry_at(failures: list[Failure], key: str, now: int, limits: Throttle) -> int | None:
    """When `key` may try again (Unix seconds), or None if it may now.

    `failures` are all of the user's, oldest first. A failure in the future (the clock was set back)
    counts. Only a per-key window of five minutes or less forgets what a success cleared: or a victim's daily work
    would refill a thief's budget.
    """
    blocked = [
        _blocked_until(
            [f.at for f in failures if f.key == key and not (f.cleared and limit.seconds <= CLEARED_SECONDS)],
            now,
            limit,
        )
        for limit in limits.per_key
    ]
    blocked += [_blocked_until([f.at for f in failures], now, limit) for limit in limits.per_user]
    latest = max(blocked)
    return latest if latest > now else None


def _blocked_until(times: list[int], now: int, limit: Limit) -> int:
    counted = [at for at in times if at > now - limit.seconds]
    if len(counted) < limit.failures:
        return 0
    # The window opens when the oldest of the newest `failures` leaves it.
    return counted[-limit.failures] + limit.seconds
