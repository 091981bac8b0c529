"""Reading the access log back, with rotations, a line at a time: it is never held whole."""

from __future__ import annotations

import bz2
import glob
import gzip
import heapq
import json
import lzma
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from msgspec import Struct

from gitguard.message.reasons import Refusal

LogEntry = dict[str, object]

_SAME = ("user", "key", "address", "repository", "operation", "verdict", "reason", "because")
MOST_WINDOWS = 16  # that are looked through for one page
QUIET_SECONDS = 600  # a repeat that comes later begins a new line
_BLANK = (
    b"\n"  # of two who wrote at once, one took the other's half for a line that was cut, and began a new one
)
_LONGEST_LINE = 1 << 16
_MOMENT = re.compile(rb'"at": ?([0-9]{1,12})\b')
_PACKED = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_UNREAD = (
    ".zst",
    ".lz4",
    ".lzo",
    ".br",
    ".Z",
    ".zip",
    ".7z",
)  # packed in a way that takes a program of its own


def read_log(path: str, after: int = 0, *, live: bool = True) -> Iterator[LogEntry | None]:
    """Every decision of the log and its rotations (plain, gzip, xz or bzip2), oldest first; None
    for a line that is not JSON.

    Without `live` of the rotations alone.

    Rotations that ended before `after` (Unix seconds) are passed over. Raises Refusal("log-unavailable").
    """
    for name in [*sorted(_rotations(path), key=_written_at), *([path] if live else [])]:
        if name == path and not os.path.exists(name):
            continue
        try:
            if _written_at(name) < after and name != path:
                continue
            with _opened(name) as file:
                _go_to(file, name, after)
                while line := file.readline(_LONGEST_LINE):
                    if line != _BLANK:
                        yield _entry(line)
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise Refusal("log-unavailable", f"{name}: {getattr(error, 'strerror', None) or error}") from None


def unread(path: str, after: int = 0) -> list[str]:
    """Rotations that end at `after` or later, and are packed so that they cannot be read here:
    nobody may say "nothing" then.
    """
    return sorted(
        name
        for name in glob.glob(glob.escape(path) + "[.-]*")
        if name.endswith(_UNREAD)
        and _is_rotation(os.path.splitext(name)[0], path)
        and _written_at(name) >= after
    )


def _go_to(file: IO[bytes], name: str, after: int, window: int = 1 << 20) -> None:
    """Move on to where what is wanted begins, searched from the end: a log is long, and what
    is asked about is mostly new.

    A whole window of older lines ends the search, so that a clock that was wrong for a moment hides nothing.
    """
    if after <= 0 or _packing(name):
        return
    begins = end = file.seek(0, os.SEEK_END)
    while begins > 0:
        begins = max(end - window, 0)
        file.seek(begins)
        moments = _MOMENT.findall(file.read(end - begins))
        if moments and max(map(int, moments)) < after:
            break
        end = begins
    file.seek(begins)
    if begins:
        file.readline(_LONGEST_LINE)  # the rest of one that began before


def _packing(name: str) -> str:
    """How a rotation is packed, by its name: `.gz`, `.xz` and the like; "" for one that is not."""
    ending = os.path.splitext(name)[1]
    return ending if ending in _PACKED else ""


def any_log(path: str) -> bool:
    """Whether there is anything to read: the log or a rotation of it."""
    return os.path.exists(path) or bool(_rotations(path))


def _rotations(path: str) -> list[str]:
    return [name for name in glob.glob(glob.escape(path) + "[.-]*") if _is_rotation(name, path)]


def _is_rotation(name: str, path: str) -> bool:
    rest = name[len(path) + 1 :].removesuffix(_packing(name))
    return bool(rest) and all(c.isdigit() or c in "-." for c in rest)


def _written_at(name: str) -> float:
    try:
        return os.stat(name).st_mtime
    except OSError:
        return 0.0


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "it is not a file")
    with os.fdopen(handle, "rb") as plain:
        unpack = _PACKED.get(_packing(name))
        if unpack is None:
            yield plain
            return
        with unpack(plain, "rb") as unpacked:  # type: ignore[operator]
            yield unpacked


def _entry(line: bytes) -> LogEntry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


class Fold(Struct):
    """Lines that say the same one after another, of one user."""

    first: LogEntry
    last: LogEntry
    count: int = 1


