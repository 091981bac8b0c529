"""What was told recently: the same event of one person comes to the admin once in ten minutes, with a count.

Anyone who holds a key alone may cause some events as often as they like; a mailbox full of them hides the one
that matters. A file of the state folder says what was told when, and what has come since; the sweep tells of
that when its time has come.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from typing import Any

ONCE = ("not-me", "throttled")  # events that anyone who holds a key causes by it alone
AGAIN_SECONDS = 600
FILE = "notices.told"  # below the state folder
_MOST = 1000  # kinds at once; then all are told

Notice = dict[str, object]


def news(state: str, notices: list[Notice], at: int) -> list[Notice]:
    """Those of `notices` that are told now; of the others it is noted that they came. Raises
    nothing: told twice beats never.
    """
    try:
        with _table(state) as table:
            return [told for notice in notices if (told := _one(table, notice, at)) is not None]
    except (OSError, ValueError):
        return notices


def due(state: str, at: int) -> list[Notice]:
    """What came again since it was told, each kind once with its count, once the time is over."""
    if not os.path.exists(f"{state}/{FILE}"):
        return []
    try:
        with _table(state) as table:
            found = []
            for kind, entry in list(table.items()):
                if not 0 <= at - entry["at"] < AGAIN_SECONDS:
                    del table[kind]
                    if entry["count"]:
                        found.append(_counted(entry["latest"], entry["count"]))
            return found
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _one(table: dict[str, dict[str, Any]], notice: Notice, at: int) -> Notice | None:
    if notice.get("event") not in ONCE:
        return notice
    kind = json.dumps([notice.get("event"), notice.get("user", ""), notice.get("key", "")])
    entry = table.get(kind)
    if entry is not None and 0 <= at - int(entry["at"]) < AGAIN_SECONDS:
        entry["count"] = int(entry["count"]) + 1
        entry["latest"] = notice
        return None
    if len(table) < _MOST:
        table[kind] = {"at": at, "count": 0, "latest": notice}
    waiting = int(entry["count"]) if entry is not None else 0
    return _counted(notice, waiting + 1) if waiting else notice


def _counted(notice: object, count: int) -> Notice:
    found: Notice = dict(notice) if isinstance(notice, dict) else {}
    return {
        **found,
        "count": count,
        "text": f"{found.get('text', '')} ({count} times)" if count > 1 else found.get("text", ""),
    }


@contextlib.contextmanager
def _table(state: str) -> Iterator[dict[str, dict[str, Any]]]:
    """The table, written back behind its use; one process at a time."""
    handle = os.open(f"{state}/{FILE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = file.read()
        try:
            table = json.loads(text) if text else {}
        except ValueError:
            table = {}  # half written, by a full disk
        if not isinstance(table, dict):
            table = {}
        yield table
        data = json.dumps(table).encode()
        file.seek(0)
        file.write(data)
        file.truncate()
