"""The past under another policy: who would have been refused, where, how often, by which rule."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from gitguard.action.installation import Installation
from gitguard.answer.log_reader import LogEntry
from gitguard.config.rules import policy_of
from gitguard.config.schema import Settings
from gitguard.message.reasons import WANTING
from gitguard.policy.requirement import Requirement
from gitguard.policy.situation import Situation
from gitguard.policy.verdict import NEVER, Freshness
from gitguard.repository.registry import lending
from gitguard.store.rows import Repository, User


class Row(Struct, frozen=True):
    """One user, operation and repository: how often it was let in and would be refused (`newly`), and the
    other way round (`freed`); `by_refs`: how often that hangs on refs, which the log does not know.
    """

    user: str
    operation: str
    repository: str
    because: str
    enrolled: bool
    newly: int
    freed: int
    by_refs: int


class Replayed(Struct, frozen=True):
    """`rows`, the most refused first; `judged` lines, of which `left_out` name no known repository."""

    rows: list[Row]
    judged: int
    left_out: int


class _Facts:
    """What the store says today of everyone and everything: the log has no more of it than names."""

    def __init__(self, installation: Installation) -> None:
        with installation.store.reading() as tx:
            self.users: dict[str, User] = {user.name: user for user in tx.users()}
            self.enrolled = tx.enrolled()
            known = tx.repositories()
            self.repositories: dict[str, Repository] = {row.name: row for row in known}
            self.lending = lending(tx, known)


def replay(installation: Installation, settings: Settings, entries: Iterable[LogEntry]) -> Replayed:
    """Judge `entries` of the log by `settings`, with today's users, toggles and lenders. Raises Refusal."""
    policy, facts = policy_of(settings), _Facts(installation)
    counts: dict[tuple[str, str, str, str], list[int]] = {}
    judged = left_out = 0
    for entry in entries:
        words = [entry.get(name) for name in ("user", "operation", "repository", "address")]
        user, operation, repository, address = (word if isinstance(word, str) else "" for word in words)
        at = entry.get("at")
        if operation not in ("read", "push") or not isinstance(at, int):
            continue
        row = facts.repositories.get(repository)
        if row is None or user not in facts.users:
            left_out += 1
            continue
        judged += 1
        demand = policy.demands(_situation(facts, user, operation, row, address, at))
        was_refused = entry.get("verdict") == "refused" and entry.get("reason") in WANTING
        if not was_refused and entry.get("verdict") != "allowed":
            continue  # refused for what no policy changes
        would = _would_refuse(demand, entry, enrolled=user in facts.enrolled)
        newly, freed = would and not was_refused, was_refused and not would
        hangs = demand.depends_on_refs and not would
        if newly or freed or hangs:
            count = counts.setdefault((user, operation, repository, _cause(demand)), [0, 0, 0])
            count[0] += newly
            count[1] += freed
            count[2] += hangs
    rows = [
        Row(user, operation, repository, because, user in facts.enrolled, *numbers)
        for (user, operation, repository, because), numbers in counts.items()
    ]
    return Replayed(sorted(rows, key=lambda row: (-row.newly, -row.by_refs, row.user)), judged, left_out)


def _situation(facts: _Facts, user: str, operation: str, row: Repository, address: str, at: int) -> Situation:
    def demand(one: Repository) -> tuple[str, str, int | None]:
        return (one.name, one.require, one.lifetime_seconds)

    return Situation(
        user,
        operation,
        repository=demand(row),
        always=facts.users[user].always,
        borrows=tuple(demand(one) for one in facts.lending.borrows.get(row.name, ())),
        lends=tuple(demand(one) for one in facts.lending.lends.get(row.name, ())),
        address=address,
        at=at,
    )


def _would_refuse(demand: Requirement, entry: LogEntry, *, enrolled: bool) -> bool:
    """By how old the verification was then, as the log says."""
    if demand.lifetime_seconds is None:
        return False
    age = entry.get("session_age_seconds")
    then = Freshness(0, age, None) if isinstance(age, int) else NEVER
    return not (enrolled and then.lasts(demand.lifetime_seconds))


def _cause(demand: Requirement) -> str:
    if demand.because:
        return demand.because
    if demand.refs:
        return "+".join(dict.fromkeys(f"rule:{rule}" for _, rule in demand.refs))
    return f"rule:{demand.rule}" if demand.rule else ""
