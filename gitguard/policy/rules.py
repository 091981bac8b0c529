"""The server admin's rules: which one is the first that matches. Pure; plain dialect: gate and hook load this file.

A rule is a tuple, as the configuration's compiled form holds it (config/compile.py makes it):

    (name, kind, lifetime, repositories, users, operations, refs, networks, since, until)

`kind` is `require`, `free` or `exempt`; `lifetime` seconds or None; `repositories` and `refs` patterns, `operations` words,
each empty for "any"; `users` None or (names, groups), names between line breaks; `networks` (version, prefix, shift) each;
`since` and `until` Unix seconds or None, the second not included.
MUST: where identity, address or repository is unknown, a condition on it counts as met for a rule that requires and as
unmet for one that does not.
"""

from gitguard.policy.glob import fits
from gitguard.session.scope import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REQUIRE, FREE, EXEMPT = "require", "free", "exempt"


class Asked:
    """Who asks for what, as rules look at it. `user`, `address`, `repository`: "" where unknown."""

    __slots__ = ("address", "at", "operation", "repository", "user")

    def __init__(self, user: str, operation: str, repository: str, address: str, at: int) -> None:
        self.user = user
        self.operation = operation
        self.repository = repository
        self.address = address
        self.at = at


def candidates(rules: "tuple[Any, ...]", groups: "dict[str, str]", asked: Asked) -> "tuple[list[Any], bool]":
    """(every rule that can be the first to match, by its refs too; whether none of them may match).

    Without refs in play that is one rule, or none at all; what stands behind a rule that matches any ref cannot be first.
    """
    found: list[Any] = []
    for rule in rules:
        if _matches(rule, groups, asked):
            if not rule[6]:
                found.append(rule)
                return found, False
            if asked.operation == "push":
                found.append(rule)
    return found, True


def first(found: "list[Any]", ref: str) -> "Any":
    """The first of `candidates` for one ref, None if none matches."""
    for rule in found:
        if not rule[6] or any(fits(pattern, ref) for pattern in rule[6]):
            return rule
    return None


def _matches(rule: "Any", groups: "dict[str, str]", asked: Asked) -> bool:
    """Whether everything but the refs fits."""
    _, kind, _, repositories, users, operations, _, networks, since, until = rule
    requires: bool = kind == REQUIRE
    if operations and asked.operation not in operations:
        return False
    if (since is not None and asked.at < since) or (until is not None and asked.at >= until):
        return False
    if users is not None and not (_is_one(users, groups, asked.user) if asked.user else requires):
        return False
    if networks and not _comes_from(networks, asked.address, requires=requires):
        return False
    if not repositories:
        return True
    if not asked.repository:
        return requires
    return any(fits(pattern, asked.repository) for pattern in repositories)


def _is_one(users: "tuple[str, tuple[str, ...]]", groups: "dict[str, str]", user: str) -> bool:
    """A text search in names between line breaks: a group of ten thousand costs the gate no set of ten thousand."""
    word = f"\n{user}\n"
    names, named_groups = users
    return word in names or any(word in groups[name] for name in named_groups)


def _comes_from(networks: "tuple[tuple[int, int, int], ...]", address: str, *, requires: bool) -> bool:
    number = number_of(address)
    if number is None:
        return requires
    version, value = number
    return any(version == v and value >> shift == prefix for v, prefix, shift in networks)
