"""A policy for one person, from one address, at one moment: for who asks about
thousands of repositories. Pure.

Of two repositories that fit the same patterns, and demand the same by themselves, the
same is required: asked once.
"""

from __future__ import annotations

from typing import Any

from gitguard.policy.glob import fits
from gitguard.policy.requirement import Requirement
from gitguard.policy.rules import REPOSITORIES, USERS, Asked, Rules, matches
from gitguard.policy.situation import KNOWN, Policy, Situation


class _Rules(Rules):
    """Of some rules those that may match anyone who is asked about; they are taken apart
    once, and not at each question.
    """

    __slots__ = ("_all", "_by_first", "_everywhere", "_fitting")

    def __init__(self, rules: Rules, groups: dict[str, str], asked: Asked) -> None:
        self.count, self.has_refs, self.last_since = rules.count, rules.has_refs, rules.last_since
        self._everywhere: list[tuple[int, Any]] = []  # (place, what it says of repositories)
        self._by_first: dict[str, list[tuple[int, Any]]] = {}
        self._fitting: dict[str, tuple[int, ...]] = {}
        # Operations, repositories and refs are asked about later.
        self._all = [
            rule
            for rule in rules.all()
            if matches((*rule[:3], (), rule[USERS], (), *rule[6:]), groups, asked)
        ]
        for place, rule in enumerate(self._all):
            if not rule[REPOSITORIES]:
                continue
            firsts = {pattern.partition("/")[0] for pattern in rule[REPOSITORIES][1]}
            if any("*" in first for first in firsts):
                self._everywhere.append((place, rule[REPOSITORIES]))
                continue
            for first in firsts:
                self._by_first.setdefault(first, []).append((place, rule[REPOSITORIES]))

    def may_match(self, groups: dict[str, str], asked: Asked) -> list[Any]:
        """Those that are left, in their order."""
        del groups, asked
        return self._all

    def fitting(self, repository: str) -> tuple[int, ...]:
        """The places of the rules whose patterns the repository fits; what else decides is
        the same for all repositories.
        """
        if repository not in self._fitting:
            found = []
            for place, (beginnings, patterns, holds) in (
                *self._everywhere,
                *self._by_first.get(repository.partition("/")[0], ()),
            ):
                if not repository.startswith(beginnings):
                    continue
                for held in holds:  # what one call in C can rule out goes first
                    if held in repository:
                        break
                else:
                    continue
                if any(fits(pattern, repository) for pattern in patterns):
                    found.append(place)
            self._fitting[repository] = tuple(sorted(found))
        return self._fitting[repository]


class _Policy(Policy):
    """It remembers its answers. MUST: everything that an answer depends on, and
    that differs, is in the key.
    """

    __slots__ = ("_answered", "_narrowed", "about")

    def __init__(self, policy: Policy, user: str, address: str, at: int) -> None:
        super().__init__(
            policy.enforcement,
            policy.lifetime_seconds,
            allow_always=policy.allow_always,
            groups=policy.groups,
        )
        self.about = (user, address, at)
        self.rules = self._narrowed = _Rules(policy.rules, policy.groups, Asked(user, "", "", address, at))
        self._answered: dict[object, Requirement] = {}

    def _alone(
        self,
        s: Situation,
        operation: str,
        demand: tuple[str, str, int | None],
        *,
        refs_of_another: bool = False,
    ) -> Requirement:
        if s.refs or s.what != KNOWN or not demand[0]:
            return super()._alone(s, operation, demand, refs_of_another=refs_of_another)
        key = (self._narrowed.fitting(demand[0]), operation, *demand[1:], refs_of_another or not s.hooked)
        if key not in self._answered:
            self._answered[key] = super()._alone(s, operation, demand, refs_of_another=refs_of_another)
        return self._answered[key]


def narrowed(policy: Policy, user: str, address: str, at: int) -> Policy:
    """The same answers as `policy`'s for this user, address and moment (Unix seconds), each far cheaper."""
    if isinstance(policy, _Policy) and policy.about == (user, address, at):
        return policy
    return _Policy(policy, user, address, at)
