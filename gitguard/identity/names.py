"""What can be a user's name, what looks like a key's fingerprint, and which names of repositories some
program may take for one. Pure; plain dialect: the gate loads this file.
"""

_NAME_START = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_NAME_REST = _NAME_START | frozenset("._-")
LONGEST_USER = 64


def is_user_name(name: str) -> bool:
    """Whether `name` matches `[a-z0-9][a-z0-9._-]{0,63}`, whole and in ASCII."""
    return 0 < len(name) <= LONGEST_USER and name[0] in _NAME_START and all(c in _NAME_REST for c in name)


def is_fingerprint(key: str) -> bool:
    """Whether `key` has the shape of an OpenSSH SHA256 fingerprint: `SHA256:` and 43 base64 characters."""
    return (
        len(key) == 50
        and key.startswith("SHA256:")
        and all(c.isalnum() or c in "+/" for c in key[7:])
        and key.isascii()
    )


def fold(name: str) -> str:
    """A repository's `name` without case, blanks around it and suffixes: what a
    program may take for the same name.

    The one fold there is: a database that folds ASCII alone would take `Ärger` and `ärger` for two.
    """
    plain = name.strip().casefold()
    while plain.endswith((".git", "/")):
        plain = plain.removesuffix("/").removesuffix(".git").strip()
    return plain
