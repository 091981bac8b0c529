"""What is odd about rules that are in order: `config check` says it, and exits 0 all the same."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from msgspec import Struct

from gitguard.config.schema import RuleTable, Settings
from gitguard.config.types import format_duration
from gitguard.message.moments import day
from gitguard.policy.containment import lies_within
from gitguard.policy.glob import HEADS, fits, whole_ref
from gitguard.policy.ref_names import REMOTES

SOON_SECONDS = 30 * 86400
KINDS = (
    "heads",
    "tags",
    "notes",
    "remotes",
    "replace",
    "for",
    "changes",
    "meta",
    "pull",
    "merge-requests",
    "keep-around",
    "stash",
)
USUAL = ("main", "master", "develop", "trunk", "production", "release")


class Known(Struct, frozen=True):
    """Whom and what the store knows: users who are not removed, and repositories, by name."""

    users: frozenset[str]
    repositories: frozenset[str]


def rule_notes(settings: Settings, at: int, known: Known | None = None) -> list[tuple[int, str]]:
    """(index of the rule, what is odd) at the moment `at` (Unix seconds);
    `known` None: no store was asked.
    """
    notes: list[tuple[int, str]] = []
    if settings.rules and settings.git.enforcement == "off":
        notes.append((0, "enforcement is off, so no rule is looked at"))
    for index, rule in enumerate(settings.rules):
        odd = [*_of_one(settings, rule, at), *_of_refs(rule), *_frees_stand_ins(settings, index)]
        notes += [(index, f"rule {rule.name!r} {what}") for what in odd]
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
    if rule.lifetime is not None and rule.lifetime > settings.session.lifetime:
        longest = format_duration(settings.session.lifetime)
        found.append(f"has a lifetime longer than [session] lifetime, {longest}, which counts")
    if rule.since is not None and rule.since > at:
        found.append(f"has not begun: it begins on {day(rule.since, at)}")
    if rule.exempt:
        admins = [name for name in sorted(_members(settings, rule)) if settings.is_server_admin(name)]
        if admins:
            found.append(f"exempts {', '.join(admins)}, who may administer the server's repositories")
    if rule.require is False and not (
        rule.users or rule.repositories or rule.from_ or rule.operations or rule.refs or rule.since
    ):
        found.append("exempts everyone everywhere: no rule below it has any effect")
    return found


def _of_nobody(settings: Settings, rule: RuleTable, known: Known) -> list[str]:
    """Names and patterns that nothing answers to: a slip of the pen, or someone who has left."""
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
    """The users that a rule names, groups resolved; empty for anyone."""
    return {
        str(name)
        for who in rule.users
        for name in (settings.groups.get(who[1:], []) if who.startswith("@") else [who])
    }


def _covers(settings: Settings, earlier: RuleTable, later: RuleTable, at: int) -> bool:
    """Whether `earlier` matches everything that `later` does, from now on. Not every such case is found."""
    begun = earlier.since is None or earlier.since <= max(at, later.since or at)
    lasts = earlier.until is None or (later.until is not None and later.until <= earlier.until)
    users = not earlier.users or bool(
        later.users and _members(settings, later) <= _members(settings, earlier)
    )
    # A rule that requires also counts where user or address is unknown, and one that frees does not.
    certain = bool(earlier.require) or (not earlier.users and not earlier.from_) or not later.require
    return (
        begun
        and lasts
        and users
        and certain
        and _within(later.repositories, earlier.repositories)
        and (
            not earlier.operations
            or bool(later.operations and set(later.operations) <= set(earlier.operations))
        )
        and _within(
            [whole_ref(ref) for ref in later.refs], [whole_ref(ref) for ref in earlier.refs], "refs/**"
        )
        and _networks_within(later.from_, earlier.from_)
    )


def _within(later: Sequence[str], earlier: Sequence[str], everything: str = "**") -> bool:
    """Whether one list of patterns lies within another: an empty one is any."""
    if not earlier or everything in earlier:
        return True
    return bool(later) and all(any(lies_within(one, other) for other in earlier) for one in later)


def _networks_within(later: Sequence[str], earlier: Sequence[str]) -> bool:
    if not earlier:
        return True
    inner, outer = ([ipaddress.ip_network(one) for one in some] for some in (later, earlier))
    return bool(inner) and all(
        any(one.version == other.version and one.subnet_of(other) for other in outer)  # type: ignore[arg-type]
        for one in inner
    )


def _of_refs(rule: RuleTable) -> list[str]:
    """Patterns of refs that are in order, and hardly what someone means."""
    found = []
    for pattern in map(str, rule.refs):
        whole = whole_ref(pattern)
        kind, branch = whole.split("/")[1], whole.removeprefix(HEADS)
        if kind not in KINDS and "*" not in kind:
            found.append(
                f"has refs {pattern!r}: refs/{kind}/ is no kind of ref that Git has; branches are in refs/heads/"
            )
        if whole.startswith(HEADS) and branch.partition("/")[0] in REMOTES:
            found.append(
                f"has refs {pattern!r}, as a clone calls it; here it is {branch.partition('/')[2] or 'main'!r}"
            )
        if whole.startswith(HEADS) and branch.lower() in USUAL and branch not in USUAL:
            found.append(f"has refs {pattern!r}: capital letters count, so it is not {branch.lower()!r}")
        if "," in pattern:
            found.append(
                f"has refs {pattern!r}: a comma is a letter of the name; write each pattern as a text of its own"
            )
        if not pattern.isascii():
            found.append(
                f"has refs {pattern!r}: letters outside ASCII have more than one spelling, and only this one fits"
            )
        if rule.require and whole.endswith("/*"):
            found.append(f"has refs {pattern!r}, which a/b does not fit below it; {pattern}* does")
    return found


def _frees_stand_ins(settings: Settings, index: int) -> list[str]:
    """A rule that frees tags (or another folder) beside one for branches: what is looked up first is free."""
    rule = settings.rules[index]
    freed = [
        str(one)
        for one in rule.refs
        if not rule.require
        and not whole_ref(str(one)).startswith(HEADS)
        and "*" not in whole_ref(str(one)).split("/")[1]
    ]
    found = []
    for pattern in freed:
        rest = HEADS + pattern.split("/", 2)[-1]
        for other in settings.rules:
            taken = [one for one in other.refs if other.require and lies_within(whole_ref(str(one)), rest)]
            if taken:
                found.append(
                    f"frees {pattern!r}: a ref of that name stands for the branch {taken[0]} of the rule {other.name!r} wherever people ask by its short name"
                )
                break
    return found
