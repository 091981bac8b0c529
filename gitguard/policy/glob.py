"""Patterns for names of repositories and refs. Pure; plain dialect: gate and hook load this file.

`*` stands for any characters within one part of a path, `**` as a part of its own for any number
of parts: `team/*` fits `team/app` and not `team/app/x`; `team/**` fits both, and not `team`;
`**/docs` fits `docs` and `a/b/docs`.
"""

HEADS = "refs/heads/"


def fits(pattern: str, text: str) -> bool:
    """Whether `pattern` stands for `text`, the whole of it, letter for letter."""
    star = pattern.find("*")
    if star < 0:
        return pattern == text
    if not text.startswith(pattern[:star].rpartition("/")[0]):
        return False  # most patterns of a long file end here
    patterns, parts = pattern.split("/"), text.split("/")
    p = t = 0
    star, mark = -1, 0
    while t < len(parts):
        if p < len(patterns) and patterns[p] == "**":
            star, mark = p, t
            p += 1
            if p == len(patterns):
                return True  # whatever is left, and something is
        elif p < len(patterns) and _part_fits(patterns[p], parts[t]):
            p += 1
            t += 1
        elif star >= 0:
            mark += 1
            p, t = star + 1, mark
        else:
            return False
    return p == len(patterns)


def _part_fits(pattern: str, text: str) -> bool:
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    position, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def whole_ref(pattern: str) -> str:
    """The ref pattern as it is compared: what does not begin with `refs/` lies below `refs/heads/`."""
    return pattern if pattern.startswith("refs/") else HEADS + pattern


def glob_fault(pattern: str) -> str:
    """Why `pattern` cannot be one, "" if it can."""
    if not pattern:
        return "an empty pattern fits nothing"
    if any(c < " " or c == "\x7f" for c in pattern):
        return "it holds control characters"
    for part in pattern.split("/"):
        if not part:
            return "an empty part of a path: a slash at the beginning or end, or two in a row"
        if "**" in part and part != "**":
            return "`**` stands alone between slashes, as in team/**"
        if part in (".", ".."):
            return f"{part!r} is not a part of a name"
    if "[" in pattern or "?" in pattern or "{" in pattern:
        return "only * and ** are patterns"
    return ""


def ref_fault(pattern: str) -> str:
    """Why no ref, or not the one meant, can fit `pattern`; "" if one can. Source: git-check-ref-format(1)."""
    if pattern.partition("/")[0] in ("heads", "tags", "remotes", "notes"):
        return f"write refs/{pattern}; what does not begin with refs/ is a branch"
    if pattern == "HEAD" or pattern.lower().startswith("refs/") != pattern.startswith("refs/"):
        return "a ref begins with refs/ in small letters, and HEAD is none that is pushed to"
    if pattern.startswith("!"):
        return "there is no `not`; write a rule above this one for what is left out"
    if any(c in pattern for c in " ~^:\\$") or ".." in pattern or "@{" in pattern:
        return "a ref holds no blank, ~ ^ : \\ $ or .., and this is not a regular expression"
    parts = whole_ref(pattern).split("/")
    if len(parts) < 3 and "**" not in parts:
        return "no ref has fewer than three parts; write refs/** for every ref, ** for every branch"
    if any(part.startswith(".") or part.endswith((".lock", ".")) for part in pattern.split("/")):
        return "no part of a ref begins with a dot, or ends with one or with .lock"
    return ""


def name_fault(pattern: str) -> str:
    """Why no repository's name can fit `pattern`, or not the one that is meant; "" if one can."""
    if pattern.startswith("!"):
        return "there is no `not`; write a rule above this one for what is left out"
    for part in pattern.split("/"):
        if part.endswith(".git"):
            return "a part ends with .git; names of repositories are written without"
        if part.startswith(("-", "~")) or part != part.strip():
            return "a part begins with - or ~, or with a blank, or ends with one; no repository's name does"
    return ""
