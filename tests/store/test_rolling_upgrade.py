"""Two servers of one database are upgraded one after the other, while people read and push."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import gitguard
from lab.agent import Agent
from lab.database import DatabaseServer, wait_until
from lab.estate import Estate
from lab.failures import reason_of
from lab.person import Person
from lab.server import Direct

pytestmark = pytest.mark.e2e
TABLES = "ALTER TABLE servers ADD COLUMN newer BIGINT NOT NULL DEFAULT 0;\n"


@pytest.fixture
def database() -> Iterator[DatabaseServer]:
    """One that is thrown away."""
    made = DatabaseServer(Path(tempfile.mkdtemp(prefix="gitguard-pg-", dir="/tmp")))
    made.make()
    made.start()
    yield made
    made.remove()


def newer(folder: Path) -> Path:
    """A gitguard that is one schema ahead, which reads and is read by this one."""
    package = folder / "gitguard"
    shutil.copytree(Path(gitguard.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (package / "store").rglob("gate_query.py"):
        text = file.read_text()
        assert "SCHEMA = 7" in text
        file.write_text(text.replace("SCHEMA = 7", "SCHEMA = 8"))
    (package / "store" / "migrations" / "0008.postgresql.sql").write_text(TABLES)
    return folder


class Loop(threading.Thread):
    """Reads and pushes without an end, on every server in turn."""

    def __init__(self, servers: list[Direct], person: Person) -> None:
        super().__init__()
        self.servers, self.person = servers, person
        self.reasons: Counter[str] = Counter()
        self.slowest = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        """Until it is over."""
        while not self.over.is_set():
            for server in self.servers:
                for verb in ("git-upload-pack", "git-receive-pack"):
                    began = time.monotonic()
                    self.reasons[reason_of(server.ssh(self.person, verb, "app", stdin="0000"))] += 1
                    self.slowest = max(self.slowest, time.monotonic() - began)


def restart(agent: Agent, folder: Path) -> None:
    """With the gitguard that lies in `folder`."""
    agent.before = ["env", "-C", str(folder)]
    agent.stop()
    agent.start()


def upgraded(folder: Path, server: Direct, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the newer gitguard."""
    return subprocess.run(
        [sys.executable, "-m", "gitguard", "--config", str(server.config), "admin", *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_one_after_the_other(tmp_path: Path, database: DatabaseServer) -> None:
    """Whoever is in a session notices nothing; on the server that is not upgraded yet nothing is changed."""
    tmp_path.chmod(0o755)
    folder = newer(tmp_path / "newer")
    with Estate(tmp_path / "estate", database.database("store"), 2, Direct) as estate:
        first, second = (server for server in estate.servers if isinstance(server, Direct))
        first.admin("repo", "create", "app")
        alice, bob = first.new_user("alice"), first.new_user("bob", in_session=False)
        loop = Loop([first], alice)
        loop.start()
        try:
            done = upgraded(folder, second, "store", "migrate")
            assert done.stdout == "ran 0008.postgresql.sql\n", done.stderr
            restart(estate.agents[1], folder)
            assert reason_of(second.ssh(alice, "2fa", "status")) == "allowed"
            refused = first.ssh(bob, "2fa", "verify", stdin=first.fresh_code(bob) + "\n")
            assert reason_of(refused) == "store-schema"
            assert "store-schema" in first.admin("user", "add", "carol", status=None).text
            assert "store-schema" in first.admin("store", "migrate", status=41).text
            before = sum(loop.reasons.values())
            wait_until("the loop goes on", lambda: sum(loop.reasons.values()) > before + 4)
        finally:
            loop.over.set()
            loop.join()
        assert set(loop.reasons) == {"allowed"}
        assert loop.slowest < 2
        assert "nothing was changed" in upgraded(folder, second, "store", "migrate").stdout
