"""A policy for one person, from one address, at one moment: for who asks about thousands of repositories. Pure."""

from __future__ import annotations

from typing import Any

from gitguard.policy.rules import Asked, Rules, matches
from gitguard.policy.situation import Policy


class _Rules(Rules):
    """Of some rules those that may match whoever is asked about; they are taken apart once, and not at each question."""

    __slots__ = ("_all", "_by_first", "_everywhere")

    def __init__(self, rules: Rules, groups: dict[str, str], asked: Asked) -> None:
        self.count, self.has_refs, self.last_since = rules.count, rules.has_refs, rules.last_since
        self._everywhere: list[tuple[int, Any]] = []
        self._by_first: dict[str, list[tuple[int, Any]]] = {}
        # Operations, repositories and refs are asked about later.
        self._all: list[Any] = []
        for place, rule in enumerate(rules.all()):
            if not matches((*rule[:3], (), rule[4], (), *rule[6:]), groups, asked):
                continue
            self._all.append(rule)
            firsts = {pattern.partition("/")[0] for pattern in rule[3][1]} if rule[3] else {"*"}
            if any("*" in first for first in firsts):
                self._everywhere.append((place, rule))
                continue
            for first in firsts:
                self._by_first.setdefault(first, []).append((place, rule))

    def may_match(self, groups: dict[str, str], asked: Asked) -> list[Any]:
        """Those that are left for such a repository, in their order."""
        del groups
        if not asked.repository:
            return self._all  # which one is not known, so it may be any
        near = self._by_first.get(asked.repository.partition("/")[0], [])
        found = sorted([*self._everywhere, *near], key=lambda one: one[0]) if near else self._everywhere
        return [rule for _, rule in found]


def narrowed(policy: Policy, user: str, address: str, at: int) -> Policy:
    """The same answers as `policy`'s for this user, address and moment (Unix seconds), at a fraction of the cost each."""
    asked = Asked(user, "", "", address, at)
    found = Policy(
        policy.enforcement, policy.lifetime_seconds, allow_always=policy.allow_always, groups=policy.groups
    )
    found.rules = _Rules(policy.rules, policy.groups, asked)
    return found
