"""The same folders seen another way: a mount of them elsewhere, whoever listens and stands in
them, copies that lie about.

By device and inode as the kernel has them, not by how a path is spelt. Source: proc(5),
/proc/PID/mountinfo, /proc/net.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from gitguard.doctor.finding import Finding, gap
from gitguard.doctor.reach import Reach

_LISTENS = "0A"
_MOST_COPIES = 2000
SQLITE, KEYS = b"SQLite format 3\0", re.compile(rb"\A(hash|aes \w+) [0-9a-f]{64}$", re.MULTILINE)


class Mount(NamedTuple):
    """One line of mountinfo: which part (`root`) of which file system (`device`) is to be seen at `point`."""

    device: str
    root: str
    point: str


def mounts() -> list[Mount]:
    """Every mount of this process's namespace."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            words = line.split(" ")
            found.append(Mount(words[2], _plain(words[3]), _plain(words[4])))
    return found


def mount_findings(places: list[str], reach: Reach) -> Iterator[Finding]:
    """A place of ours that is to be seen at another path, by which others come in."""
    known = mounts()
    for place in places:
        whole = os.path.realpath(place)
        above = max((m for m in known if _holds(m.point, whole)), key=lambda m: len(m.point), default=None)
        if above is None:
            continue
        inside = os.path.normpath(above.root + "/" + whole[len(above.point.rstrip("/")) :])
        for other in known:
            if other.device != above.device or other.point == above.point or _holds(other.point, whole):
                continue
            if _holds(inside, other.root):
                seen = other.point
            elif _holds(other.root, inside):
                seen = os.path.normpath(other.point + "/" + inside[len(other.root.rstrip("/")) :])
            else:
                continue
            if who := reach.reader_on_the_way(seen):
                yield gap(
                    "mounted",
                    f"{place}, or a part of it, is mounted at {seen} too (see /etc/fstab), and there {who}",
                    f"umount {other.point}",
                )


def listener_findings(places: list[str], ours: set[int]) -> Iterator[Finding]:
    """Processes that listen on the network and work in a place of ours, or were told of it."""
    inodes = [os.stat(place) for place in places if os.path.isdir(place)]
    known = {
        (entry.st_dev, entry.st_ino): place
        for entry, place in zip(inodes, filter(os.path.isdir, places), strict=True)
    }
    for pid in _listening():
        if pid in ours:
            continue
        try:
            words = _words(pid)
            for path in (f"/proc/{pid}/cwd", *(word for argument in words for word in _paths(argument))):
                if place := _place_of(path, known):
                    yield gap(
                        "exported",
                        f"process {pid} listens on the network and works with {place}, past sshd and gitguard, whatever starts it: {' '.join(words)[:100]}",
                        f"kill {pid}",
                    )
                    break
        except OSError:
            continue  # gone meanwhile


def copy_findings(folders: list[str], reach: Reach) -> Iterator[Finding]:
    """Copies of the store or key file that others may read: beside the state folder, and where backups go."""
    count = 0
    for folder in folders:
        said: list[tuple[str, str]] = []
        for inside, names, files in os.walk(folder):
            if inside.count("/") - folder.count("/") > 2:
                names[:] = []
            count += len(files)
            if count > _MOST_COPIES:
                break
            said += [
                (path, f"a copy of {what} lies about: {who}")
                for path in (f"{inside}/{name}" for name in files)
                if (what := _kind(path)) and (who := reach.reader_on_the_way(path))
            ]
        if said:
            more = f", and {len(said) - 1} more beside it" if len(said) > 1 else ""
            paths = " ".join(shlex.quote(path) for path, _ in said[:20])
            yield gap("copy-readable", f"{said[0][1]}{more}", f"chmod go-rwx {paths}")


def _kind(path: str) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            head = os.read(handle, 512)
        finally:
            os.close(handle)
    except OSError:
        return ""
    if head.startswith(SQLITE):
        return "the store"
    return "the key file" if KEYS.search(head) else ""


def _place_of(path: str, known: dict[tuple[int, int], str]) -> str:
    """The place of ours that `path` is, or lies in."""
    whole = os.path.realpath(path)
    while True:
        try:
            entry = os.stat(whole)
        except OSError:
            return ""
        if place := known.get((entry.st_dev, entry.st_ino)):
            return place
        if whole == "/":
            return ""
        whole = os.path.dirname(whole)


def _paths(argument: str) -> list[str]:
    return re.findall(r"/[^\s,;:=]+", argument)


def _words(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return [word.decode("utf-8", "replace") for word in file.read(65536).split(b"\0") if word]


def _listening() -> list[int]:
    """Every process that holds a listening TCP socket."""
    inodes = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path, encoding="ascii") as file:
                rows = [line.split() for line in file]
        except OSError:
            continue
        inodes |= {f"socket:[{row[9]}]" for row in rows if len(row) > 9 and row[3] == _LISTENS}
    found = set()
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                found.add(int(link.split("/")[2]))
        except OSError:
            continue
    return sorted(found)


def _holds(folder: str, path: str) -> bool:
    return (path.rstrip("/") + "/").startswith(folder.rstrip("/") + "/")


def _plain(word: str) -> str:
    """Octal escapes of mountinfo taken back."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)
