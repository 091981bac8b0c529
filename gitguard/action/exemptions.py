"""Exemptions, watched for anyone who answers for them: one that is used for the first
time, and one that soon ends.

The gate writes no store, so a use is read from the access log: what was added since the last look.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

from gitguard.action.installation import Installation
from gitguard.action.notices import tell, tell_again
from gitguard.answer.log_reader import lines_after, place_of
from gitguard.config.schema import Settings
from gitguard.host import notices
from gitguard.machine.files import replace
from gitguard.message.moments import day
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment

SOON_SECONDS = 7 * 86400
MOST_BYTES = 8 << 20  # of the log, in one look; the rest is for the next
SEEN = "exemptions.seen"  # below the state folder


def look(installation: Installation, moment: Moment) -> None:
    """Tell of what is new since the last look, and retry notices that failed. Raises nothing."""
    settings = installation.settings
    if not settings.notify.command:
        return
    with contextlib.suppress(OSError):
        notices.work(str(settings.paths.state), tuple(settings.notify.command))
    tell_again(settings, moment.at)
    rules = {rule.name for rule in settings.rules if rule.exempt}
    if not rules:
        return
    path = f"{settings.paths.state}/{SEEN}"
    place, known = _before(path)
    told = []
    with contextlib.suppress(OSError, Refusal):  # a log that cannot be read is doctor's to say
        if not os.path.exists(settings.paths.access_log):
            place = [-1, 0]  # what comes into it from now on is all news
        place, entries = _added(str(settings.paths.access_log), place)
        for entry in entries:
            rule, user = str(entry.get("because", "")).removeprefix("rule:"), str(entry.get("user", ""))
            if entry.get("reason") == "exempt" and rule in rules and f"{rule} {user}" not in known:
                known.add(f"{rule} {user}")
                told.append(_used(entry, rule, user))
    for mark, notice in _ending(settings, moment):
        if mark not in known:
            known.add(mark)
            told.append(notice)
    data = json.dumps({"place": place, "known": sorted(known)}).encode()
    try:
        replace(path, data, 0o600)
    except Refusal:
        return  # told when it can be noted: better late than every minute
    tell(settings, told)


def _before(path: str) -> tuple[list[int], set[str]]:
    """(inode and offset where the last look ended, what was told by then)."""
    try:
        with open(path, encoding="utf-8") as file:
            seen = json.load(file)
        return [int(number) for number in seen["place"]], {str(mark) for mark in seen["known"]}
    except (OSError, ValueError, KeyError, TypeError):
        return [0, 0], set()


def _added(path: str, place: list[int]) -> tuple[list[int], list[dict[str, object]]]:
    """The log's whole lines after `place`, and where they end; of one that was rotated,
    what was not read of it too.

    The first look of all begins at the end: what was used before anyone wanted to hear of it is no news.
    """
    if not place[0]:
        return list(place_of(path)), []
    at, read = place, 0
    found: list[dict[str, object]] = []
    for entry, inode, offset in lines_after(path, *place):
        read += offset - at[1] if inode == at[0] else offset
        at = [inode, offset]
        if entry is not None:
            found.append(entry)
        if read >= MOST_BYTES:
            break
    return at, found


def _used(entry: dict[str, object], rule: str, user: str) -> dict[str, object]:
    kept = {name: entry.get(name) for name in ("at", "user", "key", "address", "repository", "operation")}
    what = f"{entry.get('operation')} {entry.get('repository')} from {entry.get('address')}"
    return {
        "event": "exemption-used",
        **kept,
        "rule": rule,
        "text": f"{user} used the exemption {rule} for the first time: {what}",
    }


def _ending(settings: Settings, moment: Moment) -> Iterator[tuple[str, dict[str, object]]]:
    for rule in settings.rules:
        if rule.exempt and rule.until is not None and moment.at < rule.until <= moment.at + SOON_SECONDS:
            who = ", ".join(map(str, rule.users))
            yield (
                f"{rule.name} until {int(rule.until)}",
                {
                    "event": "exemption-ends",
                    "at": moment.at,
                    "rule": rule.name,
                    "until": int(rule.until),
                    "users": list(map(str, rule.users)),
                    "text": f"the exemption {rule.name} of {who} ends on {day(int(rule.until) - 1, moment.at)}",
                },
            )
