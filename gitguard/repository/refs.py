"""Which refs an update of a repository really moves: Git writes through symbolic ones, and names only the first.

Plain dialect: the hook loads this file.
"""

import posix
from _stat import S_ISDIR, S_ISLNK, S_ISREG

from gitguard.message.reasons import Refusal

LONGEST_LINE = 8192  # a ref is a path; the file system ends it long before
_MOST_LINKS = 5  # as Git follows them


def with_targets(
    updates: "tuple[tuple[str, str, str], ...]", directory: str
) -> "tuple[tuple[str, str, str], ...]":
    """`updates`, with the refs that symbolic ones among them stand for: Git writes through them, and names only the first.

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


def _target(directory: str, ref: str) -> str:
    """What `ref` stands for, "" if it is not symbolic. Raises Refusal.

    MUST: the name is the client's, and Git checks it only after this hook: it leads nowhere but below `refs/`, and what
    it finds there is a file or a link, which is not followed.
    """
    if any(part in ("", ".", "..") for part in ref.split("/")):
        raise Refusal("malformed-command", f"{ref} is not a ref's name")
    path = f"{directory}/{ref}"
    try:
        mode = posix.lstat(path).st_mode
        if S_ISLNK(mode):
            # Git takes a link to refs/... for a symbolic ref; any other it replaces. Source: refs/files-backend.c.
            named = posix.readlink(path)
            return named if named.startswith("refs/") else ""
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
