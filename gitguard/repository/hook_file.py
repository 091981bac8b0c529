"""Whether a repository's pre-receive hook is live: there, executable, ours.

Git skips a hook that is not executable without a word, so this is asked before every receive-pack.
Plain dialect: the gate loads this file.
"""

import posix
from _stat import S_ISREG

from gitguard.host.ownership import fault_of
from gitguard.message.reasons import Refusal


def check_hook(directory: str, expected: bytes, uid: int) -> None:
    """The hook in `directory` has the bytes `expected` and will run as `uid`.

    Raises Refusal("hook-not-live") with the cause as detail.
    """
    if fault := hook_fault(directory, expected, uid):
        raise Refusal("hook-not-live", fault)


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
            return f"{path} is not executable; try: chmod +x {path}"
        with open(path, "rb") as file:
            found = file.read(len(expected) + 1)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if found != expected:
        return f"{path} is not gitguard's hook; try: gitguard admin repo adopt"
    return ""
