"""A person waits for what is loaded: each verb loads what it needs alone."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from lab.server import Direct, Person

# What one of the verbs once loaded, and none of these needs.
NEVER = {
    "dataclasses", "difflib", "glob", "gzip", "multiprocessing", "shutil", "ssl", "subprocess", "tempfile", "traceback",
    "gitguard.action.browsers", "gitguard.action.requests", "gitguard.answer.log_reader", "gitguard.doctor",
    "gitguard.importers", "gitguard.host.notices", "gitguard.host.connections",
}  # fmt: skip
FOR_CODES = {"cryptography", "pyotp", "hashlib", "hmac", "secrets"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Direct:
    """An installation with a person who is verified."""
    made = Direct(tmp_path_factory.mktemp("light"))
    made.install()
    made.new_user("alice")
    return made


def loaded(server: Direct, person: Person, line: str, stdin: str = "") -> set[str]:
    """The modules that the gate loads for `line`, as the interpreter names them."""
    with open(server.launcher) as file:
        python = file.readline().removeprefix("#!").split()[0]
    command = server.ssh_command(person, *line.split())
    at = command.index(server.launcher)
    done = subprocess.run(
        [*command[:at], python, "-IS", "-X", "importtime", *command[at:]],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    return set(re.findall(r"^import time:[ \d]+\|[ \d]+\|\s+(\S+)$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize("line", ["2fa verify --if-needed", "2fa help", "2fa"])
def test_what_needs_no_code_loads_nothing_of_it(server: Direct, line: str) -> None:
    """No ciphers, no codes, no logs and no processes, where the store alone is looked at."""
    found = loaded(server, server.people["alice"], line)
    assert "click" in found
    assert not found & (NEVER | FOR_CODES)


def test_verifying_loads_what_a_code_needs_alone(server: Direct) -> None:
    """Fewer than 120 modules beside Python's own; the ciphers and codes among them, nothing of logs,
    processes and pages. Python's own are not counted, as each version parts them in its own way.
    """
    alice = server.people["alice"]
    server.clear_watermark(alice)
    found = loaded(server, alice, "2fa verify", server.fresh_code(alice) + "\n")
    assert {"pyotp", "cryptography"} <= found
    assert not found & NEVER
    assert len([name for name in found if name.partition(".")[0] not in sys.stdlib_module_names]) < 120
