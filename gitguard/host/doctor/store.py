"""The store: its file, its schema, its audit chain."""

from __future__ import annotations

from collections.abc import Iterator

from gitguard.host.doctor.finding import Finding, gap, note, ok
from gitguard.store.chain import faults
from gitguard.store.sqlite import SqliteStore


def store_findings(store: SqliteStore) -> Iterator[Finding]:
    """SQLite's own check, and the chain against the head outside."""
    damage = store.integrity()
    if damage:
        yield gap("store", f"{store.path}: {damage}", "gitguard admin store restore FILE")
    else:
        yield ok("store", f"{store.path} is whole")
    try:
        head = store.head.read()
    except (OSError, ValueError) as error:
        yield gap("audit", f"{store.head.path}: {error}", "find out who touched it; a change renews it")
        return
    with store.reading() as tx:
        found, lag = faults(tx.audit(), head)
    for fault in found:
        yield gap("audit", fault, "see docs/operations.md, and keep a copy of the store as it is")
    if not found:
        yield (
            note("audit", f"the audit head outside lags by {lag} records, as after a crash")
            if lag
            else ok("audit", "the audit chain is whole")
        )
