"""The audit trail's hash chain: each record's hash covers the one before it.

The newest hash is also kept in a file outside the store (`Head`), so that a deleted tail shows. That
file may lag behind a crash; an ancestor of the newest record is in order.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from hashlib import blake2b

from gitguard.message.numbers import number
from gitguard.store.rows import AuditRecord

GENESIS = b"\0" * 32
_HIGHEST = 1 << 62  # records; a store counts no further


def text_of(record: dict[str, object]) -> str:
    """`record` as the chain hashes it: JSON, sorted keys, ASCII."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def link(previous: bytes, seq: int, text: str) -> bytes:
    """The hash of the record `text` at `seq` after `previous`."""
    return blake2b(
        previous + seq.to_bytes(8, "big") + text.encode(), digest_size=32, person=b"gitguard audit"
    ).digest()


class Head:
    """The newest hash outside the store: one line, `seq hash`, in the file at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> tuple[int, bytes] | None:
        """(seq, hash), or None if there is no such file. Raises ValueError or OSError if it cannot be understood."""
        try:
            with open(self.path, encoding="ascii") as file:
                words = file.read(200).split()
        except FileNotFoundError:
            return None
        with contextlib.suppress(ValueError):
            seq, digest = words
            if (found := number(seq, _HIGHEST)) is not None:
                return found, bytes.fromhex(digest)
        raise ValueError(f"{self.path} does not hold one line of a number and a hash")

    def write(self, seq: int, digest: bytes) -> None:
        """Put the newest hash in place in one step. Raises OSError."""
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(self.path), prefix=".audit-")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f"{seq} {digest.hex()}\n")
            os.replace(temporary, self.path)
        except OSError:
            os.unlink(temporary)
            raise


def faults(
    records: list[AuditRecord], head: tuple[int, bytes] | None, *, outside: bool = True
) -> tuple[list[str], int]:
    """(what is wrong with the chain, how many records the outside head lags behind).

    What an admin accepted is not said again; `outside` is False where there is no head to compare with, as in a copy.
    """
    found, lag = every_fault(records, head, outside=outside)
    accepted = _accepted(records, head) if outside else _accepted_inside(records)
    return [fault for fault in found if fault not in accepted], lag


def _accepted(records: list[AuditRecord], head: tuple[int, bytes] | None) -> set[str]:
    """The faults that a record of acceptance names, if the head outside stands at it or behind it.

    Whoever can write the store alone can forge such a record, but not move the head past it.
    """
    named: set[str] = set()
    if head is None:
        return named
    place = next((at for at, record in enumerate(records) if record.seq == head[0]), None)
    if place is None or records[place].hash != head[1]:
        return named
    for at in range(place, -1, -1):
        record = records[at]
        if record.record.get("event") == "audit-accepted":
            listed = record.record.get("faults")
            named |= {str(fault) for fault in listed} if isinstance(listed, list) else set()
        previous = records[at - 1] if at else None
        follows = previous is not None and previous.seq + 1 == record.seq
        if not follows or previous is None or link(previous.hash, record.seq, record.text) != record.hash:
            break  # what lies before a break is not vouched for by the head
    return named


def _accepted_inside(records: list[AuditRecord]) -> set[str]:
    """The faults that the newest records of a copy accept: its own word is all there is."""
    return _accepted(records, (records[-1].seq, records[-1].hash)) if records else set()


def every_fault(
    records: list[AuditRecord], head: tuple[int, bytes] | None, *, outside: bool = True
) -> tuple[list[str], int]:
    """As `faults`, with those that were accepted before: what the next acceptance has to name."""
    found = []
    head, lag_from = _before_restore(records, head)
    previous, expected = GENESIS, 1
    head_fits = head is None or head == (0, GENESIS)
    for record in records:
        if record.seq != expected:
            found.append(f"record {expected} is missing (deleted): the next one is {record.seq}")
        digest = link(previous, record.seq, record.text)
        if digest != record.hash:
            found.append(f"record {record.seq} was changed, or the one before it was ({digest.hex()[:8]})")
        if head is not None and record.seq == head[0]:
            head_fits = record.hash == head[1]
            if not head_fits:
                found.append(f"record {record.seq} is not the one that the head outside the store names")
        previous, expected = record.hash, record.seq + 1
    last = records[-1].seq if records else 0
    if head is not None and head[0] > last:
        found.append(f"records {last + 1} to {head[0]} are missing: the tail was deleted")
    elif head is None and records and outside:
        found.append("the head outside the store is missing")
    return found, last - (head[0] if head is not None else lag_from)


def _before_restore(
    records: list[AuditRecord], head: tuple[int, bytes] | None
) -> tuple[tuple[int, bytes] | None, int]:
    """A head that a restore has noted as the one before it counts as the record before that restore.

    So a restore that was interrupted before it renewed the head is a lag, not a fault.
    """
    for place, record in enumerate(records):
        if head is not None and record.record.get("head_before") == f"{head[0]} {head[1].hex()}":
            earlier = records[place - 1] if place else None
            return (earlier.seq, earlier.hash) if earlier is not None else (0, GENESIS), 0
    return head, records[-1].seq if records else 0
