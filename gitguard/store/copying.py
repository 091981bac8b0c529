"""One store into another, of whichever kind: by table and by chain.

The trail only grows, so what an earlier attempt has brought over stays, and the next one goes on behind it;
everything else comes anew, in one transaction, as of one moment. MUST: the target is empty or an earlier copy
of this store: its trail is the beginning of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from gitguard.message.reasons import Refusal
from gitguard.store.chain import ChainCheck, check
from gitguard.store.contract import Reading, Store, Writing

TRAIL = ("seq", "record", "hash")
TABLES: dict[str, tuple[str, ...]] = {  # whoever is referred to comes first
    "users": ("name", "state", "always", "enrolled_once", "created_at"),
    "keys": ("fingerprint", "user_name", "type", "blob", "comment", "verify_required", "added_at", "limits", "behind"),
    "credentials": ("credential", "user_name", "added_at"),
    "factors": (
        "user_name", "enrolment", "secret", "cipher_key", "digits", "period_seconds", "algorithm", "last_step", "enrolled_at",
    ),
    "recovery_codes": ("hash", "user_name", "burned_at"),
    "burned_steps": ("user_name", "step"),
    "near_misses": ("user_name", "credential", "step", "difference"),
    "invites": ("user_name", "hash", "expires_at"),
    "failures": ("id", "user_name", "credential", "at", "cleared"),
    "guesses": ("user_name", "network", "failures", "last_address", "last_at"),
    "rejections": ("user_name", "failures", "last_address", "last_at"),
    "known_networks": ("user_name", "network", "verified_at", "first_at"),
    "changes": ("id", "user_name", "at", "event", "subject", "credential", "network", "address"),
    "told": ("user_name", "credential", "network", "change_id"),
    "first_codes": ("user_name", "credential", "at"),
    "sessions": (
        "id", "user_name", "scope", "credential", "network", "verified_at", "boot", "boot_seconds", "limit_seconds", "method",
    ),
    "browsers": (
        "credential", "user_name", "origin", "address", "signed_in_at", "boot", "boot_seconds", "agent", "seen_at",
    ),
    "sign_in_links": ("hash", "user_name", "purpose", "origin", "expires_at"),
    "repositories": (
        "name", "directory", "require", "lifetime_seconds", "adopted_at", "floor_require", "floor_lifetime_seconds", "folded",
    ),
    "repository_admins": ("repository", "user_name"),
    "borrowings": ("borrower", "lender"),
    "forgotten": ("directory", "forgotten_at"),
    "archived": ("seq", "hash"),
    "break_glass": ("decision", "actor", "pid", "started", "boot"),
    "clock": ("latest_at",),
}  # fmt: skip
Say = Callable[[str, int, int], None]  # what is being copied, how many, of how many
AT_A_TIME = 10_000  # records of the trail in one transaction


class Copied(NamedTuple):
    """How many rows of each table there are in the target now, the trail's among them."""

    rows: dict[str, int]


def copy(source: Store, target: Store, say: Say) -> Copied:
    """Make `target`, which is empty or an earlier copy, what `source` is. Raises Refusal."""
    source.be_patient()
    target.be_patient()
    check_earlier(source, target)
    with source.reading() as ours:
        of = ours.counts().records
        rows = ours.rows("audit", TRAIL, _newest(target))
        done = 0
        while part := list(islice(rows, AT_A_TIME)):
            with target.writing() as tx:
                tx.put_rows("audit", TRAIL, part)
            done += len(part)
            say("records", done, of)
        wanted = _counts(ours)
        with target.writing() as tx:
            if tx.newest_audit(None, 1) != ours.newest_audit(None, 1):
                raise _is_another(target)
            _put_tables(ours, tx)
            _check_same(wanted, _counts(tx), None)
    with target.reading() as tx:
        found = _counts(tx)
        chain = check(tx.audit(), None, begins=tx.archived(), outside=False)
    _check_same(wanted, found, chain)
    return Copied(found)


def put_in_place_of(ours: Reading, tx: Writing) -> None:
    """Make what `tx` writes to what `ours` is, whatever it held: in that one transaction."""
    _clear(tx, ("audit",))
    tx.put_rows("audit", TRAIL, ours.rows("audit", TRAIL))
    _put_tables(ours, tx)


def _put_tables(ours: Reading, tx: Writing) -> None:
    _clear(tx, tuple(TABLES))
    for table, columns in TABLES.items():
        tx.put_rows(table, columns, ours.rows(table, columns))
    tx.run("DELETE FROM audit WHERE seq <= ?", ours.archived()[0])  # moved out since an earlier copy
    tx.go_on_after(ours.highest_number())


def _counts(tx: Reading) -> dict[str, int]:
    return {table: _count(tx, table) for table in (*TABLES, "audit")}


def check_earlier(source: Store, target: Store) -> None:
    """Raises Refusal("usage") unless `target` is empty or an earlier copy of `source`."""
    with target.reading() as theirs:
        newest = theirs.newest_audit(None, 1)
    if not newest:
        return
    record = newest[0]
    with source.reading() as ours:
        same = ours.newest_audit(record.seq + 1, 1)
        archived = ours.archived()
    if (record.seq, record.hash) != archived and (not same or same[0] != record):
        raise _is_another(target)


def _is_another(target: Store) -> Refusal:
    text = f"{target.place} holds something else than an earlier copy of this store; nothing was changed"
    return Refusal("usage", text=text)


def _newest(store: Store) -> int:
    with store.reading() as tx:
        newest = tx.newest_audit(None, 1)
    return newest[0].seq if newest else 0


def _clear(tx: Writing, tables: tuple[str, ...]) -> None:
    for table in reversed(tables):
        tx.run(f"DELETE FROM {table}")  # noqa: S608 - names of our own


def _count(tx: Reading, table: str) -> int:
    return sum(1 for _ in tx.rows(table, TABLES.get(table, TRAIL)[:1]))


def _check_same(wanted: dict[str, int], found: dict[str, int], chain: ChainCheck | None) -> None:
    wrong = [
        f"{table}: {count} of {wanted[table]}" for table, count in found.items() if count != wanted[table]
    ]
    if fault := ", ".join(wrong) or next(iter(chain.open_faults if chain is not None else []), ""):
        raise Refusal(
            "store-unavailable",
            f"the copy is not the store: {fault}",
            text=f"the copy is not the store: {fault}",
        )
