"""What may happen to a database beneath a Git server, really done; and what a person is answered meanwhile.

Each fault is done to a PostgreSQL server of its own, while a server with its agent uses it: a read by who has
verified, a right code; then it is mended, and both again. `python -m lab.failures` (`make failures`) prints
the table.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg

from lab.database import DatabaseServer, Pooler, wait_until
from lab.estate import Estate
from lab.run import Done
from lab.server import Direct, Person

MOST_SECONDS = 2.0
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
NETWORK = "gitguard-lab"


class Scene:
    """One Git server with people, on a database that will fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = DatabaseServer(Path(tempfile.mkdtemp(prefix="gitguard-pg-", dir="/tmp")))
        self.undo: list[Callable[[], object]] = [self.database.remove]
        self.url = ""
        self.password_file = ""
        self.estate: Estate | None = None
        self.pooler: Pooler | None = None
        self.both: Pair | None = None
        self.alice = self.bob = Person("", Path(), "")

    def open(self, url: str, password_file: str = "", count: int = 1) -> None:
        """A server on the store at `url`, alice in a session and bob in none."""
        self.estate = Estate(self.folder / "estate", url, count, Direct, password_file)
        self.undo.append(self.estate.__exit__)
        self.estate.__enter__()
        self.server.admin("repo", "create", "team/app")
        self.alice, self.bob = self.server.new_user("alice"), self.server.new_user("bob", in_session=False)
        done = self.read()
        if done.out[4:5] == "E":
            raise RuntimeError(done.text)

    @property
    def server(self) -> Direct:
        """The Git server."""
        assert self.estate is not None
        first = self.estate.servers[0]
        assert isinstance(first, Direct)
        return first

    def read(self, server: Direct | None = None) -> Done:
        """A read by alice, who has verified."""
        return (server or self.server).ssh(self.alice, "git-upload-pack", "team/app", stdin="0000")

    def verify(self, code: str, server: Direct | None = None) -> Done:
        """A code of bob's."""
        return (server or self.server).ssh(self.bob, "2fa", "verify", stdin=code + "\n")

    def close(self) -> None:
        """End all of it."""
        for step in reversed(self.undo):
            with contextlib.suppress(Exception):
                step()


Broken = Callable[[Scene], "contextlib.AbstractContextManager[None]"]


class Answer(NamedTuple):
    """What was answered, and how long that took."""

    reason: str
    seconds: float


class Row(NamedTuple):
    """One fault: what a read and a code were answered while it lasted, and after."""

    fault: str
    read: Answer
    code: Answer
    read_after: Answer
    code_after: Answer
    recovered_seconds: float


def reason_of(done: Done) -> str:
    """The reason in what a person reads; "allowed" without one."""
    last = done.text.rfind("[")
    if last < 0 or "]" not in done.text[last:]:
        return "allowed"
    return done.text[last + 1 : done.text.index("]", last)]


def timed(ask: Callable[[], Done]) -> Answer:
    """Its answer."""
    began = time.monotonic()
    done = ask()
    return Answer(reason_of(done), time.monotonic() - began)


def tried(scene: Scene, name: str, broken: Broken) -> Row:
    """One row of the table."""
    code = scene.server.fresh_code(scene.bob)
    with broken(scene):
        read, refused = timed(scene.read), timed(lambda: scene.verify(code))
    began = time.monotonic()

    def answers() -> bool:
        return timed(scene.read).reason not in ("store-unavailable", "store-went-back")

    with contextlib.suppress(TimeoutError):
        wait_until("it recovers", answers, 15)
    recovered = time.monotonic() - began
    after = timed(scene.read)
    return Row(name, read, refused, after, timed(lambda: scene.verify(code)), recovered)


# -- the faults ---------------------------------------------------------------------------------


@contextmanager
def stopped(scene: Scene) -> Iterator[None]:
    """Shut down in order."""
    scene.database.stop()
    yield
    scene.database.start()


@contextmanager
def killed(scene: Scene) -> Iterator[None]:
    """Every process killed."""
    scene.database.stop("immediate")
    yield
    scene.database.start()


@contextmanager
def paused(scene: Scene) -> Iterator[None]:
    """Every process stands still; the kernel goes on acknowledging."""
    with scene.database.paused():
        yield


@contextmanager
def restarted(scene: Scene) -> Iterator[None]:
    """Down and up again between two requests."""
    scene.database.stop("immediate")
    scene.database.start()
    yield


