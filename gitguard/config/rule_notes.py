"""What is odd about rules that are in order: `config check` says it, and exits 0 all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gitguard.config.schema import RuleTable, Settings
from gitguard.message.moments import day
from gitguard.policy.glob import fits, whole_ref

SOON_SECONDS = 30 * 86400


@dataclass(frozen=True, slots=True)
class Known:
    """Whom and what the store knows: users who are not removed, and repositories, by name."""

    users: frozenset[str]
    repositories: frozenset[str]


def rule_notes(settings: Settings, at: int, known: Known | None = None) -> list[tuple[int, str]]:
    """(index of the rule, what is odd about it) at the moment `at` (Unix seconds); `known` None: no store was asked."""
    notes: list[tuple[int, str]] = []
    if settings.rules and settings.git.enforcement == "off":
        notes.append((0, "enforcement is off, so no rule is looked at"))
    for index, rule in enumerate(settings.rules):
        notes += [(index, f"rule {rule.name!r} {what}") for what in _of_one(settings, rule, at)]
        if known is not None:
            notes += [(index, f"rule {rule.name!r} {what}") for what in _of_nobody(settings, rule, known)]
        for earlier in settings.rules[:index]:
            if _covers(settings, earlier, rule, at):
                notes.append(
                    (
                        index,
                        f"rule {rule.name!r} can never be first: {earlier.name!r} above matches all of it",
                    )
                )
                break
    return notes


def _of_one(settings: Settings, rule: RuleTable, at: int) -> list[str]:
    found = []
    if rule.until is not None and rule.until <= at:
        found.append("has ended, so it matches nothing any more")
    elif rule.until is not None and rule.until - at <= SOON_SECONDS:
        found.append(f"ends within 30 days, at the end of {day(rule.until - 1, at)}")
    if rule.since is not None and rule.since > at:
        found.append(f"has not begun: it begins on {day(rule.since, at)}")
    if rule.exempt:
        admins = [name for name in sorted(_members(settings, rule)) if settings.is_server_admin(name)]
        if admins:
            found.append(f"exempts {', '.join(admins)}, who may administer the server's repositories")
    if rule.require is False and not (
        rule.users or rule.repositories or rule.from_ or rule.operations or rule.refs or rule.since
    ):
        found.append("frees everybody everywhere: nothing below it demands anything")
    return found


def _of_nobody(settings: Settings, rule: RuleTable, known: Known) -> list[str]:
    """Names and patterns that nothing answers to: a slip of the pen, or somebody who has left."""
    found = []
    strangers = sorted(_members(settings, rule) - known.users)
    if rule.users and len(strangers) == len(_members(settings, rule)):
        found.append(f"names nobody that the store knows ({', '.join(strangers[:3])})")
    elif strangers:
        found.append(f"names {', '.join(strangers[:3])}, whom the store does not know")
    empty = [
        str(pattern)
        for pattern in rule.repositories
        if not any(fits(str(pattern), name) for name in known.repositories)
    ]
    if rule.repositories and len(empty) == len(rule.repositories):
        found.append(f"names no repository that the store knows ({', '.join(empty[:3])})")
    elif empty:
        found.append(f"has patterns that no repository fits: {', '.join(empty[:3])}")
    return found


def _members(settings: Settings, rule: RuleTable) -> set[str]:
    """The users that a rule names, groups resolved; empty for anybody."""
    return {
        str(name)
        for who in rule.users
        for name in (settings.groups.get(who[1:], []) if who.startswith("@") else [who])
    }


def _covers(settings: Settings, earlier: RuleTable, later: RuleTable, at: int) -> bool:
    """Whether whatever `later` matches from now on, `earlier` matches before it. Not every such case is seen."""
    begun = earlier.since is None or earlier.since <= max(at, later.since or at)
    lasts = earlier.until is None or (later.until is not None and later.until <= earlier.until)
    users = not earlier.users or bool(
        later.users and _members(settings, later) <= _members(settings, earlier)
    )
    # A rule that demands also counts where user or address is unknown, and one that frees does not.
    certain = bool(earlier.require) or (not earlier.users and not earlier.from_) or not later.require
    return (
        begun
        and lasts
        and users
        and certain
        and _within(later.repositories, earlier.repositories)
        and _within(later.operations, earlier.operations)
        and _within(
            [whole_ref(ref) for ref in later.refs], [whole_ref(ref) for ref in earlier.refs], "refs/**"
        )
        and _within(later.from_, earlier.from_)
    )


def _within(later: Sequence[str], earlier: Sequence[str], everything: str = "**") -> bool:
    """Whether one list of conditions lies within another: an empty one is any; names are compared as written."""
    if not earlier or everything in earlier:
        return True
    return bool(later) and set(later) <= set(earlier)
