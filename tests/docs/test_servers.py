"""docs/servers.md: what it says to type is typed by a test, and its tables are those that the code makes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import pytest

from bench.estate import table
from lab.agent import Agent
from lab.database import DatabaseServer, programs
from lab.server import Direct

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "servers.md").read_text()
# What a row of the night says that people see -> the test that breaks it, looks, and types the remedy.
NIGHTS = {
    "`store-unavailable` on every server": "test_failures.py::test_a_fault_is_a_refusal_within_two_seconds",
    "`store-unavailable` for codes alone, reads continue": "test_failures.py::test_a_fault_is_a_refusal_within_two_seconds",
    '`store-unavailable`, "clock is … s ahead of the database\'s"': "test_failover.py::test_a_clock_that_is_off_judges_nothing",
    '`store-went-back`, "has lost what HOST recorded"': "test_failover.py::test_what_a_lagging_standby_lost_closes_every_server_first",
    '`store-went-back`, "an old primary has come back"': "test_failover.py::test_an_old_primary_is_all_that_is_left",
    "`store-schema`": "test_rolling_upgrade.py::test_one_after_the_other",
    '`config-invalid`, "through the agent"': "../config/test_config.py::test_every_fault_has_its_line_and_the_way_out",
    "codes of everyone are refused on one server, `the key file has no key …`": "test_many_servers.py::test_a_server_with_another_key_file",
    'doctor: "was not heard of for …"': "test_many_servers.py::test_servers_are_heard_of",
}


def section(name: str) -> str:
    """The text of one section."""
    return PAGE.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]


def typed(text: str) -> list[str]:
    """The indented lines that are commands."""
    lines = [line.strip() for line in re.findall(r"^    (.+)$", text, re.MULTILINE)]
    return [line for line in lines if line.split()[0] in ("runuser", "gitguard")]


def test_every_night_is_a_test() -> None:
    """Each row has one that breaks it; nothing is promised that was not tried."""
    rows = [
        row.split(" | ")[0].strip("| ")
        for row in section("The night it breaks").splitlines()
        if row.startswith("| ")
    ]
    assert [row for row in rows if row not in ("they see", "---")] == list(NIGHTS)
    for place in NIGHTS.values():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / "store" / file).read_text(), place


def test_the_estate_on_paper_is_as_simulated() -> None:
    """`make estate` prints the page's own table."""
    rows = [row for row in table(50_000, 200) if row.startswith("|")]
    assert "\n".join(rows) in PAGE


@pytest.mark.e2e
def test_an_empty_database_is_set_up_as_the_page_says(tmp_path: Path) -> None:
    """Each line of its first section, typed: two of the database's administrator, the rest of gitguard's."""
    tmp_path.chmod(0o755)
    database = DatabaseServer(Path(tempfile.mkdtemp(prefix="gitguard-pg-", dir="/tmp")))
    env = {
        "PATH": f"{programs()}:/usr/bin:/bin",
        "PGHOST": str(database.folder),
        "PGPORT": str(database.port),
    }
    server = Direct(tmp_path / "server")
    agent = Agent(server)
    server.home.mkdir(parents=True)
    server.config.write_text(
        f'[host]\nname = "127.0.0.1"\naccount = "{server.account}"\n[git]\nenforcement = "enforced"\n'
        f'[paths]\nrepositories = "{server.repositories}"\nauthorized_keys = "{server.key_file}"\n'
        f'state = "{server.home}/state"\naccess_log = "{server.access_log}"\n'
        f'[store]\nurl = "postgresql://gitguard@/gitguard?host={database.folder}:{database.port}"\n'
        f'[agent]\nsocket = "{agent.socket}"\n'
    )
    try:
        database.make()
        database.start()
        seen: list[str] = []
        for line in typed(section("Set up")):
            words = shlex.split(line)
            if words[:4] == ["runuser", "-u", "postgres", "--"]:
                subprocess.run([words[4], "-U", "postgres", *words[5:]], env=env, check=True)
            else:
                server.admin(*words[2:], status=None if words[2] == "doctor" else 0)
            if words[1:3] == ["admin", "init"]:
                agent.start()
            seen.append(line)
        assert len(seen) == 6
        status = json.loads(server.admin("store", "status", "--json").out)
        assert status["whole"] is True
    finally:
        agent.__exit__()
        database.remove()
