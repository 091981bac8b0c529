"""The audit trail: read to its end however long it is, and its older part moved out of the store."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from msgspec import Struct

from gitguard.action.installation import Installation
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.store.chain import ARCHIVED, GENESIS, ChainCheck, check
from gitguard.store.contract import Store
from gitguard.store.rows import AuditRecord

YOUNGEST_SECONDS = (
    30 * 86400
)  # what is younger is still counted: charts, and who has not verified for a while
STEP = 10_000  # records that leave in one transaction: others wait while it lasts
# records in one transaction: anyone who reads them through a pager must not hold one open overnight
AT_ONCE = 10_000


def records(store: Store, after: int = 0) -> Iterator[AuditRecord]:
    """Every record after number `after`, in the order of the chain; what is written
    meanwhile comes too. Raises Refusal.
    """
    while True:
        with store.reading() as tx:
            some = list(itertools.islice(tx.audit(after), AT_ONCE))
        yield from some
        if len(some) < AT_ONCE:
            return
        after = some[-1].seq


class Archive(Struct, frozen=True):
    """What was written: records `first` to `until`; `steps`: number and hash of each record up
    to which they leave at once.
    """

    first: int
    until: int
    records: int
    steps: tuple[str, ...]


def write_archive(installation: Installation, target: BinaryIO, before_at: int) -> Archive:
    """Write the records from before `before_at` (Unix seconds) to `target`, a line of JSON each, between
    a first and a last line that say where the chain began and ended. Nothing is changed. Raises Refusal
    for a chain that is not whole.
    """
    try:
        head = installation.store.head.read()
    except (OSError, ValueError) as error:
        raise Refusal(
            "usage", text=f"the head outside the store cannot be read: {error}; nothing was moved"
        ) from None
    with installation.store.reading() as tx:
        begun, digest = tx.archived()
        faults = check(tx.audit(), head, begins=(begun, digest)).open_faults
    if faults:
        raise Refusal(
            "usage", text=f"the chain is not whole ({faults[0]}); nothing was moved",
            hint="look into it first: gitguard admin audit verify",
        )  # fmt: skip
    target.write(_line({"format": "gitguard-audit-1", "after": begun, "hash": digest.hex()}))
    steps: list[str] = []
    last, records_ = begun, 0
    for one in itertools.takewhile(lambda record: record.at < before_at, records(installation.store)):
        target.write(_line({"seq": one.seq, "record": one.text, "hash": one.hash.hex()}))
        last, digest, records_ = one.seq, one.hash, records_ + 1
        if not records_ % STEP:
            steps.append(f"{last} {digest.hex()}")
    if records_ % STEP:
        steps.append(f"{last} {digest.hex()}")
    target.write(_line({"until": last, "hash": digest.hex(), "records": records_}))
    target.flush()
    return Archive(begun + 1, last, records_, tuple(steps))


def move_out(installation: Installation, archive: Archive, file: str, moment: Moment, actor: str) -> None:
    """Say in the chain that `archive` is in `file` from now on, and take it out of the store, a
    step at a time. Raises Refusal.

    MUST: the head outside has reached that record before the first one leaves; until then nobody believes it.
    Killed between two steps it is in order: the record names each of them.
    """
    with installation.store.writing() as tx:
        tx.record(
            ARCHIVED,
            moment.at,
            actor,
            file=file,
            records=archive.records,
            until=archive.until,
            steps=list(archive.steps),
        )
        said = tx.newest_audit(None, 1)[0]
    if installation.store.head.read() != (said.seq, said.hash):
        raise Refusal(
            "usage",
            text=f"the head outside the store does not follow, so nothing was taken out; {file} is whole",
        )
    for step in archive.steps:
        with installation.store.writing() as tx:
            tx.move_out(int(step.partition(" ")[0]))


def _line(said: dict[str, object]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def read_archive(lines: Iterable[bytes], shown: str) -> Iterator[AuditRecord]:
    """An archive's records, in order. Raises Refusal("usage") naming the first line that is not one."""
    for number, line in enumerate(lines, 1):
        try:
            said = json.loads(line)
            if number == 1 and said["format"] != "gitguard-audit-1":
                raise ValueError("another format")  # noqa: TRY301 - one way out for all faults
            if "record" in said:
                yield AuditRecord(int(said["seq"]), str(said["record"]), bytes.fromhex(said["hash"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Refusal(
                "usage", text=f"{shown}, line {number}: it is no archive of the audit trail ({error})"
            ) from None


def check_archive(lines: Iterable[bytes], shown: str) -> tuple[ChainCheck, tuple[int, str]]:
    """(what is wrong with its chain, number and hash of its last record). Raises as `read_archive`."""
    ends: list[dict[str, object]] = []

    def noted() -> Iterator[bytes]:
        for line in lines:
            if not line.startswith(b'{"seq"'):
                ends.append(_said(line))
            yield line

    kept = noted()
    first = next(kept, b"")
    head = ends[0] if ends else {}
    after = head.get("after")
    begins = (after, bytes.fromhex(str(head.get("hash", "")))) if isinstance(after, int) else (0, GENESIS)
    checked = check(read_archive(itertools.chain([first], kept), shown), None, outside=False, begins=begins)
    faults = [
        fault for fault in checked.open_faults if not fault.startswith("records 1 to ")
    ]  # they are in the archive before
    seal = ends[-1] if len(ends) > 1 else {}
    last = (begins[0] + checked.records, str(seal.get("hash", "")))
    if seal.get("until") != last[0] or seal.get("records") != checked.records:
        faults.append("its last line is missing, or does not fit: it was cut")
    return ChainCheck(faults, checked.all_faults, checked.records, 0), last


def _said(line: bytes) -> dict[str, object]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
