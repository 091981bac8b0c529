"""Whether a file may be believed: owned by root or us, writable by no one else, all the way up.

Plain dialect: the gate loads this file and follows the way of each file that it trusts.
"""

import posix
from _stat import S_ISDIR, S_ISLNK, S_ISVTX

GRAIN_NS = 20_000_000  # file times advance with the kernel's tick, at most 10 ms; twice that
_WRITABLE_BY_OTHERS = 0o022
_MOST_LINKS = 8


def fault_on_the_way(path: str, uid: int, _links: int = 0) -> str:
    """What is wrong with `path` or a folder above it, as a sentence that names the place; "" if nothing.

    Everything on the way must belong to root or `uid` and be writable by no one else; a sticky folder
    of root's (like /tmp) passes, since nobody can rename another's files there. A symbolic link counts
    as its target if every folder before it is root's. `path` is absolute. A missing file is a fault.
    """
    if path[:1] != "/":
        return f"{path} is not an absolute path"
    current = ""
    roots_alone = True
    parts = [part for part in path.split("/") if part]
    for position, part in enumerate(parts):
        current += "/" + part
        try:
            entry = posix.lstat(current)
        except OSError as error:
            return f"{current}: {error.strerror}"
        if S_ISLNK(entry.st_mode):
            if not roots_alone or _links >= _MOST_LINKS:
                return f"{current} is a symbolic link that others than root may change"
            target = posix.readlink(current)
            if target[:1] != "/":
                target = current[: current.rindex("/")] + "/" + target
            rest = "".join("/" + left for left in parts[position + 1 :])
            return fault_on_the_way(_without_dots(target + rest), uid, _links + 1)
        sticky = S_ISDIR(entry.st_mode) and entry.st_mode & S_ISVTX and entry.st_uid == 0
        if fault := fault_of(entry, current, uid) if not sticky else "":
            return fault
        if entry.st_uid != 0 or sticky:
            roots_alone = False
    return ""


def identity(entry: "posix.stat_result") -> "tuple[int, int, int, int, int]":
    """What tells one version of a file from another; of one younger than `GRAIN_NS` perhaps too little."""
    return (entry.st_dev, entry.st_ino, entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns)


def fault_of(entry: "posix.stat_result", name: str, uid: int) -> str:
    """What is wrong with the owner or mode of one `stat` result, naming it; "" if nothing."""
    if entry.st_uid not in (0, uid):
        return f"{name} belongs to uid {entry.st_uid}, not to root or the Git account"
    if entry.st_mode & _WRITABLE_BY_OTHERS:
        return f"{name} is writable by others (mode {entry.st_mode & 0o7777:04o}); try: chmod go-w '{name}'"
    return ""


def _without_dots(path: str) -> str:
    """`path` without `.` and `..`; safe here because every folder before a followed link is root's."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept)
