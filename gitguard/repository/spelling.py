"""From a client's spelling to a repository's one name. Pure: no file is looked at here.

`a`, `a.git`, `/a.git/`, `//a`, the absolute path below a root, and the path from the account's home are one
name. Plain dialect: the gate loads this file.
"""

from gitguard.message.reasons import Refusal

LONGEST = 1024


def name_of(spelled: str, roots: "tuple[tuple[str, str], ...]") -> "tuple[str, str]":
    """(name, root): the name, as `team/app`, that `spelled` means below one of `roots`.

    A root is (as configured, resolved), both absolute; a path may begin with either.

    The resolved root is the one that an absolute path began with, "" where the spelling leaves it open.
    Raises Refusal("no-such-repository") for what can be no repository: empty, a leading `-` or `~`, `.` or
    `..`, a folder inside a repository (`a.git/x`), control or non-UTF-8 characters.
    """
    if not spelled or len(spelled) > LONGEST or spelled[0] in "-~":
        raise _none(spelled)
    if any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in spelled):
        raise _none(spelled)
    parts = [part for part in spelled.split("/") if part]
    below = ""
    if spelled[0] == "/":
        path = "/" + "/".join(parts)
        longest = ""
        for configured, resolved in roots:
            for root in (configured, resolved):
                if len(root) > len(longest) and (path + "/").startswith(root + "/"):
                    longest, below = root, resolved
        parts = [part for part in path[len(longest) :].split("/") if part]
    if not parts:
        raise _none(spelled)
    last = parts[-1]
    if last.endswith(".git"):
        parts[-1] = last[:-4]
    for part in parts:
        # Another ".git" anywhere means the inside of a repository or a spelling that Git would try
        # again with a suffix; a part that begins with "-" may be read as an option somewhere.
        if part in ("", ".", "..") or part.endswith(".git") or part[0] in "-~":
            raise _none(spelled)
    return "/".join(parts), below


def from_home(spelled: str, home: str, roots: "tuple[tuple[str, str], ...]") -> str:
    """The name that a relative `spelled` means below a root when it counts from
    `home`, "" if it means none there.

    Git without gitguard starts in the account's home, so `repos/old.git` is what remotes say
    where the root is `~/repos`.
    """
    if not spelled or spelled[0] == "/":
        return ""
    path = home.rstrip("/") + "/" + spelled
    if not any((path + "/").startswith(root + "/") for pair in roots for root in pair):
        return ""
    try:
        return name_of(path, roots)[0]
    except Refusal:
        return ""


def _none(spelled: str) -> Refusal:
    return Refusal("no-such-repository", f"no repository can be spelled {spelled[:LONGEST]!r}")
