"""The installation in numbers: people, sessions, verifications, decisions, sizes, and what is
slow to decide. Changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from gitguard.action.attention import attention
from gitguard.action.installation import Installation
from gitguard.answer.log_reader import LogEntry
from gitguard.config.load import load
from gitguard.decision.explain import VERBS, explain
from gitguard.decision.status import live_sessions
from gitguard.factor.throttle import longest_window, retry_at
from gitguard.session.credential import credential_of
from gitguard.session.moment import Moment
from gitguard.store.contract import Reading
from gitguard.store.gate_opening import query_of
from gitguard.store.rows import AuditRecord

SAMPLED = 50  # different requests of the log that are decided again, to see how long that takes
SHOWN = 3
_METHOD = re.compile('"method":"([a-z-]+)"')


class Slow(Struct, frozen=True):
    """One request of the log, decided again just now, and how long that took."""

    user: str
    operation: str
    repository: str
    milliseconds: float


class People(Struct, frozen=True):
    """Who is there just now. `active` users are not suspended; `enrolled`: those
    of them with a second factor;

    `throttled`: those whose budget of wrong codes is spent. `demanding`: repositories
    with a toggle that requires.
    """

    active: int
    enrolled: int
    suspended: int
    keys: int
    hardware_keys: int
    sessions: int
    throttled: int
    open_invites: int
    repositories: int
    demanding: int


class Trail(Struct, frozen=True):
    """What the trail says: sessions opened, by method, and codes rejected, since a moment; and its length."""

    verifications: dict[str, int]
    rejected_codes: int
    records: int


class Statistics(Struct, frozen=True):
    """`period`: what the trail says of the last `period_seconds`, `ever`: of all time.
    `allowed` and `refused`: the

    period's decisions by reason. `waiting`: pushes that wait now. `concerns`: what needs an admin's look.
    `slowest`: of what was decided again just now.
    """

    period_seconds: int
    people: People
    period: Trail
    ever: Trail
    allowed: dict[str, int]
    refused: dict[str, int]
    waiting: int
    concerns: int
    store_bytes: int
    log_bytes: int
    slowest: tuple[Slow, ...]


def statistics(
    installation: Installation, moment: Moment, period_seconds: int, entries: Iterable[LogEntry]
) -> Statistics:
    """The numbers at `moment`; `entries` are the log's of the period. Raises Refusal."""
    allowed: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    asked: dict[tuple[str, ...], None] = {}
    for entry in entries:
        (allowed if entry.get("verdict") == "allowed" else refused)[str(entry.get("reason"))] += 1
        if entry.get("operation") in VERBS and entry.get("repository"):
            names = ("user", "key", "address", "repository", "operation")
            request = tuple(str(entry.get(name) or "") for name in names)
            asked.pop(request, None)
            asked[request] = None  # the latest last
    paths = installation.settings.paths
    with installation.store.reading() as tx:
        people = _people(installation, tx, moment)
        waiting = len(installation.notes(tx).held(moment.at))
        period, ever = _trail(tx.audit(), moment.at - period_seconds)
    return Statistics(
        period_seconds,
        people,
        period,
        ever,
        dict(allowed.most_common()),
        dict(refused.most_common()),
        waiting,
        _concerns(installation, moment),
        installation.store.size(),
        _size(str(paths.access_log)),
        _slowest(installation, moment, list(asked)[-SAMPLED:]),
    )


def _people(installation: Installation, tx: Reading, moment: Moment) -> People:
    users, keys, repositories = list(tx.users()), tx.keys(), tx.repositories()
    active = [user.name for user in users if user.state == "active"]
    factors = tx.enrolled()
    invites = [invite for name in active if (invite := tx.invite(name)) is not None]
    return People(
        active=len(active),
        enrolled=sum(name in factors for name in active),
        suspended=sum(user.state == "suspended" for user in users),
        keys=len(keys),
        hardware_keys=sum(key.counts_by_itself for key in keys),
        sessions=sum(1 for _ in live_sessions(tx, installation.settings, moment)),
        throttled=len(throttled(installation, tx, moment)),
        open_invites=sum(expires_at > moment.at for _, expires_at in invites),
        repositories=len(repositories),
        demanding=sum(row.require != "none" for row in repositories),
    )


def _trail(records: Iterable[AuditRecord], after: int) -> tuple[Trail, Trail]:
    """(since `after`, of all time), counted in one pass."""
    methods: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    rejected, count = [0, 0], 0
    for record in records:
        count += 1
        if record.is_about("session-opened"):
            method = _method_of(record)
            methods[1][method] += 1
            methods[0][method] += record.at >= after
        elif record.is_about("code-rejected"):
            rejected[1] += 1
            rejected[0] += record.at >= after
    period, ever = ({name: n for name, n in counts.most_common() if n} for counts in methods)
    return Trail(period, rejected[0], count), Trail(ever, rejected[1], count)


def _method_of(record: AuditRecord) -> str:
    """By what a session was opened: cut out of the text, which costs a third of reading it all."""
    found = _METHOD.search(record.text)
    return found[1] if found is not None else "None"


def _concerns(installation: Installation, moment: Moment) -> int:
    found = attention(installation, moment)
    return len(found.concerns) + found.more


def throttled(installation: Installation, tx: Reading, moment: Moment) -> list[str]:
    """Who has typed too many wrong codes, and must wait just now."""
    guessed = tx.users_guessed_since(moment.at - longest_window(installation.settings.throttle))
    return [name for name in guessed if _is_throttled(installation, tx, name, moment)]


def _is_throttled(installation: Installation, tx: Reading, user: str, moment: Moment) -> bool:
    limits = installation.settings.throttle
    failures = tx.failures(user, moment.at - longest_window(limits))
    unanswered = sum(entry.failures for entry in tx.guessing(user))
    spent = {failure.credential for failure in failures}
    return any(retry_at(failures, key, moment.at, limits, unanswered) is not None for key in spent)


def _slowest(installation: Installation, moment: Moment, asked: list[tuple[str, ...]]) -> tuple[Slow, ...]:
    """The slowest of `asked`, decided again: a lender with many borrowers or a slow disk shows here."""
    config = load(*installation.places.of_gate)
    took = []
    for user, key, address, repository, operation in asked:
        query = query_of(config)
        began = time.perf_counter()
        explain(config, query, user, credential_of(key), address, repository, operation, moment)
        took.append(Slow(user, operation, repository, round((time.perf_counter() - began) * 1000, 2)))
        query.close()
    return tuple(sorted(took, key=lambda slow: slow.milliseconds, reverse=True)[:SHOWN])


def _size(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.stat(path).st_size
    return 0