@contextmanager
def holder_paused(scene: Scene) -> Iterator[None]:
    """Whoever holds the lock has stopped in the midst, as a server that was cut off does."""
    holder = subprocess.Popen(
        [
            "psql",
            "-q",
            "-h",
            str(scene.database.folder),
            "-p",
            str(scene.database.port),
            "-U",
            "gitguard",
            "store",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert holder.stdin is not None
    holder.stdin.write(b"BEGIN; SELECT pg_advisory_xact_lock(1734964327);\n")
    holder.stdin.flush()
    wait_until(
        "it holds the lock",
        lambda: scene.database.ask("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"),
    )
    yield
    holder.kill()
    holder.communicate()


@contextmanager
def no_connections(scene: Scene) -> Iterator[None]:
    """Every connection there is, is taken; those of before are cut."""
    scene.database.ask("ALTER ROLE gitguard CONNECTION LIMIT 0")
    scene.database.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gitguard'")
    yield
    scene.database.ask("ALTER ROLE gitguard CONNECTION LIMIT -1")


@contextmanager
def full(scene: Scene) -> Iterator[None]:
    """The disk is full: what was decided can be read, nothing can be written."""
    filler = scene.database.folder / "data" / "filler"
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(handle, bytes(4096))
    os.close(handle)
    with contextlib.suppress(psycopg.Error):  # what was set aside before is full as well
        for _ in range(200):
            scene.database.ask("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000))")
    yield
    filler.unlink()
    wait_until("it runs again", lambda: _answers(scene.database))


def _answers(database: DatabaseServer) -> bool:
    try:
        database.ask("SELECT 1")
    except Exception:
        with contextlib.suppress(RuntimeError):
            database.start()
        return False
    return True


@contextmanager
def vanishing(scene: Scene) -> Iterator[None]:
    """Packets to it vanish, and nobody says so."""
    words = [
        "ip",
        "neigh",
        "replace",
        scene.database.address,
        "lladdr",
        "02:00:00:00:00:99",
        "dev",
        f"{NETWORK}0",
        "nud",
        "permanent",
    ]
    subprocess.run(words, check=True)
    yield
    subprocess.run(["ip", "neigh", "del", scene.database.address, "dev", f"{NETWORK}0"], check=True)


@contextmanager
def standby_away(scene: Scene) -> Iterator[None]:
    """Replication is synchronous, and the standby is away: what is committed is never said to be."""
    scene.database.ask("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    scene.database.ask("SELECT pg_reload_conf()")
    wait_until(
        "it waits for a standby",
        lambda: scene.database.ask("SHOW synchronous_standby_names") == [("nobody",)],
    )
    yield
    scene.database.ask("ALTER SYSTEM RESET synchronous_standby_names")
    scene.database.ask("SELECT pg_reload_conf()")


@contextmanager
def pooler_gone(scene: Scene) -> Iterator[None]:
    """PgBouncer is killed."""
    pooler = scene.pooler
    assert pooler is not None
    pooler.stop()
    yield
    pooler.begin()


# -- where they happen ---------------------------------------------------------------------------


def plain(scene: Scene) -> None:
    """Over the database's socket."""
    scene.database.make()
    scene.database.start()
    scene.open(scene.database.database("store"))


def pooled(scene: Scene) -> None:
    """Through PgBouncer."""
    scene.database.make()
    scene.database.start()
    scene.database.database("store")
    pooler = Pooler(scene.database)
    scene.undo.append(pooler.stop)
    scene.pooler = pooler
    scene.open(pooler.url("store"))


def small_disk(scene: Scene) -> None:
    """On a disk of its own."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "none", str(scene.database.folder)], check=True
    )
    scene.undo.insert(0, lambda: subprocess.run(["umount", str(scene.database.folder)], check=False))
    scene.database.folder.chmod(0o755)
    shutil.chown(scene.database.folder, "nobody")
    scene.database.make()
    scene.database.settings = ("min_wal_size=32MB", "max_wal_size=48MB", "wal_keep_size=0")
    scene.database.start()
    scene.open(scene.database.database("store"))


def other_network(scene: Scene) -> None:
    """In a network of its own, over TLS, with a password."""
    for words in (
        f"netns add {NETWORK}",
        f"link add {NETWORK}0 type veth peer name {NETWORK}1 netns {NETWORK}",
        f"addr add 10.97.0.1/30 dev {NETWORK}0",
        f"link set {NETWORK}0 up",
        f"-n {NETWORK} addr add 10.97.0.2/30 dev {NETWORK}1",
        f"-n {NETWORK} link set {NETWORK}1 up",
        f"-n {NETWORK} link set lo up",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    scene.undo.insert(0, lambda: subprocess.run(["ip", "netns", "del", NETWORK], check=False))
    scene.database.address = "10.97.0.2"
    scene.database.before = ["ip", "netns", "exec", NETWORK]
    scene.database.make()
    authority = scene.database.encrypt()
    scene.database.start()
    scene.database.database("store", password="a secret of the lab")
    file = scene.folder / "password"
    file.write_text("a secret of the lab\n")
    file.chmod(0o600)
    scene.open(scene.database.url_by_tls("store", authority), str(file))


class Pair(NamedTuple):
    """A primary and its standby."""

    primary: DatabaseServer
    standby: DatabaseServer

    @property
    def url(self) -> str:
        """Whichever of the two is the primary."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self)
        return f"postgresql://gitguard@{hosts}/store"


def pair(scene: Scene, *, synchronous: bool) -> Pair:
    """Two database servers, of which the second follows the first."""
    primary = scene.database
    primary.make()
    primary.start()
    primary.database("store")
    standby = DatabaseServer(Path(tempfile.mkdtemp(prefix="gitguard-pg-", dir="/tmp")))
    scene.undo.append(standby.remove)
    standby.copy_of(primary)
    standby.start()
    wait_until(
        "it follows", lambda: primary.ask("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")
    )
    if synchronous:
        primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        primary.ask("SELECT pg_reload_conf()")
        wait_until(
            "it is synchronous",
            lambda: primary.ask("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"),
        )
    return Pair(primary, standby)


def paired(scene: Scene) -> None:
    """On a primary whose standby has all that was said to be done."""
    scene.both = pair(scene, synchronous=True)
    scene.open(scene.both.url)


def lagging(scene: Scene) -> None:
    """On a primary whose standby is behind: it has not seen alice verify."""
    scene.both = both = pair(scene, synchronous=False)
    scene.open(both.url)
    sent = both.primary.ask("SELECT pg_current_wal_lsn()::text")[0][0]
    wait_until(
        "it has caught up",
        lambda: both.standby.ask("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", sent) == [(True,)],
    )
    both.standby.stop()
    scene.server.admin("session", "revoke", "alice")


@contextmanager
def failed_over(scene: Scene) -> Iterator[None]:
    """The primary is killed, and its standby promoted; what is lost, an admin accepts."""
    both = scene.both
    assert both is not None
    was_away = not (both.standby.data / "postmaster.pid").exists()
    both.primary.stop("immediate")
    if was_away:
        both.standby.start()
    both.standby.promote()
    wait_until("it writes", lambda: both.standby.ask("SELECT pg_is_in_recovery()") == [(False,)])
    yield
    if was_away:
        scene.server.admin("store", "accept-loss", "--reason", "the standby lagged")


@contextmanager
def old_primary(scene: Scene) -> Iterator[None]:
    """After a failover the old primary is started again, and the new one is away."""
    both = scene.both
    assert both is not None
    with failed_over(scene):
        scene.read()
    both.standby.stop()
    both.primary.start()
    yield
    both.primary.stop()
    both.standby.start()


def clock_off(seconds: int) -> Broken:
    """The database's clock is off."""

    @contextmanager
    def broken(scene: Scene) -> Iterator[None]:
        scene.database.stop()
        scene.database.environment = {
            "LD_PRELOAD": FAKETIME, "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
        scene.database.start()
        yield
        scene.database.stop()
        scene.database.environment = {}
        scene.database.start()

    return broken


FAULTS: dict[str, tuple[Callable[[Scene], None], Broken]] = {
    "shut down": (plain, stopped),
    "killed": (plain, killed),
    "standing still": (plain, paused),
    "restarted in between": (plain, restarted),
    "the lock's holder cut off": (plain, holder_paused),
    "no connection left": (plain, no_connections),
    "synchronous, standby away": (plain, standby_away),
    "behind PgBouncer: killed": (pooled, killed),
    "behind PgBouncer: standing still": (pooled, paused),
    "PgBouncer killed": (pooled, pooler_gone),
    "disk full": (small_disk, full),
    "packets vanish": (other_network, vanishing),
    "failed over, nothing lost": (paired, failed_over),
    "failed over, the standby had lagged": (lagging, failed_over),
    "an old primary in place of the new one": (paired, old_primary),
    "its clock a minute behind": (plain, clock_off(-60)),
    "its clock a minute ahead": (plain, clock_off(60)),
}


@contextmanager
def scene_of(place: Callable[[Scene], None]) -> Iterator[Scene]:
    """A scene in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="gg-failures-") as folder:
        scene = Scene(Path(folder))
        try:
            place(scene)
            yield scene
        finally:
            scene.close()


def main() -> int:
    """Print the table."""
    wanted = sys.argv[1:] or list(FAULTS)
    print(
        "| fault | a read meanwhile | a code meanwhile | a read after | the same code after | reads again after |"
    )
    print("|---|---|---|---|---|---|")
    late = 0
    for name in wanted:
        place, broken = FAULTS[name]
        with scene_of(place) as scene:
            row = tried(scene, name, broken)
        answers = [f"{one.reason} {one.seconds:.2f} s" for one in row[1:5]]
        print(f"| {name} | {' | '.join(answers)} | {row.recovered_seconds:.1f} s |", flush=True)
        late += sum(one.seconds > MOST_SECONDS for one in row[1:5])
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
