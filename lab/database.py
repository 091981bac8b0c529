"""A PostgreSQL server of our own: real, on a free port and a socket, run by another account than root.

`fsync` is off: what a test breaks is a process or a network, never this machine's power.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import ipaddress
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

ACCOUNT = "nobody"  # initdb refuses root
START_SECONDS = 60


def programs() -> Path:
    """The folder of PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise FileNotFoundError("PostgreSQL is not installed: make postgresql")
    return found[-1].parent


def free_port() -> int:
    """A port of the loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class DatabaseServer:
    """One server in a folder of its own, with the account `gitguard` in it. `remove` it.

    `before`: what its programs are started by, such as another network or another clock.
    """

    def __init__(self, folder: Path | None = None, port: int = 0) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="gitguard-pg-", dir="/tmp"))
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.port = port or free_port()
        self.address = "127.0.0.1"
        self.before: list[str] = []
        self.environment: dict[str, str] = {}
        self.settings: tuple[str, ...] = ()
        if not os.geteuid():
            shutil.chown(self.folder, ACCOUNT)

    def run(self, program: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the server's account."""
        more = [f"{name}={value}" for name, value in self.environment.items()]  # for it alone: some preload
        done = subprocess.run(
            [*self.before, *as_account(), "env", *more, str(programs() / program), *words],
            capture_output=True, text=True, check=False, cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        if check and done.returncode:
            log = (self.folder / "log").read_text()[-2000:] if (self.folder / "log").exists() else ""
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}{log}")
        return done

    def make(self) -> None:
        """Make its data."""
        self.run(
            "initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"
        )  # fmt: skip

    def copy_of(self, primary: DatabaseServer, name: str = "standby") -> None:
        """Make its data as a standby's of `primary`, which knows it by `name`."""
        self.run(
            "pg_basebackup", "-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "--no-sync",
            "-d", f"host={primary.folder} port={primary.port} user=postgres application_name={name}",
        )  # fmt: skip

    def encrypt(self) -> Path:
        """Have it speak TLS, and ask for passwords from elsewhere; the certificate that vouches for it."""
        authority = make_certificates(self.folder, (self.address, "127.0.0.1"))
        for name in ("server.crt", "server.key"):
            shutil.copy2(self.folder / name, self.data / name)
            if not os.geteuid():
                shutil.chown(self.data / name, ACCOUNT, int(_group()))
            (self.data / name).chmod(0o600)
        with open(self.data / "pg_hba.conf", "a", encoding="ascii") as file:
            file.write("hostssl all all 10.0.0.0/8 scram-sha-256\n")
        self.settings = (*self.settings, "ssl=on")
        return authority

    def start(self, *settings: str) -> None:
        """Start it, and wait until it answers."""
        words = (
            f"-p {self.port} -k {self.folder} -c listen_addresses={self.address} -c fsync=off -c shared_buffers=16MB"
            " -c max_connections=120 -c dynamic_shared_memory_type=mmap -c timezone=UTC"
        )
        words += "".join(f" -c {setting}" for setting in (*self.settings, *settings))
        self.run(
            "pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-w", "-t", str(START_SECONDS), "-o", words, "start"
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop it."""
        self.run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop", check=False)

    def promote(self) -> None:
        """Make a standby the primary."""
        self.run("pg_ctl", "-D", str(self.data), "-w", "promote")

    @property
    def processes(self) -> list[int]:
        """The server's first process, and all that it began."""
        first = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    def pause(self) -> list[int]:
        """Every process of it stands still; which they are."""
        stopped = self.processes
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        return stopped

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Every process of it stands still, for so long."""
        stopped = self.pause()
        try:
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def ask(self, sql: str, *values: object, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run SQL as the server's admin."""
        with psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str, password: str = "") -> str:
        """A new, empty database of the account `gitguard`; its URL."""
        if not self.ask("SELECT 1 FROM pg_roles WHERE rolname = 'gitguard'"):
            self.ask(
                f"CREATE ROLE gitguard LOGIN PASSWORD '{password}'"
                if password
                else "CREATE ROLE gitguard LOGIN"
            )
        self.ask(f'CREATE DATABASE "{name}" OWNER gitguard')
        return self.url(name)

    def url(self, name: str) -> str:
        """The URL of a database, over the server's socket."""
        return f"postgresql://gitguard@/{name}?host={self.folder}:{self.port}"

    def url_by_tls(self, name: str, authority: Path) -> str:
        """The same, over the network, to whom `authority` vouches for."""
        return f"postgresql://gitguard@{self.address}:{self.port}/{name}?sslmode=verify-full&sslrootcert={authority}"

    def remove(self) -> None:
        """Stop it, and take its folder away."""
        with contextlib.suppress(OSError, ValueError):
            for pid in self.processes:
                os.kill(pid, signal.SIGCONT)
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


