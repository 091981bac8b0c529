"""Which refs an update of a repository really moves: Git writes through symbolic
ones, and names only the first.

What a hook of the repository may move, or what cannot be read, is EVERY ref. (As what a ref is looked up
afterwards: policy/ref_names.py.)

Plain dialect: the hook loads this file.
"""

import posix
from _stat import S_ISDIR, S_ISLNK, S_ISREG

from gitguard.machine.environment import PATH
from gitguard.machine.errand import errand
from gitguard.message.reasons import Refusal
from gitguard.repository.git_config import PROC_RECEIVE, files_of, may_name, values_of

LONGEST_LINE = 8192  # a ref is a path; the file system ends it long before
EVERY = ""  # in the place of a name: any ref may be moved
_MOST_LINKS = 5  # as Git follows them


@errand
def moved_by(
    updates: "tuple[tuple[str, str, str], ...]", directory: str, git_configs: "tuple[str, ...]", home: str
) -> "tuple[tuple[str, str, str], ...]":
    """`updates`, with all that they move beside what they name. `git_configs`: the files of
    system and account that Git reads; `home`: where the account's lie.

    Raises Refusal("malformed-command") for a name that leads elsewhere, cannot be read or does not end.
    """
    found = with_tags(with_targets(updates, directory), directory)
    taken = refs_of_proc_receive(directory, git_configs, home)
    unreadable = stored_otherwise(directory)
    for old, new, ref in updates:
        if unreadable or any(ref == one or ref.startswith(one + "/") for one in taken):
            return (*found, (old, new, EVERY))
    return found


def stored_otherwise(directory: str) -> bool:
    """Whether the refs lie in no files, so that symbolic ones cannot be seen (extensions.refStorage)."""
    try:
        posix.stat(f"{directory}/reftable")
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def refs_of_proc_receive(directory: str, git_configs: "tuple[str, ...]", home: str) -> "tuple[str, ...]":
    """Beginnings of refs that a proc-receive hook is given instead of being moved: it moves what it likes.

    The letters before a colon (which kinds of update) and what is taken out again by `!` make it
    only narrower, so they are passed over; where Git does not say, it is every ref. Source:
    git-config(1), receive.procReceiveRefs.
    """
    if not may_name(files_of(directory, git_configs), PROC_RECEIVE):
        return ()
    plain = {"PATH": PATH, "HOME": home, "LANG": "C.UTF-8"}
    values = values_of(directory, PROC_RECEIVE, plain)
    if values is None:
        return ("refs",)
    named = [value.rpartition(":")[2].strip().rstrip("/") for value in values]
    return tuple([one or "refs" for one in named])


def with_targets(
    updates: "tuple[tuple[str, str, str], ...]", directory: str
) -> "tuple[tuple[str, str, str], ...]":
    """`updates`, with the refs that symbolic ones among them stand for: Git writes through
    them, and names only the first.

    Raises Refusal("malformed-command") for one that cannot be read or does not end.
    """
    found = list(updates)
    for old, new, ref in updates:
        name = ref
        for _ in range(_MOST_LINKS):
            target = _target(directory, name)
            if not target:
                break
            name = target
            found.append((old, new, name))
        else:
            raise Refusal("malformed-command", f"{ref} is a symbolic ref that does not end")
    return tuple(found)


def with_tags(
    updates: "tuple[tuple[str, str, str], ...]", directory: str
) -> "tuple[tuple[str, str, str], ...]":
    """`updates`, with the tags beside which a branch of the same name is put: `git
    clone -b NAME` takes the branch.

    Raises Refusal("malformed-command") where it cannot be known which tags there are.
    """
    made = {ref for _, _, ref in updates}
    packed = None
    found = list(updates)
    for old, new, ref in updates:
        if not ref.startswith("refs/heads/"):
            continue
        tag = "refs/tags/" + ref[11:]
        try:
            if packed is None:
                packed = _packed(directory)
            is_there = tag in made or f" {tag}\n".encode("utf-8", "surrogateescape") in packed
            if is_there or _is_file(f"{directory}/{tag}"):
                found.append((old, new, tag))
        except OSError as error:
            raise Refusal("malformed-command", f"{tag} cannot be looked for: {error.strerror}") from None
    return tuple(found)


def _packed(directory: str) -> bytes:
    """The file of packed refs, b"" where there is none. Raises OSError."""
    try:
        handle = posix.open(f"{directory}/packed-refs", posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        parts = []
        while part := posix.read(handle, 1 << 20):
            parts.append(part)
        return b"".join(parts)
    finally:
        posix.close(handle)


def _is_file(path: str) -> bool:
    """Whether anything but a folder is there. Raises OSError."""
    try:
        return not S_ISDIR(posix.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _target(directory: str, ref: str) -> str:
    """What `ref` stands for, "" if it is not symbolic. Raises Refusal.

    MUST: the name is the client's, and Git checks it only after this hook: it leads nowhere but below
    `refs/`, and what it finds there is a file or a link, which is not followed.
    """
    if any(part in ("", ".", "..") for part in ref.split("/")):
        raise Refusal("malformed-command", f"{ref} is not a ref's name")
    path = f"{directory}/{ref}"
    above = directory
    for part in ref.split("/")[:-1]:
        above += "/" + part
        try:
            if S_ISLNK(posix.lstat(above).st_mode):
                raise Refusal("malformed-command", f"{above} is a link: what {ref} moves lies elsewhere")
        except (FileNotFoundError, NotADirectoryError):
            break
        except OSError as error:
            raise Refusal("malformed-command", f"{above} cannot be read: {error.strerror}") from None
    try:
        mode = posix.lstat(path).st_mode
        if S_ISLNK(mode):
            # Git takes a link to refs/... for a symbolic ref. Source: refs/files-backend.c.
            named = posix.readlink(path)
            if not named.startswith("refs/"):
                raise Refusal("malformed-command", f"{path} is a link to {named}")
            return named
        if S_ISDIR(mode):
            return ""
        if not S_ISREG(mode):
            raise Refusal("malformed-command", f"{ref} is not a file")
        handle = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK)
        try:
            text = posix.read(handle, LONGEST_LINE)
        finally:
            posix.close(handle)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise Refusal("malformed-command", f"{ref} cannot be read: {error.strerror}") from None
    return text[4:].strip().decode("utf-8", "surrogateescape") if text.startswith(b"ref:") else ""