def fold(entries: Iterable[LogEntry]) -> Iterator[Fold]:
    """Neighbours of one user that say the same become one, with a count, in the order of their last lines."""
    open_folds: dict[object, Fold] = {}
    closed: list[tuple[int, int, Fold]] = []
    number = 0
    for entry in entries:
        at = _at(entry)
        user = entry.get("user")
        group = open_folds.get(user)
        for name, other in list(open_folds.items()):
            if at - _at(other.last) > QUIET_SECONDS:
                number += 1
                heapq.heappush(closed, (_at(other.last), number, open_folds.pop(name)))
                if other is group:
                    group = None
        if group is not None and all(group.last.get(name) == entry.get(name) for name in _SAME):
            group.last = entry
            group.count += 1
        else:
            if group is not None:
                number += 1
                heapq.heappush(closed, (_at(group.last), number, group))
            open_folds[user] = Fold(entry, entry)
        oldest_open = min((_at(other.last) for other in open_folds.values()), default=at)
        while closed and closed[0][0] < oldest_open:
            yield heapq.heappop(closed)[2]
    for group in open_folds.values():
        number += 1
        heapq.heappush(closed, (_at(group.last), number, group))
    while closed:
        yield heapq.heappop(closed)[2]


def _at(entry: LogEntry) -> int:
    at = entry.get("at")
    return at if isinstance(at, int) else 0


def place_of(path: str) -> tuple[int, int]:
    """(inode, size) of the log as it stands, (0, 0) where there is none."""
    try:
        entry = os.stat(path)
    except OSError:
        return 0, 0
    return entry.st_ino, entry.st_size


def written(path: str, after: int) -> int:
    """How many bytes `read_log` would read."""
    names = [name for name in _rotations(path) if _written_at(name) >= after]
    return sum(place_of(name)[1] for name in [*names, path])


def lines_after(path: str, inode: int, offset: int) -> Iterator[tuple[LogEntry | None, int, int]]:
    """What came behind `offset` in the file `inode`, then what the log that followed it
    holds: (entry, inode, offset).

    A file that is gone or compressed since is passed over. Raises Refusal("log-unavailable").
    """
    begun = place_of(path)[0]
    old = next((name for name in _rotations(path) if place_of(name)[0] == inode), "")
    places = [(path, offset)] if begun == inode else [(old, offset), (path, 0)]
    for name, start in places:
        if not name or not os.path.exists(name):
            continue
        number, size = place_of(name)
        try:
            with _opened(name) as file:
                file.seek(start if start <= size else 0)
                while (line := file.readline(_LONGEST_LINE)).endswith(b"\n"):
                    if line != _BLANK:
                        yield _entry(line), number, file.tell()
        except (OSError, EOFError) as error:
            raise Refusal("log-unavailable", f"{name}: {getattr(error, 'strerror', None) or error}") from None


def entries_before(
    path: str, before: int | None, most: int, containing: str = "", window: int = 1 << 18
) -> tuple[list[LogEntry], int]:
    """At most `most` decisions of the live log before the byte `before` (None: its end), the newest
    first; and where older ones end.

    With `holding` those whose line holds it. Looks through at most `MOST_WINDOWS` windows; 0 where
    the log begins. Raises Refusal.
    """
    _, end = place_of(path)
    end = min(before, end) if before is not None else end
    found: list[LogEntry] = []
    wanted = json.dumps(containing, ensure_ascii=False)[1:-1].encode("utf-8", "replace")
    for _ in range(MOST_WINDOWS):
        if not end or len(found) == most:
            break
        for begins, line in reversed(_lines(path, max(end - window, 0), end)):
            end = begins
            entry = _entry(line) if wanted in line else None
            if entry is not None:
                found.append(entry)
            if len(found) == most:
                break
    return found, end


def _lines(path: str, start: int, end: int) -> list[tuple[int, bytes]]:
    """(where it begins, the line) of each whole line from `start` to `end`; what `start`
    cuts belongs to what is before.
    """
    try:
        with _opened(path) as file:
            file.seek(start)
            data = file.read(end - start)
    except OSError as error:
        raise Refusal("log-unavailable", f"{path}: {error.strerror or error}") from None
    place = start
    lines = []
    for line in data.splitlines(keepends=True):
        lines.append((place, line))
        place += len(line)
    return lines[1:] if start and len(lines) > 1 else lines
