"""Whether a directory on disk is the one repository that Git would open there, and nothing else.

MUST: what passes here is opened by Git as exactly this directory. Git tries suffixes, follows links
and `commondir`, and climbs; each of these is refused rather than imitated. Source: git's path.c,
enter_repo and is_git_directory. Plain dialect: the gate loads this file.
"""

import posix
from _stat import S_ISDIR, S_ISLNK, S_ISREG

from gitguard.machine.errand import errand
from gitguard.machine.ownership import fault_of, fault_on_the_way
from gitguard.message.reasons import Refusal

_FOLDERS = ("objects", "refs")
_NEVER_LINKS = (
    "HEAD", "config", "refs", "objects", "hooks", "packed-refs", "objects/pack", "objects/info",
    "objects/info/alternates",
)  # fmt: skip
_MOST_BORROWED = 32
_TOO_LONG = 36  # ENAMETOOLONG
_LONGEST_ALTERNATES = 65536


@errand
def check(directory: str, root: str, uid: int, mended: "tuple[str, ...]" = ()) -> None:
    """`directory` (absolute, below `root`) is a bare repository in its own right, reached without links.

    Nobody but root and `uid` may write it or a folder on the way; otherwise someone on this machine could put
    another repository in its place; `mended` names folders that adopting closes first. Raises
    Refusal("no-such-repository") with the cause as detail.
    """
    _check_way(directory, root, uid, mended)
    for name in _NEVER_LINKS:
        mode = _mode(f"{directory}/{name}")
        if S_ISLNK(mode):
            raise _none(f"{directory}/{name} is a link")
        if name in _FOLDERS and not S_ISDIR(mode):
            raise _none(f"{directory} has no folder {name}")
        if name == "HEAD" and not (S_ISREG(mode) and _is_head(f"{directory}/{name}")):
            raise _none(f"{directory} has no HEAD that Git would take")
    for inside in ("commondir", ".git", "gitdir"):
        if _mode(f"{directory}/{inside}"):
            raise _none(f"{directory} has a {inside}: Git would open another place")
    # enter_repo tries suffixes behind what it is given: a twin repository makes two answers possible.
    # (A mere folder of the same name, `team/` beside `team.git`, is common and no danger.)
    bare = directory.removesuffix(".git")
    for other in (bare, bare + ".git", bare + ".git.git"):
        if (
            other != directory
            and (mode := _mode(other))
            and not (S_ISDIR(mode) and not _mode(other + "/HEAD"))
        ):
            raise _none(f"{other} stands beside {directory}: Git and gitguard could mean different ones")


def _is_head(path: str) -> bool:
    """Whether Git takes the file for a HEAD: a symbolic ref below refs/, or an object's name."""
    try:
        with open(path, "rb") as file:
            text = file.read(512)
    except OSError:
        return False
    if text.startswith(b"ref:"):
        return text[4:].strip().startswith(b"refs/")
    return len(text.strip()) in (40, 64) and all(c in b"0123456789abcdef" for c in text.strip())


def _check_way(directory: str, root: str, uid: int, mended: "tuple[str, ...]") -> None:
    """No link, no repository and nothing that others may write on the way from `root` down to `directory`."""
    if not directory.startswith(root + "/"):
        raise _none(f"{directory} is not below {root}")
    if fault := fault_on_the_way(root, uid):
        raise _none(fault)
    current = root
    for part in directory[len(root) + 1 :].split("/"):
        if _mode(current + "/.git") or (_mode(current + "/HEAD") and _mode(current + "/objects")):
            raise _none(f"{directory} lies inside the repository or work tree {current}")
        current += "/" + part
        try:
            entry = posix.lstat(current)
        except OSError as error:
            raise _none(f"{current}: {error.strerror}") from None
        if S_ISLNK(entry.st_mode):
            raise _none(f"{current} is a link")
        if not S_ISDIR(entry.st_mode):
            raise _none(f"{current} is not a folder")
        if current not in mended and (fault := fault_of(entry, current, uid)):
            raise _none(fault)


@errand
def borrowed(directory: str) -> "list[str]":
    """The repository directories whose objects `directory` borrows, followed to the end.

    Each is the folder above an `objects` named in `objects/info/alternates`. Raises
    Refusal("no-such-repository") for what cannot be followed: an unreadable file, a chain without end,
    a path that is no `objects` folder.
    """
    found: list[str] = []
    waiting = [directory]
    while waiting:
        lender = waiting.pop()
        for objects in _alternates(lender):
            other = objects[: -len("/objects")]
            if not objects.endswith("/objects") or not S_ISDIR(_mode(objects)):
                raise _none(f"{directory} borrows from {objects}, which are not a repository's objects")
            if other not in found and other != directory:
                found.append(other)
                waiting.append(other)
        if len(found) > _MOST_BORROWED:
            raise _none(f"{directory} borrows from more than {_MOST_BORROWED} repositories")
    return found


def _alternates(directory: str) -> "list[str]":
    """The absolute objects folders in one alternates file; none if there is no such file."""
    path = directory + "/objects/info/alternates"
    try:
        with open(path, "rb") as file:
            text = file.read(_LONGEST_ALTERNATES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _none(f"{path}: {error.strerror}") from None
    if len(text) > _LONGEST_ALTERNATES:
        raise _none(f"{path} is too long")
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise _none(f"{path} is not UTF-8") from None
    folders = []
    for line in lines:
        if not line or line[0] == "#":
            continue
        if line[0] == '"':
            raise _none(f"{path} has a quoted path, which gitguard does not read")
        # Relative ones count from the objects folder; the kernel resolves dots and links for us.
        folders.append(_real(line if line[0] == "/" else f"{directory}/objects/{line}"))
    return folders


def _real(path: str) -> str:
    """`path` without dots and links, as the kernel sees it; `path` itself if it is not there."""
    try:
        handle = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError:
        return path
    try:
        return posix.readlink(f"/proc/self/fd/{handle}")
    finally:
        posix.close(handle)


def _mode(path: str) -> int:
    """The mode of `path` itself, 0 if it is not there. Unreadable counts as not readable, so refused."""
    try:
        return posix.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        if error.errno == _TOO_LONG:
            return 0  # no file can have that name
        raise _none(f"{path}: {error.strerror}") from None


def _none(detail: str) -> Refusal:
    return Refusal("no-such-repository", detail)
