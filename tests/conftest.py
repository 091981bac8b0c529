"""What all tests share: the real parts that are there, a desk on a real SQLite store, a real server."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import base64

from gitguard.action import steps
from gitguard.action.keys import key_row
from gitguard.config.schema import Settings
from gitguard.factor import keyring
from gitguard.factor.code import new_recovery_code
from gitguard.factor.context import ProofContext
from gitguard.factor.person import Person
from gitguard.factor.recovery import put_recovery_codes
from gitguard.factor.totp import Parameters
from gitguard.host.key_options import NewKey
from gitguard.identity.public_key import PublicKey
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment
from gitguard.store.contract import Store, Writing
from gitguard.store.rows import TotpFactor
from lab.faults import CAN_MOUNT
from lab.host import CAN as CAN_HOST
from lab.server import SSHD, Direct, Server
from tests.backends import Backend, SqliteBackend

NOW = 1_800_000_000  # a moment long after any real one, so that no test leans on the clock
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def pytest_report_header() -> str:
    """Which real parts are here: a missing one is never invisible."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    ssh = (
        subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False)
        .stderr.strip()
        .partition(",")[0]
    )
    sshd = SSHD or "MISSING (Debian: apt-get install openssh-server)"
    gitolite = shutil.which("gitolite") or "MISSING (Debian: apt-get install gitolite3)"
    mount = "tmpfs for full and read-only disks" if CAN_MOUNT else "NO MOUNT: those disks are left out"
    host = (
        "a root server of its own"
        if CAN_HOST
        else "NO ROOT SERVER: gitolite and the planted gaps are left out"
    )
    return f"real parts: {git}; {ssh}; sshd {sshd}; gitolite {gitolite}; {mount}; {host}; SQLite {sqlite3.sqlite_version}; Python {sys.version.split()[0]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest stories first, and not all of them for one worker: each
    begins with its share of the list.
    """
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    slow = [item for item in items if item.get_closest_marker("slow") is not None]
    rest = [item for item in items if item.get_closest_marker("slow") is None]
    share = -(-len(items) // workers)
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        mine = slow[worker::workers]
        ordered += [*mine, *rest[: share - len(mine)]]
        del rest[: share - len(mine)]
    items[:] = [*ordered, *rest]


class Bench:
    """A desk with one enrolled user, alice, whose authenticator the test holds."""

    def __init__(self, folder: Path, settings: Settings, kind: type[Backend] = SqliteBackend) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # as the state folder is
        self.folder = folder
        keyring.create(str(folder / "secret.keys"))
        self.backend = kind(folder)
        self.backend.create()
        self._opened: list[tuple[int, Store]] = []
        self.desk = self.open(settings)
        self.parameters = Parameters(SECRET)
        self.alice = self.person("alice", 1)
        self.now = Moment(NOW, "boot", 1000)
        with self.desk.store.writing() as tx:
            steps.add_user(tx, "alice", NOW, "test")
            self.add_key(tx, self.alice)
            self.enrol(tx, "alice")

    def open(self, settings: Settings) -> ProofContext:
        """Another desk on the same store, as another process would have."""
        store = self.backend.open()
        self._opened.append((threading.get_ident(), store))
        return ProofContext(store, keyring.read(str(self.folder / "secret.keys")), settings)

    def close(self) -> None:
        """Let go of the stores that this thread has opened: each belongs to its own."""
        mine = [store for thread, store in self._opened if thread == threading.get_ident()]
        self._opened = [one for one in self._opened if one[1] not in mine]
        for store in mine:
            store.close()

    def person(self, name: str, number: int, address: str = "192.0.2.1") -> Person:
        """A person with the `number`-th made-up key."""
        return Person(name, ssh_key(key_of(number).fingerprint), address)

    def add_key(self, tx: Writing, person: Person, number: int = 1) -> None:
        """Give the person's key to them in the store."""
        steps.add_key(tx, key_row(person.user, NewKey(key_of(number)), NOW), NOW, "test")

    def enrol(self, tx: Writing, name: str) -> None:
        """Enrol with the known secret, long ago, from the address that `person` has by default."""
        tx.note_network(name, "192.0.2.1", NOW - 1000, enrolled=True)
        cipher_key, sealed = self.desk.keyring.encrypt(name, "e1", SECRET)
        tx.put_totp(TotpFactor(name, "e1", sealed, cipher_key, 6, 30, "SHA1", 0, NOW - 1000))

    def code(self, offset: int = 0) -> bytes:
        """The code that an app shows `offset` steps from now."""
        return self.parameters.code(self.parameters.step(self.now.at) + offset).encode()

    def wrong(self) -> bytes:
        """A code that fits nothing near."""
        near = {self.parameters.code(self.parameters.step(self.now.at) + n) for n in range(-100, 100)}
        return next(f"{n:06d}" for n in range(1_000_000) if f"{n:06d}" not in near).encode()

    def give_recovery_codes(self, user: str = "alice", count: int = 3) -> list[str]:
        """A set of recovery codes for `user`."""
        codes = tuple(new_recovery_code() for _ in range(count))
        with self.desk.store.writing() as tx:
            put_recovery_codes(self.desk, tx, user, codes)
        return list(codes)

    def later(self, seconds: int) -> Moment:
        """Move this test's clock on, and return the moment."""
        self.now = Moment(self.now.at + seconds, self.now.boot, self.now.boot_seconds + seconds)
        return self.now

    def set(self, **tables: object) -> None:
        """Change settings: `set(session=Session(...))`."""
        self.desk = replace(self.desk, settings=msgspec.structs.replace(self.desk.settings, **tables))


def key_of(number: int) -> PublicKey:
    """A made-up but well-formed ed25519 key."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0 " + number.to_bytes(32, "big")
    return PublicKey("ssh-ed25519", base64.b64encode(blob).decode(), f"key {number}")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A desk on a real store, with alice enrolled."""
    made = Bench(tmp_path / "desk", Settings())
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a worker that only add people and repositories of their own."""
    server = Server(tmp_path_factory.mktemp("shared") / "server")
    server.install()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, to break or configure as it likes."""
    server = Server(tmp_path / "server")
    server.install()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def site(tmp_path: Path) -> Direct:
    """An installation of the test's own below its folder, without sshd."""
    server = Direct(tmp_path / "server")
    server.install()
    return server
