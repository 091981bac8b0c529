"""The audit trail, read from its beginning to its end however long it is, and its older part moved out of the store."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from gitguard.store.contract import Store
from gitguard.store.rows import AuditRecord

AT_ONCE = (
    10_000  # records in one transaction: whoever reads them through a pager must not hold one open overnight
)


def records(store: Store, after: int = 0) -> Iterator[AuditRecord]:
    """Every record after number `after`, in the order of the chain; what is written meanwhile comes too. Raises Refusal."""
    while True:
        with store.reading() as tx:
            some = list(itertools.islice(tx.audit(after), AT_ONCE))
        yield from some
        if len(some) < AT_ONCE:
            return
        after = some[-1].seq
