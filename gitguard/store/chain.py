"""The audit trail's hash chain: each record's hash covers the one before it.

The newest hash is also kept in a file outside the store (`Head`), so that a deleted tail shows. That
file may lag behind a crash; an ancestor of the newest record is in order.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from _blake2 import blake2b
from collections.abc import Iterable

from msgspec import Struct

from gitguard.machine.files import temporary_file
from gitguard.message.numbers import number
from gitguard.store.rows import AuditRecord

GENESIS = b"\0" * 32
ACCEPTED = "audit-accepted"  # an admin looked into the faults that the record names
ARCHIVED = "audit-archived"  # older records were moved out: `steps` says up to which
_HIGHEST = 1 << 62  # records; a store counts no further


# One for all of them: to make one takes as long as to use it.
_text = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def text_of(record: dict[str, object]) -> str:
    """`record` as the chain hashes it: JSON, sorted keys, ASCII."""
    return _text(record)


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
        """(seq, hash), or None without a file. Raises ValueError or OSError if it cannot be understood."""
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
        handle, temporary = temporary_file(os.path.dirname(self.path), ".audit-")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f"{seq} {digest.hex()}\n")
            os.replace(temporary, self.path)
        except OSError:
            os.unlink(temporary)
            raise

    def advance(self, seq: int, digest: bytes) -> None:
        """The same, unless a later one stands there: where several processes write, each behind its COMMIT.
        Raises OSError.
        """
        with open(f"{self.path}.lock", "a", encoding="ascii") as lock:  # closed, and so given up, at the end
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                there = self.read()
            except ValueError:
                there = None
            if there is None or there[0] < seq:
                self.write(seq, digest)


class ChainCheck(Struct, frozen=True):
    """What is wrong with the chain. `open_faults`: in words, without what an admin accepted; `all_faults`:
    with it, what the next acceptance names.

    `records`: how many were looked at; `lag`: how many records the head outside lags behind.
    """

    open_faults: list[str]
    all_faults: list[str]
    records: int
    lag: int


def check(
    records: Iterable[AuditRecord],
    head: tuple[int, bytes] | None,
    *,
    begins: tuple[int, bytes] = (0, GENESIS),
    outside: bool = True,
) -> ChainCheck:
    """Go through the chain once, a record at a time, and compare it with the head outside.

    `begins`: number and hash of the last record that was moved out; `outside` is False where there is no head
    to compare with, as in a copy: its own last record is all there is.
    """
    walk = _Walk(head, begins, outside=outside)
    for record in records:
        walk.take(record)
    return walk.checked()


class _Walk:
    """One way through the chain.

    What records say of the chain itself (faults that were accepted, records that were moved out) counts only
    if the head stands at them or behind them: anyone who can write the store alone can forge such a record,
    but not move the head past it. What lies before a break is not vouched for by that head.
    """

    def __init__(self, head: tuple[int, bytes] | None, begins: tuple[int, bytes], *, outside: bool) -> None:
        self.head, self.named, self.begins, self.outside = head, head, begins, outside
        self.last, self.hash = begins
        self.found: list[str] = []
        self.misplaced: list[str] = []  # what does not fit the head, unless a restore explains it
        self.records = 0
        self.said = _Said(set(), set())  # since the last break
        self.vouched = _Said(set(), set())
        self.moved: set[tuple[int, str]] | None = (
            None  # as of the record before a restore that explains the head
        )

    def take(self, record: AuditRecord) -> None:
        """The next record."""
        digest = link(self.hash, record.seq, record.text)
        whole = digest == record.hash and record.seq == self.last + 1
        if record.seq != self.last + 1:
            self.found.append(f"record {self.last + 1} is missing (deleted): the next one is {record.seq}")
        if digest != record.hash:
            self.found.append(
                f"record {record.seq} was changed, or the one before it was ({digest.hex()[:8]})"
            )
        if not whole:
            self.said = _Said(set(), set())
        if '"head_before":' in record.text:
            self._explain(record)
        if record.is_about(ACCEPTED) or record.is_about(ARCHIVED):
            self.said = self.said.with_(record)
        if self.head is not None and record.seq == self.head[0]:
            if record.hash == self.head[1]:
                self.vouched = self.said
            else:
                self.misplaced = [f"record {record.seq} is not the one that the head outside the store names"]
        self.records += 1
        self.last, self.hash = record.seq, record.hash

    def _explain(self, record: AuditRecord) -> None:
        """A head that a restore has noted as the one before it counts as the record before that restore.

        So a restore that was interrupted before it renewed the head is a lag, not a fault.
        """
        before = self.named
        if before is None or self.moved is not None:
            return
        if record.record.get("head_before") == f"{before[0]} {before[1].hex()}":
            self.head, self.misplaced, self.moved = (self.last, self.hash), [], self.said.moved

    def checked(self) -> ChainCheck:
        """The end of it."""
        found = [*self.found, *self.misplaced]
        if not self.outside:
            self.vouched = self.said
        moved = self.vouched.moved if self.moved is None else self.moved
        begun, digest = self.begins
        if begun and (begun, digest.hex()) not in moved:
            found.insert(
                0,
                f"records 1 to {begun} are missing (deleted), and no record that counts says that they were archived",
            )
        if self.head is not None and self.head[0] > self.last:
            found.append(f"records {self.last + 1} to {self.head[0]} are missing: the tail was deleted")
        elif self.head is None and self.records and self.outside:
            found.append("the head outside the store is missing")
        lag = self.last - self.head[0] if self.head is not None else 0
        return ChainCheck(
            [fault for fault in found if fault not in self.vouched.accepted], found, self.records, lag
        )


class _Said(Struct, frozen=True):
    """What records say of the chain: faults that were accepted; (number, hash) of each record up to
    which others were moved out.
    """

    accepted: set[str]
    moved: set[tuple[int, str]]

    def with_(self, record: AuditRecord) -> _Said:
        """The same, and what `record` says."""
        said = record.record
        faults, steps = said.get("faults"), said.get("steps")
        if said.get("event") == ACCEPTED and isinstance(faults, list):
            return _Said(self.accepted | {str(fault) for fault in faults}, self.moved)
        if said.get("event") == ARCHIVED and isinstance(steps, list):
            pairs = (str(step).partition(" ") for step in steps)
            return _Said(
                self.accepted,
                self.moved | {(int(seq), digest) for seq, _, digest in pairs if seq.isdecimal()},
            )
        return self