class Pooler:
    """PgBouncer before `server`, in transaction mode. `stop` it."""

    def __init__(self, server: DatabaseServer) -> None:
        self.port = free_port()
        self.server = server
        self.file = server.folder / f"pgbouncer-{self.port}.ini"
        self.write(server)
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise FileNotFoundError("PgBouncer is not installed: make postgresql")
        self._program = program
        self.begin()

    def begin(self) -> None:
        """Start it."""
        with open(self.server.folder / "pgbouncer.log", "ab") as log:
            self.process = subprocess.Popen(
                [*as_account(), self._program, "-q", str(self.file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until("PgBouncer answers", self._answers)

    def write(self, server: DatabaseServer) -> None:
        """Lead to `server` from now on; `reload` says so."""
        users = self.file.with_suffix(".users")
        users.write_text('"gitguard" ""\n')
        self.file.write_text(
            f"[databases]\n* = host={server.folder} port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {users}\n"
            "pool_mode = transaction\ndefault_pool_size = 20\nserver_login_retry = 0.2\nquery_wait_timeout = 5\n"
            "ignore_startup_parameters = extra_float_digits\n"
        )

    def reload(self, server: DatabaseServer) -> None:
        """Lead to another server from now on."""
        self.write(server)
        self.process.send_signal(signal.SIGHUP)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self, name: str) -> str:
        """The URL of a database through it."""
        return f"postgresql://gitguard@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def as_account() -> list[str]:
    """What starts a program as another account than root."""
    return (
        [] if os.geteuid() else ["setpriv", "--reuid", ACCOUNT, "--regid", _group(), "--clear-groups", "--"]
    )


def make_certificates(folder: Path, addresses: tuple[str, ...]) -> Path:
    """An authority, and `server.crt` and `server.key` of it for `addresses`; the authority's certificate."""
    now = dt.datetime.now(dt.UTC)
    own, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def certificate(subject: str, public: ec.EllipticCurvePublicKey, *, authority: bool) -> x509.Certificate:
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address(one)) for one in dict.fromkeys(addresses)]
        )
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab authority")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        return (made if authority else made.add_extension(names, critical=False)).sign(own, hashes.SHA256())

    written = {
        "authority.crt": certificate("lab authority", own.public_key(), authority=True).public_bytes(
            Encoding.PEM
        ),
        "server.crt": certificate("database", key.public_key(), authority=False).public_bytes(Encoding.PEM),
        "server.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }
    for name, data in written.items():
        (folder / name).write_bytes(data)
    return folder / "authority.crt"


def _group() -> str:
    return str(pwd.getpwnam(ACCOUNT).pw_gid)


def wait_until(what: str, holds: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something that comes by itself. Raises TimeoutError."""
    ends = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > ends:
            raise TimeoutError(what)
        time.sleep(0.02)


@cache
def own_server() -> DatabaseServer:
    """The database server of this process, begun when it is first asked for, and gone with it."""
    server = DatabaseServer()
    atexit.register(server.remove)
    server.make()
    server.encrypt()
    server.start()
    return server


def new_database() -> str:
    """A new, empty database on it; its URL."""
    return own_server().database(f"store{os.getpid()}_{next(_NUMBERS)}")


_NUMBERS = count()
