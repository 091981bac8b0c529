"""The clock here beside the database's, by which other servers judge as well."""

from __future__ import annotations

FURTHEST_SECONDS = 5
HINT = "tell your server admin: one of the two clocks is wrong (timedatectl)"


def apart(ahead_seconds: int) -> str:
    """What a person is told where this machine's clock is too many seconds ahead of the database's (or
    behind it, negative): no code and no session's age is judged then. "" where it goes with it.
    """
    if abs(ahead_seconds) <= FURTHEST_SECONDS:
        return ""
    way = "ahead of" if ahead_seconds > 0 else "behind"
    return f"this server's clock is {abs(ahead_seconds)} s {way} the database's, so no verification can be judged"
