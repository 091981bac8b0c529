"""The server admin's rules: which one is the first that matches. Pure; plain dialect:
gate and hook load this file.

A rule is a tuple, as the configuration's compiled form holds it (config/compile.py makes
it); its places are named below.

`kind` is `require`, `free` or `exempt`; `lifetime` seconds or None; `repositories` (beginnings, patterns,
what a name must hold to fit each), `refs` patterns, `operations` words, each empty for "any"; `users` None or
(names, groups), names sorted and between line breaks; `networks` (version, prefix, shift) each; `since` and
`until` Unix seconds or None, the second not included.

A thousand of them are not all read for one request: they are parted by what can rule out many at once
(`Rules`). MUST: where identity, address or repository is unknown, a condition on it counts as met for a rule
that requires and as unmet for one that does not.
"""

import marshal

from gitguard.policy.glob import fits
from gitguard.session.scope import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The places in a rule.
NAME, KIND, LIFETIME, REPOSITORIES, USERS, OPERATIONS, REFS, NETWORKS, SINCE, UNTIL = range(10)
REQUIRE, FREE, EXEMPT = "require", "free", "exempt"
FEW_NAMES = 16  # a rule with more names than that is not kept once for each of them


class Asked:
    """Who asks for what, as rules look at it. `user`, `repository`: "" where unknown;
    `number`: the address, None likewise.

    `member` remembers of which groups the user is one: they may be large, and many rules may name one group.
    """

    __slots__ = ("at", "member", "number", "operation", "repository", "user", "word")

    def __init__(self, user: str, operation: str, repository: str, address: str, at: int) -> None:
        self.user = user
        self.word = f"\n{user}\n"
        self.operation = operation
        self.repository = repository
        self.number = number_of(address)
        self.at = at
        self.member: dict[str, bool] = {}


class Rules:
    """All rules, in parts that are read only when they may matter: each part's bytes
    hold (place, rule) of its rules.

    `by_user`: name -> the part of the rules that name nobody but a few people, for each of them. `parts`:
    (operations, users, networks, bytes): the rules with these very conditions. MUST: leaving a part out
    answers no question, it only leaves out rules that `matches` would pass over; what is unknown of a request
    leaves nothing out.
    """

    __slots__ = ("_by_user", "_parts", "count", "has_refs", "last_since")

    count: int
    has_refs: bool
    last_since: int

    def __init__(self, compiled: "tuple[Any, ...]" = ()) -> None:
        """`compiled` is what `parted` made; `has_refs`: whether any rule has refs; `last_since`:
        when the last one begins, or 0.
        """
        self.count, self.has_refs, self.last_since, self._by_user, self._parts = compiled or (
            0,
            False,
            0,
            {},
            (),
        )

    def may_match(self, groups: "dict[str, str]", asked: Asked) -> "list[Any]":
        """The rules that may match `asked`, in their order."""
        found = []
        if asked.user:
            if asked.user in self._by_user:
                found.append(self._by_user[asked.user])
        else:
            found.extend(self._by_user.values())
        for operations, users, networks, data in self._parts:
            if operations and asked.operation not in operations:
                continue
            if users is not None and asked.user and not _is_one(users, groups, asked):
                continue
            if (
                networks
                and asked.number is not None
                and not _comes_from(networks, asked.number, requires=True)
            ):
                continue
            found.append(data)
        return _in_order(found)

    def all(self) -> "list[Any]":
        """Every rule, in order."""
        return _in_order([*self._by_user.values(), *[data for _, _, _, data in self._parts]])


def _in_order(found: "list[bytes]") -> "list[Any]":
    if len(found) == 1:
        return [rule for _, rule in marshal.loads(found[0])]  # noqa: S302 - of the compiled form, which is ours alone
    placed: dict[int, Any] = {}
    for data in found:
        placed.update(marshal.loads(data))  # noqa: S302 - likewise
    return [placed[place] for place in sorted(placed)]


