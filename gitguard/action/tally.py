"""The last thirty days in numbers: verifications, and decisions by reason. Counted
as the log grows, never again.

What was counted up to where stands together in one file, written in one step, so two who count
at once agree. `admin session sweep` counts each minute; whoever shows the numbers counts what is
new since, if that is not much.
"""

from __future__ import annotations

import json
import time
from collections import Counter

from msgspec import Struct, field

from gitguard.action.installation import Installation
from gitguard.answer.log_reader import LogEntry, lines_after, place_of, read_log, written
from gitguard.machine.files import replace
from gitguard.message.reasons import Refusal
from gitguard.session.methods import ADMIN
from gitguard.session.moment import Moment

FILE = "tally.json"  # in the state folder
DAYS = 30
DAY_SECONDS = 86400
MOST_BYTES = 4 << 20  # of the log, that a page counts by itself
MOST_RECORDS = 5_000  # of the trail
LATEST_MOMENT = 1 << 40  # further on no calendar goes
_BY_ADMIN = f'"method":"{ADMIN}"'  # in a record's text, which is JSON without blanks


class Day(Struct):
    """One day in the server's zone, `2026-11-25`. `refused`: by reason."""

    date: str
    verified: int = 0
    allowed: int = 0
    refused: dict[str, int] = field(default_factory=dict)


class Tally(Struct, frozen=True):
    """The last `DAYS` days, the oldest first. `behind`: more is not counted yet than a page counts; `fault`:
    why nothing new could be, or "".
    """

    days: tuple[Day, ...]
    behind: bool
    fault: str = ""


def _date(at: int) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))


def tally(installation: Installation, moment: Moment, most: int | None = MOST_BYTES) -> Tally:
    """The numbers at `moment`, what is new counted; at most `most` bytes of the log, None for all of it."""
    counted = _read(installation)
    before, behind, fault = _written(counted), False, ""
    try:
        behind = not (
            _count_log(installation, moment, counted, most) and _count_trail(installation, counted, most)
        )
        first = _date(moment.at - (DAYS - 1) * DAY_SECONDS)
        counted.days = {date: day for date, day in counted.days.items() if date >= first}
        if (now := _written(counted)) != before:
            replace(f"{installation.settings.paths.state}/{FILE}", now, 0o600)
    except Refusal as refusal:
        fault = refusal.detail or refusal.reason  # what was counted before is shown
    dates = [_date(moment.at - ago * DAY_SECONDS) for ago in range(DAYS - 1, -1, -1)]
    return Tally(tuple(counted.days.get(date, Day(date)) for date in dates), behind, fault)


class _Counted(Struct):
    """What was counted, and up to where: `inode` and `offset` in the log, record `seq` of the trail."""

    inode: int = 0
    offset: int = 0
    seq: int = 0
    days: dict[str, Day] = field(default_factory=dict)

    def day(self, at: object) -> Day:
        """The day of the moment `at`, whatever stands there."""
        date = _date(at if isinstance(at, int) and 0 <= at < LATEST_MOMENT else 0)
        return self.days.setdefault(date, Day(date))


def _read(installation: Installation) -> _Counted:
    try:
        with open(f"{installation.settings.paths.state}/{FILE}", "rb") as file:
            held = json.load(file)
        days = {date: Day(date, int(v), int(a), Counter(r)) for date, (v, a, r) in held["days"].items()}
        return _Counted(int(held["inode"]), int(held["offset"]), int(held["seq"]), days)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _Counted()  # missing, or of no use: counted again


def _written(counted: _Counted) -> bytes:
    days = {date: (day.verified, day.allowed, day.refused) for date, day in counted.days.items()}
    held = {"inode": counted.inode, "offset": counted.offset, "seq": counted.seq, "days": days}
    return json.dumps(held).encode()


def _count_log(installation: Installation, moment: Moment, counted: _Counted, most: int | None) -> bool:
    """Count what the log has grown by; False if that is more than `most`, and nothing of it was counted."""
    path = str(installation.settings.paths.access_log)
    inode, size = place_of(path)
    since = moment.at - DAYS * DAY_SECONDS
    if not counted.inode:
        if most is not None and written(path, since) > most:
            return False
        for entry in read_log(path, since, live=False):
            _count(counted, entry)
        counted.inode = inode
    elif most is not None and (size - counted.offset if inode == counted.inode else size) > most:
        return False
    for entry, number, offset in lines_after(path, counted.inode, counted.offset):
        counted.inode, counted.offset = number, offset
        _count(counted, entry)
    return True


def _count(counted: _Counted, entry: LogEntry | None) -> None:
    if entry is None or entry.get("verdict") not in ("allowed", "refused"):
        return
    day = counted.day(entry.get("at"))
    if entry.get("verdict") == "allowed":
        day.allowed += 1
    else:
        reason = str(entry.get("reason", "?"))
        day.refused[reason] = day.refused.get(reason, 0) + 1


def _count_trail(installation: Installation, counted: _Counted, most: int | None) -> bool:
    """Count the trail's new records; False if they are more than a page counts, and `most` is given."""
    with installation.store.reading() as tx:
        newest = tx.newest_audit(None, 1)
        last = newest[0].seq if newest else 0
        if last < counted.seq:
            counted.seq = 0  # a restored store: its records have other numbers
            for day in counted.days.values():
                day.verified = 0
        if most is not None and last - counted.seq > MOST_RECORDS:
            return False
        for record in tx.audit(counted.seq):
            if record.is_about("session-opened") and _BY_ADMIN not in record.text:
                counted.day(record.at).verified += 1
            elif record.is_about("request-approved"):
                counted.day(record.at).verified -= 1  # its session and the browser's own are one verification
    counted.seq = last
    return True
