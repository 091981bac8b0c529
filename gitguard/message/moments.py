"""How a time and a duration are written for people: `14:32 UTC+1 (47 minutes left)`."""

import time

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def clock(at: int, now: int) -> str:
    """`at` (Unix seconds) in the server's zone: `14:32 UTC+1`, with the date unless it is `now`'s."""
    local = time.localtime(at)
    offset = local.tm_gmtoff
    sign = "-" if offset < 0 else "+"
    hours, minutes = divmod(abs(offset) // 60, 60)
    zone = "UTC" + (f"{sign}{hours}" if offset else "") + (f":{minutes:02d}" if minutes else "")
    today = time.localtime(now)
    form = "%H:%M" if (local.tm_year, local.tm_yday) == (today.tm_year, today.tm_yday) else "%Y-%m-%d %H:%M"
    return f"{time.strftime(form, local)} {zone}"


def duration(seconds: int) -> str:
    """`seconds` in its largest fitting unit, whole: `47 minutes`, `1 hour`; two units up
    to a day: `2 hours 5 minutes`.
    """
    seconds = max(seconds, 0)
    for position, (size, name) in enumerate(_UNITS):
        if seconds >= size or size == 1:
            count, rest = divmod(seconds, size)
            text = f"{count} {name}" + ("" if count == 1 else "s")
            if size in (86400, 3600) and rest >= _UNITS[position + 1][0]:
                text += " " + duration(rest - rest % _UNITS[position + 1][0])
            return text
    raise AssertionError("unreachable: the last unit is one second")


def until(at: int, now: int) -> str:
    """`14:32 UTC+1 (47 minutes left)`."""
    return f"{clock(at, now)} ({duration(at - now)} left)"


def day(at: int, now: int) -> str:
    """`24 November`, with the year if it is another one than that of `now`."""
    local = time.localtime(at)
    year = "" if local.tm_year == time.localtime(now).tm_year else f" {local.tm_year}"
    return f"{local.tm_mday} {time.strftime('%B', local)}{year}"
