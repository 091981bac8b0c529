"""How the two programs end: all is said, nothing is left open, and the status is one of ours."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from lab.run import run
from lab.server import Direct

OWN = ("2fa help", "2fa status", "2fa status --json")


def test_it_says_all_and_leaves_no_store_open(site: Direct) -> None:
    """The process ends without taking its modules down: what is buffered is written, the store's log is folded in."""
    alice = site.new_user("alice")
    done = run(site.ssh_command(alice, "2fa status --json"))
    assert json.loads(done.out)["user"] == "alice"
    left = {path.name for path in site.store.parent.glob("gitguard.db*")}
    assert left == {"gitguard.db"}


@pytest.mark.parametrize("words", OWN)
def test_nobody_reads_it(site: Direct, words: str) -> None:
    """A pipe whose reader has gone, and a full disk: a status of the table, at most one sentence, no traceback."""
    alice = site.new_user("alice")
    command = site.ssh_command(alice, words)
    ours, theirs = os.pipe()
    os.close(ours)
    gone = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    assert (gone.returncode, gone.stderr) == (1, b"")
    with open("/dev/full", "wb") as full:
        broken = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert broken.returncode == 1
    assert broken.stderr.startswith(b"gitguard: the output could not be written (No space left on device)")
    assert b"Exception" not in broken.stderr


def test_a_closed_stdout_is_no_fault(site: Direct) -> None:
    """`>&-`: whoever asks for nothing gets nothing."""
    alice = site.new_user("alice")
    done = run(["sh", "-c", 'exec "$@" >&-', "sh", *site.ssh_command(alice, "2fa status")])
    assert done.text == ""
