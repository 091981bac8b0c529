"""The access log: one whole line a decision, into one file of ours, or a refusal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitguard.answer.access_log import append, line_of
from gitguard.decision.decision import Decision
from gitguard.decision.request import Request
from gitguard.message.reasons import Refusal
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment


def config(path: Path) -> Any:
    """The one value that is looked at."""
    return SimpleNamespace(access_log=str(path), syslog="")


def refused(path: Path) -> Refusal:
    """Appending there, which must be refused."""
    with pytest.raises(Refusal) as caught:
        append(config(path), b"{}\n")
    assert caught.value.reason == "log-unavailable"
    return caught.value


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Whoever may write the folder could lead the log to any file of the account's."""
    target = tmp_path / "target"
    target.write_text("precious\n")
    (tmp_path / "log").symlink_to(target)
    refused(tmp_path / "log")
    assert target.read_text() == "precious\n"


@pytest.mark.parametrize("reader", [False, True])
def test_a_pipe_neither_hangs_nor_counts(tmp_path: Path, reader: bool) -> None:
    """A named pipe in the log's place, with or without somebody at its other end."""
    os.mkfifo(tmp_path / "log")
    handle = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK) if reader else None
    refused(tmp_path / "log")
    if handle is not None:
        os.close(handle)


def test_half_a_line_is_none(tmp_path: Path) -> None:
    """A file that may grow by a few bytes more: what was asked must be refused, not let through half logged."""
    (tmp_path / "log").write_text("x" * 99 + "\n")
    script = (
        "import resource, sys\nfrom types import SimpleNamespace\n"
        "from gitguard.answer.access_log import append\nfrom gitguard.message.reasons import Refusal\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (110, 110))\n"
        "try:\n    append(SimpleNamespace(access_log=sys.argv[1], syslog=''), b'{\"a\": \"' + b'b' * 50 + b'\"}\\n')\n"
        "except Refusal as refusal:\n    print(refusal.reason, refusal.detail)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "log")], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("log-unavailable"), done.stdout + done.stderr
    assert (tmp_path / "log").stat().st_size == 110
    append(config(tmp_path / "log"), b'{"next": 1}\n')
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1]) == {"next": 1}


def test_a_line_says_from_where(tmp_path: Path) -> None:
    """Address, key and user stand in each, as sshd and the key line gave them."""
    decision = Decision(Request("alice", ssh_key("SHA256:k"), "192.0.2.7", None, Moment(1_800_000_000)))
    decision.refusal = Refusal("no-identity", "why")
    entry = json.loads(line_of(decision, "0badc0de"))
    assert entry["address"] == "192.0.2.7"
    assert (entry["user"], entry["key"], entry["because"], entry["at"]) == (
        "alice",
        "SHA256:k",
        "why",
        1_800_000_000,
    )
