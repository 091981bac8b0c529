"""Whether a repository's pre-receive hook is live: there, executable, ours.

Git skips a hook that is not executable without a word, so this is asked before every receive-pack.
Plain dialect: the gate loads this file.
"""

import posix
from _stat import S_IEXEC, S_ISREG

from gitguard.machine.errand import errand
from gitguard.machine.ownership import fault_of
from gitguard.message.reasons import Refusal


def check_hook(directory: str, expected: bytes, uid: int) -> None:
    """The hook in `directory` has the bytes `expected` and will run as `uid`.

    Raises Refusal("hook-not-live") with the cause as detail.
    """
    if fault := hook_fault(directory, expected, uid):
        raise Refusal("hook-not-live", fault)


@errand
def hook_fault(directory: str, expected: bytes, uid: int) -> str:
    """What is wrong with the pre-receive hook in `directory`, "" if nothing."""
    path = directory + "/hooks/pre-receive"
    try:
        entry = posix.lstat(path)
        if not S_ISREG(entry.st_mode):
            return f"{path} is not a regular file"
        if fault := fault_of(posix.lstat(directory + "/hooks"), directory + "/hooks", uid):
            return fault
        if fault := fault_of(entry, path, uid):
            return fault
        if not posix.access(path, posix.X_OK):
            return not_executable(path, entry)
        with open(path, "rb") as file:
            found = file.read(len(expected) + 1)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if found != expected:
        return f"{path} is not gitguard's hook; try: gitguard admin repo adopt {_quoted(directory)}"
    return ""


@errand
def runs_for(directory: str, process: int) -> bool:
    """Whether Git will run the hook, as `process` sees the file: a file system that was mounted noexec a
    moment ago may be so there and not here, where a unit of systemd has a view of its own.
    """
    return posix.access(f"/proc/{process}/root{directory}/hooks/pre-receive", posix.X_OK)


def _quoted(text: str) -> str:
    """`text` as one word for a shell; shlex is more than the gate may load."""
    plain = all(c.isalnum() or c in "/._-+" for c in text)
    return text if plain else "'" + text.replace("'", "'\\''") + "'"


def not_executable(path: str, entry: "posix.stat_result") -> str:
    """Why the file at `path` cannot be run: its mode, or the file system it lies on."""
    if entry.st_mode & S_IEXEC and posix.statvfs(path).f_flag & posix.ST_NOEXEC:
        return (
            f"{path} lies on a file system that is mounted noexec; mount it without, or move the repositories"
        )
    return f"{path} is not executable; try: chmod +x {_quoted(path)}"
