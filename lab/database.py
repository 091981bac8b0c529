"""A PostgreSQL server of our own: real, on a free port and a socket, run by another account than root.

`fsync` is off: what a test breaks is a process or a network, never this machine's power.
"""

from __future__ import annotations

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
from pathlib import Path

import psycopg

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
    """One server in a folder of its own, with the account `gitguard` in it. `stop` it."""

    def __init__(self, folder: Path | None = None, port: int = 0) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="gitguard-pg-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.port = port or free_port()
        self._as = (
            []
            if os.geteuid()
            else ["setpriv", "--reuid", ACCOUNT, "--regid", _group(), "--clear-groups", "--"]
        )
        if not os.geteuid():
            shutil.chown(self.folder, ACCOUNT)

    def run(self, program: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the server's account."""
        done = subprocess.run(
            [*self._as, str(programs() / program), *words],
            capture_output=True, text=True, check=False, cwd=self.folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
        return done

    def make(self) -> None:
        """Make its data."""
        self.run(
            "initdb",
            "-D",
            str(self.data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C.UTF-8",
        )

    def start(self, *settings: str) -> None:
        """Start it, and wait until it answers."""
        words = (
            f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=16MB"
            " -c max_connections=120 -c dynamic_shared_memory_type=mmap -c timezone=UTC -c log_statement=none "
        )
        words += " ".join(f"-c {setting}" for setting in settings)
        self.run(
            "pg_ctl",
            "-D",
            str(self.data),
            "-l",
            str(self.folder / "log"),
            "-w",
            "-t",
            str(START_SECONDS),
            "-o",
            words,
            "start",
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop it."""
        self.run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop", check=False)

    @property
    def processes(self) -> list[int]:
        """The server's first process, and all that it began."""
        first = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Every process of it stands still."""
        stopped = self.processes
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    def ask(self, sql: str, *values: object, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run SQL as the server's admin."""
        with psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str) -> str:
        """A new, empty database of the account `gitguard`; its URL."""
        if not self.ask("SELECT 1 FROM pg_roles WHERE rolname = 'gitguard'"):
            self.ask("CREATE ROLE gitguard LOGIN")
        self.ask(f'CREATE DATABASE "{name}" OWNER gitguard')
        return self.url(name)

    def url(self, name: str) -> str:
        """The URL of a database, over the server's socket."""
        return f"postgresql://gitguard@/{name}?host={self.folder}:{self.port}"

    def remove(self) -> None:
        """Stop it, and take its folder away."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


def _group() -> str:
    return str(pwd.getpwnam(ACCOUNT).pw_gid)


def wait_until(what: str, holds: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something that comes by itself. Raises TimeoutError."""
    ends = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > ends:
            raise TimeoutError(what)
        time.sleep(0.02)
