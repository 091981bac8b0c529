"""A year of verifications, lived through in the store: its weight and every command's time, before
and after what keeps it small.

`python -m bench.year [PEOPLE]` (default 300). Each verifies twenty times a day from four networks, one of
them new that day, and mistypes one code a day; the last is a minute ago. What is written is what
`factor/proof.py` writes. Prints a table; exits 1 if a budget is missed.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.grown import DAY, key_blob
from bench.growth import typed
from gitguard.identity.public_key import fingerprint
from gitguard.store.chain import GENESIS, link, text_of
from lab.server import Direct

DAYS, A_DAY, REGULAR = 365, 20, 3
KEPT_DAYS = 61  # thirty in which a change of then is told, thirty beyond (action/pruning.py), and today
COMMANDS = (
    ("audit", "verify"), ("audit", "show", "--since", "1h"), ("audit", "show", "--user", "person1", "--since", "1d"), ("stats",), ("store", "status"),
    ("session", "list"), ("user", "list"), ("user", "list", "--not-verified-since", "30d"), ("user", "show", "person1"),
    ("session", "sweep"), ("doctor", "--quick"), ("export",), ("store", "backup", "COPY"),
)  # fmt: skip


class Year(NamedTuple):
    """What was seen. `rows`: table -> rows; `mb` of a fresh copy of the store; command -> CPU seconds."""

    rows: dict[str, int]
    mb: float
    cpu: dict[str, float]


def live(site: Direct, people: int, days: int) -> None:
    """Fill the store with `days` of `people`; the last moment is now."""
    now = int(time.time())
    names = [f"person{number}" for number in range(people)]
    prints = [fingerprint(key_blob(number)) for number in range(people)]
    store = sqlite3.connect(site.store)
    with store:
        store.execute("DELETE FROM audit")  # what set it up just now would stand before all that is older
        store.executemany(
            "INSERT INTO users (name, state, enrolled_once, created_at) VALUES (?, 'active', 1, ?)",
            ((name, now - days * DAY) for name in names),
        )
        store.executemany(
            "INSERT INTO keys (fingerprint, user_name, type, blob, comment, added_at) VALUES (?, ?, 'ssh-ed25519', ?, 'laptop', ?)",
            ((prints[n], names[n], key_blob(n), now - days * DAY) for n in range(people)),
        )
        for day in range(days):
            _day(store, names, prints, now - (days - day) * DAY, day)
    head = store.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    store.close()
    (site.home / "log" / "audit.head").write_text(f"{head[0]} {head[1].hex()}\n")
    site.admin("init", "--home", str(site.home))


def _day(store: sqlite3.Connection, names: list[str], prints: list[str], begins: int, day: int) -> None:
    """One day of everyone's."""
    networks = [f"198.51.{number}.0" for number in range(REGULAR)] + [f"10.{day // 250}.{day % 250}.9"]
    moments = [(number, begins + (number + 1) * (DAY - 60) // A_DAY) for number in range(A_DAY)]
    store.executemany(
        "INSERT INTO sessions (user_name, scope, credential, network, verified_at, boot, boot_seconds, method)"
        " VALUES (?, 'address', ?, ?, ?, '', 0, 'totp')"
        " ON CONFLICT (user_name, scope, credential, network) DO UPDATE SET verified_at = excluded.verified_at",
        (
            (name, key, network, moments[at][1])
            for name, key in zip(names, prints, strict=True)
            for at, network in ((16, networks[0]), (17, networks[1]), (18, networks[2]), (19, networks[3]))
        ),
    )
    store.executemany(
        "INSERT OR IGNORE INTO known_networks (user_name, network, verified_at, first_at) VALUES (?, ?, ?, ?)",
        ((name, network, moments[-1][1], begins) for name in names for network in networks),
    )
    store.executemany(
        "INSERT INTO failures (user_name, credential, at, cleared) VALUES (?, ?, ?, 1)",
        ((name, key, begins + 60) for name, key in zip(names, prints, strict=True)),
    )
    last = store.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, digest = last or (0, GENESIS)

    def chained() -> Iterator[tuple[int, str, bytes]]:
        nonlocal seq, digest
        for record in _records(names, prints, moments, networks, begins):
            seq, text = seq + 1, text_of(record)
            digest = link(digest, seq, text)
            yield seq, text, digest

    store.executemany("INSERT INTO audit (seq, record, hash) VALUES (?, ?, ?)", chained())


def _records(
    names: list[str], prints: list[str], moments: list[tuple[int, int]], networks: list[str], begins: int
) -> Iterator[dict[str, object]]:
    for name, key in zip(names, prints, strict=True):
        who = {"actor": name, "user": name, "key": key}
        yield {**who, "event": "code-rejected", "at": begins + 60, "address": networks[0], "cause": "wrong"}
        yield {**who, "event": "new-network", "at": moments[0][1], "address": networks[-1]}
        for number, at in moments:
            address = networks[number % len(networks)]
            yield {
                **who,
                "event": "session-opened",
                "at": at,
                "address": address,
                "scope": "address",
                "method": "totp",
            }


def looked(site: Direct, copy: Path) -> Year:
    """What the store weighs, and what each command takes."""
    cpu = {}
    alice = site.people["alice"]
    site.ssh(alice, "2fa verify", stdin=alice.recovery_codes.pop() + "\n", status=0)
    for words in COMMANDS:
        copy.unlink(missing_ok=True)
        done = typed(
            ["--config", str(site.config), "admin", *(str(copy) if w == "COPY" else w for w in words)]
        )
        if done.status not in (0, 1):
            sys.exit(f"year: {' '.join(words)} exited {done.status}:\n{done.text}")
        cpu[" ".join(words).replace("COPY", "FILE")] = done.cpu
    with sqlite3.connect(copy) as store:
        store.execute(
            "VACUUM"
        )  # what a copy weighs where it is kept: the live file keeps its free pages for what comes
        rows = {
            table: store.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("audit", "sessions", "failures", "known_networks")
        }
    store.close()
    return Year(rows, copy.stat().st_size / 1e6, cpu)


def year(folder: Path, people: int, days: int = DAYS) -> tuple[Year, Year, float]:
    """(before, after, CPU seconds of pruning and archiving what is older than half of it)."""
    site = Direct(folder / "site")
    site.install()
    site.new_user("alice")
    live(site, people, days)
    before = looked(site, folder / "copy.db")
    admin = ["--config", str(site.config), "admin"]
    half = f"{max(days // 2, 30)}d"
    spent = 0.0
    for words in (["store", "prune"], ["audit", "archive", "--before", half, str(folder / "older.audit")]):
        done = typed([*admin, *words])
        if done.status:
            sys.exit(f"year: {' '.join(words)} exited {done.status}:\n{done.text}")
        spent += done.cpu
    after = looked(site, folder / "copy.db")
    whole = typed([*admin, "audit", "verify", "--file", str(folder / "older.audit")])
    if whole.status:
        sys.exit(f"year: what was moved out is not whole:\n{whole.text}")
    return before, after, spent


def faults_of(before: Year, after: Year, people: int) -> list[str]:
    """What is not as it should be."""
    records = before.rows["audit"]
    faults = [
        f"{command}: {cpu:.1f} s of CPU for {records} records"
        for seen in (before, after)
        for command, cpu in seen.cpu.items()
        if cpu > 1.0 + 5e-6 * records
    ]
    if after.rows["sessions"] > people * (REGULAR + KEPT_DAYS) + 1:
        faults.append(f"{after.rows['sessions']} sessions are left: more than {KEPT_DAYS} days of them")
    if after.rows["failures"] > people * KEPT_DAYS:
        faults.append(f"{after.rows['failures']} failures are left")
    if after.mb > 0.65 * before.mb:
        faults.append(f"it weighs {after.mb:.0f} MB, and weighed {before.mb:.0f}")
    return faults


def main() -> int:
    """The table."""
    people = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    folder = Path(tempfile.mkdtemp(prefix="gitguard-year-"))
    try:
        before, after, spent = year(folder, people)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{people} people, {DAYS} days, {A_DAY} verifications a day\n\n{'':<44}{'before':>12}{'after':>12}")
    for name, count in before.rows.items():
        print(f"{f'rows of {name}':<44}{count:>12}{after.rows[name]:>12}")
    print(f"{'a copy of the store':<44}{before.mb:>9.0f} MB{after.mb:>9.0f} MB")
    for command, cpu in before.cpu.items():
        print(f"{command:<44}{cpu:>10.2f} s{after.cpu[command]:>10.2f} s")
    print(f"\npruning, and moving the older half of the trail out: {spent:.1f} s of CPU")
    faults = faults_of(before, after, people)
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
