"""The other pre-receive hooks of a repository: which of them run, and whether they may.

A pre-receive that was there before gitguard lies in `hooks.kept/`, under its own name, with links to
everything that lay beside it: so `$0`, `$(dirname "$0")` and `$0.d` mean what they meant.
`hooks/pre-receive.d/` is run by us unless it was there before (then it was the kept hook's to run, or
nobody's): `LEFT_ALONE` marks that. One judgement for the hook itself, `repo adopt`, `repo list` and doctor.
Plain dialect: the hook loads this file.
"""

import posix
from _stat import S_ISLNK, S_ISREG

from gitguard.machine.errand import errand
from gitguard.machine.ownership import fault_of, fault_on_the_way

KEPT_FOLDER = "hooks.kept"
KEPT = f"{KEPT_FOLDER}/pre-receive"
FOLDER = "hooks/pre-receive.d"
LEFT_ALONE = "hooks/pre-receive.d.left-alone"


@errand
def to_run(directory: str) -> "list[str]":
    """The hooks that run after ours, in order, relative to `directory`. As in
    Git, only executable ones run.
    """
    found = [KEPT] if _is_run(directory, KEPT) else []
    if not _exists(f"{directory}/{LEFT_ALONE}"):
        found += [
            path
            for path in in_folder(directory)
            if not _base(path).startswith(".") and _is_run(directory, path)
        ]
    return found


@errand
def in_folder(directory: str) -> "list[str]":
    """Everything in pre-receive.d, by name, relative to `directory`. Raises OSError if it is unreadable."""
    try:
        return [f"{FOLDER}/{name}" for name in sorted(posix.listdir(f"{directory}/{FOLDER}"))]
    except (FileNotFoundError, NotADirectoryError):
        return []


@errand
def others_fault(directory: str, uid: int) -> str:
    """Why one of the other hooks may not run, as a sentence that names it; "" if nothing stands in the way.

    Root or `uid` own each file and its folder, nobody else may write them, and no link leads nowhere.
    """
    try:
        for path in to_run(directory):
            if fault := _fault(f"{directory}/{path}", uid):
                return fault
        for path in in_folder(directory):
            if _base(path)[0] != "." and _is_dangling(f"{directory}/{path}") and not _left(directory):
                return f"{directory}/{path} is a link that leads nowhere"
    except OSError as error:
        return f"{directory}: {error.strerror} ({error.filename})"
    return ""


def _fault(path: str, uid: int) -> str:
    folder = path[: path.rindex("/")]
    if fault := fault_of(posix.lstat(folder), folder, uid):
        return fault
    if not S_ISLNK(posix.lstat(path).st_mode):
        return fault_of(posix.stat(path), path, uid)
    handle = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return fault_on_the_way(posix.readlink(f"/proc/self/fd/{handle}"), uid)
    finally:
        posix.close(handle)


def _is_run(directory: str, path: str) -> bool:
    try:
        mode = posix.stat(f"{directory}/{path}").st_mode
    except OSError:
        return False
    return S_ISREG(mode) and posix.access(f"{directory}/{path}", posix.X_OK)


def _is_dangling(path: str) -> bool:
    return S_ISLNK(posix.lstat(path).st_mode) and not _exists(path)


def _left(directory: str) -> bool:
    return _exists(f"{directory}/{LEFT_ALONE}")


def _base(path: str) -> str:
    return path[path.rindex("/") + 1 :]


def _exists(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True
