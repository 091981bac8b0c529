"""The store: its file, its schema, its audit chain."""

from __future__ import annotations

from collections.abc import Iterator

from gitguard.doctor.finding import Finding, gap, note, ok
from gitguard.factor.keyring import Keyring
from gitguard.store.chain import check
from gitguard.store.contract import Store


def store_findings(store: Store) -> Iterator[Finding]:
    """The database's own check, and the chain against the head outside."""
    damage = store.integrity()
    if damage:
        yield gap("store", f"{store.place}: {damage}", "gitguard admin store restore FILE")
    else:
        yield ok("store", f"{store.place} is whole")
    for found in store.health().shortcomings:
        yield (gap if found.closes else note)("store", found.what, found.remedy)
    try:  # the head first: a record written meanwhile must not look like a missing one
        head = store.head.read()
    except (OSError, ValueError) as error:
        yield gap(
            "audit",
            f"{store.head.path}: {error}",
            "find out who touched it; then: gitguard admin audit accept --reason TEXT",
        )
        return
    with store.reading() as tx:
        checked = check(tx.audit(), head, begins=tx.archived())
    lag = checked.lag
    for fault in checked.open_faults:
        yield gap(
            "audit",
            fault,
            'keep a copy of store and log as they are, and see docs/operations.md, "The audit chain is broken"',
        )
    if not checked.open_faults:
        yield (
            note(
                "audit",
                f"the audit head outside lags by {lag} {'record' if lag == 1 else 'records'}, {store.why_head_lags}",
            )
            if lag
            else ok("audit", "the audit chain is whole")
        )


def secret_findings(store: Store, ring: Keyring) -> Iterator[Finding]:
    """Every TOTP secret decrypts under the key file that is there."""
    with store.reading() as tx:
        factors = tx.totp_factors()
    broken = [factor.user for factor in factors if not ring.can_decrypt(factor)]
    if broken:
        yield gap(
            "secrets",
            f"the secrets of {len(broken)} of {len(factors)} people do not decrypt: {', '.join(broken[:10])}",
            "put the right key file back, or run: gitguard admin user reset NAME",
        )
    else:
        yield ok(
            "secrets",
            f"{len(factors)} {'secret decrypts' if len(factors) == 1 else 'secrets decrypt'} under the key file",
        )
