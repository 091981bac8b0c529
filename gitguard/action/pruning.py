"""What can no longer count, and is taken away by the sweep: a store that is used for
years weighs what a month does.
"""

from __future__ import annotations

import contextlib
import os
import time

from gitguard.action.installation import Installation
from gitguard.answer import daily
from gitguard.factor.changes import TOLD_SECONDS
from gitguard.factor.throttle import longest_window
from gitguard.machine.errand import errand
from gitguard.machine.files import TEMPORARY
from gitguard.session import budget, pending, refused_reads, request_notes
from gitguard.session.moment import Moment

KEPT_SECONDS = (
    30 * 86400
)  # beyond the time in which it counts: so far may a clock be wrong, or someone want to look
MOST = 2000  # of a kind in one transaction, which is over within a few milliseconds
LEFT_SECONDS = 3600  # a temporary name of ours that is older belongs to a command that was killed
_MARKS = {  # folder below the state folder -> seconds for which its files count
    request_notes.FOLDER: pending.KEPT_SECONDS,
    refused_reads.FOLDER: refused_reads.COUNTS_SECONDS,
    daily.FOLDER: daily.AGAIN_SECONDS,
    budget.FOLDER: 2 * budget.SECONDS,
}
_OURS = (
    ".quiet-",
    ".keys-",
    ".audit-",
    ".backup-",
    ".restore-",
)  # how they begin in the state folder, which is ours alone


def prune(installation: Installation, moment: Moment) -> int:
    """Take away sessions, failures, invites and changes that cannot count any more; how many. Raises Refusal.

    MUST: nothing that any answer depends on, also where the clock is a month ahead.
    """
    settings = installation.settings
    longest = max(int(settings.session.lifetime), longest_window(settings.throttle), TOLD_SECONDS)
    before = moment.at - longest - KEPT_SECONDS
    with installation.store.reading() as tx:
        if not tx.has_before(before):
            return 0
    with installation.store.writing() as tx:
        return tx.prune(before, MOST)


def clear_marks(state: str, at: int) -> None:
    """Remove the small files of what was noted a while ago: pending requests, refused reads, what
    is said once, what was spent.
    """
    for folder, seconds in _MARKS.items():
        try:
            with os.scandir(f"{state}/{folder}") as found:
                old = [entry.path for entry in found if abs(at - _time_of(entry)) > seconds]
        except FileNotFoundError:
            continue  # none was ever noted
        for path in old:
            with contextlib.suppress(FileNotFoundError):  # answered, or noted again, meanwhile
                os.unlink(path)


def _time_of(entry: os.DirEntry[str]) -> float:
    """When it was written (Unix seconds); long ago for what is gone."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return 0.0


def left_behind(installation: Installation) -> list[str]:
    """What killed commands of ours left in the state folder, beside the log and by the key file: paths."""
    state, log, keys = _folders(installation)
    left = _left_in(state, _OURS)
    left += _left_in(log) if log != state else []
    return left + (left_by_keys(keys) if keys not in (state, log) else [])


def clear_away(installation: Installation) -> int:
    """Remove what killed commands of ours left (`left_behind`); how many names went."""
    state, log, keys = _folders(installation)
    gone = _cleared(_left_in(state, _OURS)) + (_cleared(_left_in(log)) if log != state else 0)
    return gone + (clear_by_keys(keys) if keys not in (state, log) else 0)


def _folders(installation: Installation) -> tuple[str, str, str]:
    paths = installation.settings.paths
    return str(paths.state), os.path.dirname(paths.access_log), os.path.dirname(installation.key_file)


@errand
def left_by_keys(folder: str) -> list[str]:
    """What is left in the key file's folder, which is the Git account's."""
    return _left_in(folder)


@errand
def clear_by_keys(folder: str) -> int:
    """Remove it; how many names went."""
    return _cleared(_left_in(folder))


def _left_in(folder: str, beginnings: tuple[str, ...] = ()) -> list[str]:
    try:
        with os.scandir(folder) as found:
            ours = [
                e for e in found if TEMPORARY.fullmatch(e.name) or e.name.startswith(beginnings or ("/",))
            ]
    except OSError:
        return []  # doctor names a folder that is closed, or not there
    return [entry.path for entry in ours if _is_old(entry)]


def _cleared(paths: list[str]) -> int:
    gone = 0
    for path in paths:
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                for inside in os.listdir(path):
                    os.unlink(f"{path}/{inside}")
                os.rmdir(path)
            else:
                os.unlink(path)
        except OSError:
            continue  # someone else was quicker, or it is not ours after all
        gone += 1
    return gone


def _is_old(entry: os.DirEntry[str]) -> bool:
    """By the file system's own clock, which wrote the time that it is compared with."""
    return time.time() - _time_of(entry) > LEFT_SECONDS