def parted(rules: "tuple[Any, ...]") -> "tuple[Any, ...]":
    """The rules as `Rules` reads them."""
    by_user: dict[str, list[Any]] = {}
    parts: dict[Any, list[Any]] = {}
    for entry in enumerate(rules):
        rule = entry[1]
        users, operations, networks = rule[USERS], rule[OPERATIONS], rule[NETWORKS]
        names = users[0].split("\n")[1:-1] if users is not None and not users[1] else []
        if 0 < len(names) <= FEW_NAMES:
            for name in names:
                by_user.setdefault(name, []).append(entry)
        else:
            parts.setdefault((operations, users, networks), []).append(entry)
    return (
        len(rules),
        any(rule[REFS] for rule in rules),
        max([rule[SINCE] for rule in rules if rule[SINCE] is not None], default=0),
        {name: marshal.dumps(tuple(entries)) for name, entries in by_user.items()},
        tuple([(*conditions, marshal.dumps(tuple(entries))) for conditions, entries in parts.items()]),
    )


def candidates(rules: Rules, groups: "dict[str, str]", asked: Asked) -> "tuple[list[Any], bool]":
    """(every rule that can be the first to match, by its refs too; whether none of them may match).

    Without refs in play that is one rule, or none at all; what stands behind a rule that
    matches any ref cannot be first.
    """
    found: list[Any] = []
    operation, repository = asked.operation, asked.repository
    for rule in rules.may_match(groups, asked):
        # Hundreds of rules may be looked at in one request: what one call in C can rule out goes first.
        _, _, _, repositories, users, operations, refs, _, _, _ = rule
        if operations and operation not in operations:
            continue
        if repositories and repository:
            beginnings, _, holds = repositories
            if not repository.startswith(beginnings):
                continue
            for part in holds:
                if part in repository:
                    break
            else:
                continue
        if users is not None and not users[1] and asked.user and asked.word not in users[0]:
            continue
        if matches(rule, groups, asked):
            if refs:
                if operation == "push":
                    found.append(rule)
                continue
            found.append(rule)
            if repository or not repositories:
                return found, False
            # Which repository is meant is not known: it may be one of this rule's, and of a later one's.
    return found, True


def first(found: "list[Any]", ref: str) -> "Any":
    """The first of `candidates` for one ref, None if none matches."""
    for rule in found:
        if not rule[REFS] or any(fits(pattern, ref) for pattern in rule[REFS]):
            return rule
    return None


def matches(rule: "Any", groups: "dict[str, str]", asked: Asked) -> bool:
    """Whether everything but the refs fits."""
    _, kind, _, repositories, users, operations, _, networks, since, until = rule
    requires: bool = kind == REQUIRE
    if operations and asked.operation not in operations:
        return False
    if (since is not None and asked.at < since) or (until is not None and asked.at >= until):
        return False
    if users is not None and not (_is_one(users, groups, asked) if asked.user else requires):
        return False
    if networks and not _comes_from(networks, asked.number, requires=requires):
        return False
    if not repositories:
        return True
    if not asked.repository:
        return requires
    return any(fits(pattern, asked.repository) for pattern in repositories[1])


def _is_one(users: "tuple[str, tuple[str, ...]]", groups: "dict[str, str]", asked: Asked) -> bool:
    names, named_groups = users
    if asked.word in names:
        return True
    for name in named_groups:
        if name not in asked.member:
            asked.member[name] = is_listed(groups[name], asked.user)
        if asked.member[name]:
            return True
    return False


def is_listed(names: str, user: str) -> bool:
    """Whether `user` is one of `names`: sorted, each between line breaks.

    A search by halves in one text: a group of ten thousand costs the gate neither a set nor a walk.
    """
    low, high = 0, len(names)
    while low < high - 1:
        begin = names.rfind("\n", low, (low + high) // 2 + 1)
        end = names.find("\n", begin + 1)
        name = names[begin + 1 : end]
        if name == user:
            return True
        if name < user:
            low = end
        else:
            high = begin + 1
    return False


def _comes_from(
    networks: "tuple[tuple[int, int, int], ...]", number: "tuple[int, int] | None", *, requires: bool
) -> bool:
    if number is None:
        return requires
    version, value = number
    return any(version == v and value >> shift == prefix for v, prefix, shift in networks)
