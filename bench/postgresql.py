"""The column of a store that several servers share: a PostgreSQL, beside a file and beside pgbench."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gitguard.store.postgresql import guard
from lab.database import DatabaseServer, programs
from lab.estate import Estate
from lab.racer import Ran, race
from lab.server import Direct, Person

if TYPE_CHECKING:
    from bench.run import Row

CLIENTS, EACH = 16, 40
WRITERS = 20
VERIFIERS = 8
ROUND_TRIP_SECONDS = 0.0005  # one room
# What a record of the trail asks, word by word: gitguard/store/postgresql/keeper.py and late.py.
SCRIPT = f"""
BEGIN ISOLATION LEVEL READ COMMITTED \\; SET LOCAL lock_timeout = 10000 \\; {guard.TAKE} \\; SELECT {guard.STATE} FROM store_schema;
SELECT coalesce(max(seq), 0) + 1 AS next, (SELECT hash FROM audit WHERE seq = 1) FROM (SELECT seq FROM audit ORDER BY seq DESC LIMIT 1) newest \\gset
WITH added AS (INSERT INTO audit (seq, record, hash) VALUES (:next, repeat('x', 250), decode(repeat('ab', 32), 'hex'))) UPDATE clock SET latest_at = :next WHERE latest_at < :next;
COMMIT;
"""


def measure_postgresql(*, quick: bool) -> list[Row]:
    """(what, ratio, budget, whether it is a minimum, note) of each row."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="gitguard-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        database = DatabaseServer(Path(tempfile.mkdtemp(prefix="gitguard-pg-", dir="/tmp")))
        # As on a disk, where a COMMIT takes three milliseconds: that bounds changes, one after the other.
        database.settings = (*database.settings, "fsync=on", "commit_delay=3000", "commit_siblings=0")
        try:
            database.make()
            database.start()
            with (
                Estate(folder / "far", database.database("store"), 2, Direct) as estate,
                Estate(folder / "near", f"sqlite:///{folder}/near.db", 1, Direct) as alone,
            ):
                people = [_prepared(one) for one in (estate, alone)]
                rows.append(_decisions(estate, alone, people, 1 if quick else 5))
                rows.append(_records(estate, database, folder, 10 if quick else 100))
                rows.append(_codes(estate, 10 if quick else 60))
        finally:
            database.remove()
    return rows


def _prepared(estate: Estate) -> Person:
    first = estate.servers[0]
    first.admin("repo", "create", "app")
    return first.new_user("alice")


def _throughput(estate: Estate, person: Person) -> float:
    """Decisions in a second, of shells that start the compiled client again and again."""
    server = estate.servers[0]
    gate = [str(server.home / "bin" / "gitguard-shell"), "--user", person.name, "--key", person.fingerprint]
    words = " ".join(f"'{word}'" for word in (*gate, "--", "/bin/true"))
    loop = f"for n in {' '.join(map(str, range(EACH)))}; do {words} >/dev/null || exit 1; done"
    env = {
        "PATH": "/usr/bin:/bin", "HOME": "/", "SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 22",
        "SSH_ORIGINAL_COMMAND": "git-upload-pack 'app'",
    }  # fmt: skip
    began = time.perf_counter()
    shells = [
        subprocess.Popen(["/bin/sh", "-c", loop], env=env, stdin=subprocess.DEVNULL) for _ in range(CLIENTS)
    ]
    if any(shell.wait() for shell in shells):
        sys.exit("bench: a read was refused")
    return CLIENTS * EACH / (time.perf_counter() - began)


def _decisions(estate: Estate, alone: Estate, people: list[Person], rounds: int) -> Row:
    far, near = [], []
    for _ in range(rounds):
        far.append(_throughput(estate, people[0]))
        near.append(_throughput(alone, people[1]))
    ours, theirs = statistics.median(far), statistics.median(near)
    note = f"{ours:.0f}/s against {theirs:.0f}/s"
    return (f"postgresql: decisions of {CLIENTS} clients, against a file", ours / theirs, 0.3, True, note)


def _raced(
    estate: Estate, deed: str, times: int, who: list[Person], texts: list[str], far: float = 0.0
) -> float:
    """How many in a second. Raises RuntimeError where one was refused."""
    racers: list[tuple[str, ...]] = [
        (str(estate.servers[number % 2].config), deed, str(times), person.name, person.fingerprint, text)
        for number, (person, text) in enumerate(zip(who, texts, strict=True))
    ]
    done: Ran = race(racers, far)
    if set(done.reasons) != {"done"}:
        raise RuntimeError(f"bench: {done.reasons}")
    return len(racers) * times / done.lasted


def _records(estate: Estate, database: DatabaseServer, folder: Path, times: int) -> Row:
    script = folder / "script"
    script.write_text(SCRIPT)
    url = database.database("beside")
    from gitguard.store.postgresql.schema import create

    create(url, "")
    ours, theirs = [], []
    seconds = max(times // 20, 2)
    for _ in range(1 if times < 50 else 3):
        writers = [estate.servers[0].people["alice"]] * WRITERS
        ours.append(_raced(estate, "record", times, writers, ["x" * 150] * WRITERS))
        done = subprocess.run(
            [
                str(programs() / "pgbench"), "-n", "-f", str(script), "-c", str(WRITERS), "-j", "2", "-T", str(seconds),
                "-h", str(database.folder), "-p", str(database.port), "-U", "gitguard", "beside",
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = [line for line in done.stdout.splitlines() if line.startswith("tps")]
        if not found:
            raise RuntimeError(f"pgbench: {done.stdout}{done.stderr}")
        theirs.append(float(found[0].split()[2]))
    mine, other = statistics.median(ours), statistics.median(theirs)
    note = f"{mine:.0f}/s against {other:.0f}/s, where a COMMIT takes 3 ms"
    return (f"postgresql: records of {WRITERS} writers, against pgbench", mine / other, 0.7, True, note)


def _codes(estate: Estate, times: int) -> Row:
    first = estate.servers[0]
    people = [first.new_user(f"person{number}", in_session=False) for number in range(VERIFIERS)]
    secrets = [person.secret for person in people]
    near, far = [], []
    for _ in range(1 if times < 50 else 3):
        near.append(_raced(estate, "code", times, people, secrets))
        far.append(_raced(estate, "code", times, people, secrets, ROUND_TRIP_SECONDS))
    ours, theirs = statistics.median(far), statistics.median(near)
    note = f"{ours:.0f}/s against {theirs:.0f}/s"
    return (
        f"postgresql: right codes of {VERIFIERS}, each question 0.5 ms away",
        ours / theirs,
        0.6,
        True,
        note,
    )


def main() -> None:
    """These rows alone."""
    for what, ratio, budget, at_least, note in measure_postgresql(quick="--quick" in sys.argv):
        print(f"{what:<66} {ratio:>7.3f}x {'>=' if at_least else '<='} {budget}x  {note}")


if __name__ == "__main__":
    main()
