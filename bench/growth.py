"""How each command grows: its CPU, its peak memory, and the exponent between the two larger of three sizes.

A size N is N people with a key, N repositories on disk, 10 N sessions, 100 N records of the trail and 100 kB
N of access log; N = 10 000 is a million records and a gigabyte. "Above" is what a command takes more than on
an installation with nothing in it. Exits 1 if a budget is missed. `--quick`: a tenth of each size.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SIZES = (100, 1_000, 10_000)
QUICK = "--quick" in sys.argv
ABOVE_MB = 60  # design: for any command, above its start
# what is more grows faster than what it is asked about; counted where it takes half a second, and
# a tenth at the size before
EXPONENT = 1.2


@dataclass(frozen=True)
class Row:
    """One command. `unit`: what it is asked about, and how many of that there are at size 1;
    `budget_us`: CPU for each of them.
    """

    name: str
    words: tuple[str, ...]
    unit: str
    per: float
    budget_us: float
    stdin: str = ""
    statuses: tuple[int, ...] = (0,)


RECORDS, PEOPLE, SESSIONS, REPOSITORIES, LOG = "record", "person", "session", "repository", "MB of log"


def rows(folder: Path) -> Iterable[Row]:
    """The table, in the order in which it is typed: what changes the installation stands last."""
    yield Row("audit verify", ("audit", "verify"), RECORDS, 100, 3)
    yield Row("audit show --since 1h", ("audit", "show", "--since", "1h"), RECORDS, 100, 3)
    yield Row(
        "audit show --event clock-accepted", ("audit", "show", "--event", "clock-accepted"), RECORDS, 100, 3
    )
    yield Row("stats", ("stats",), RECORDS, 100, 3)
    yield Row("store status", ("store", "status"), RECORDS, 100, 3)
    yield Row("user list", ("user", "list"), PEOPLE, 1, 300)
    yield Row(
        "user list --not-verified-since 30d", ("user", "list", "--not-verified-since", "30d"), RECORDS, 100, 6
    )
    yield Row("session list", ("session", "list"), SESSIONS, 10, 30)
    yield Row("repo list", ("repo", "list"), REPOSITORIES, 1, 300)
    yield Row("export", ("export",), PEOPLE, 1, 300)
    yield Row("doctor", ("doctor",), REPOSITORIES, 1, 3_000, statuses=(0, 1))
    yield Row("log --since 1h", ("log", "person7", "--since", "1h"), LOG, 0.1, 500)
    yield Row("session sweep, the first", ("session", "sweep"), RECORDS, 100, 40)
    yield Row("session sweep, the next", ("session", "sweep"), RECORDS, 100, 3)
    yield Row("session revoke --all", ("session", "revoke", "--all", "--reason", "growth"), SESSIONS, 10, 30)
    yield Row("store backup", ("store", "backup", str(folder / "copy.db")), RECORDS, 100, 3)
    yield Row("store restore", ("store", "restore", str(folder / "copy.db"), "--yes"), RECORDS, 100, 6)
    yield Row("apply 100 more", ("apply", str(folder / "more.toml")), "person", 0, 5_000)


@dataclass(frozen=True)
class Took:
    """CPU seconds of the command and its children, peak memory in MB of the largest of them,
    its status and what it said.
    """

    cpu: float
    peak_mb: float
    status: int
    text: str


def typed(words: list[str], stdin: str = "") -> Took:
    """Run a command, its figures asked of the kernel. This process is small, so
    that a child's peak is its own.
    """
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "gitguard", *words],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            cwd=ROOT,
        )
        assert child.stdin is not None
        child.stdin.write(stdin.encode())
        child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read(4000).decode("utf-8", "replace")
    return Took(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, child.returncode, text)


def at_size(folder: Path, size: int) -> dict[str, Took]:
    """Every command of the table on an installation of `size`."""
    folder.mkdir()
    shown = subprocess.run(
        [sys.executable, "-m", "bench.grown", str(folder), str(size)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    config = json.loads(shown.stdout)["config"]
    admin = ["--config", config, "admin"]
    took = {"repo adopt --all": typed([*admin, "repo", "adopt", "--all"])}
    check("repo adopt --all", took["repo adopt --all"], (0,))
    subprocess.run(
        [sys.executable, "-m", "bench.grown", str(folder), str(size), "fill"], cwd=ROOT, check=True
    )
    for row in rows(folder):
        took[row.name] = typed([*admin, *row.words], row.stdin)
        check(row.name, took[row.name], row.statuses)
    return took


def check(name: str, took: Took, statuses: tuple[int, ...]) -> None:
    """A command that failed measures nothing."""
    if took.status not in statuses:
        sys.exit(f"growth: {name} exited {took.status}:\n{took.text}")


def main() -> int:
    """Measure every command at every size, print the table, and say whether the budgets hold."""
    folder = Path(tempfile.mkdtemp(prefix="gitguard-growth-"))
    sizes = [size // 10 if QUICK else size for size in SIZES]
    try:
        took = {}
        for size in (0, *sizes):
            print(f"size {size} ...", flush=True)
            took[size] = at_size(folder / str(size), size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = [Row("repo adopt --all", (), REPOSITORIES, 1, 3_000), *rows(folder)]
    return report(table, took, sizes)


def report(table: list[Row], took: dict[int, dict[str, Took]], sizes: list[int]) -> int:
    """Print it; 1 if a budget is missed."""
    heads = "".join(f"{f'CPU at {size}':>14}" for size in sizes)
    print(f"\n{'command':<36}{heads}{'exponent':>10}{'MB above':>10}  each of the largest")
    missed = 0
    middle, largest = sizes[-2:]
    for row in table:
        none = took[0][row.name]
        cpu = [max(took[size][row.name].cpu - none.cpu, 0.001) for size in sizes]
        above = max(took[size][row.name].peak_mb for size in sizes) - none.peak_mb
        exponent = math.log(cpu[-1] / cpu[-2]) / math.log(largest / middle)
        count = row.per * largest or 100
        each = cpu[-1] / count * 1e6
        faults = [
            name
            for name, bad in (
                ("CPU", each > row.budget_us and cpu[-1] > 0.1),
                ("MEMORY", above > ABOVE_MB),
                ("EXPONENT", exponent > EXPONENT and cpu[-1] > 0.5 and cpu[-2] > 0.1),
            )
            if bad
        ]
        missed += bool(faults)
        shown = "".join(f"{took[size][row.name].cpu:>12.2f} s" for size in sizes)
        print(
            f"{row.name:<36}{shown}{exponent:>10.2f}{above:>10.0f}  {each:.1f} of {row.budget_us:g} µs a {row.unit}"
            + (f"  MISSED: {', '.join(faults)}" if faults else "")
        )
    print(
        f"\n{os.cpu_count()} cores; Python {sys.version.split()[0]}; CPU with all children, peak of the largest process"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
