"""How the two programs end: all is said, nothing is left open, and the status is one of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitguard.host.launcher import render
from gitguard.host.places import Places
from lab.run import run
from lab.server import Direct

OWN = ("2fa help", "2fa status", "2fa status --json")


def test_it_says_all_and_leaves_no_store_open(site: Direct) -> None:
    """The process ends without taking its modules down: what is buffered is written,
    the store's log is folded in.
    """
    alice = site.new_user("alice")
    done = run(site.ssh_command(alice, "2fa status --json"))
    assert json.loads(done.out)["user"] == "alice"
    left = {path.name for path in site.store.parent.glob("gitguard.db*")}
    assert left == {"gitguard.db"}


@pytest.mark.parametrize("words", OWN)
def test_nobody_reads_it(site: Direct, words: str) -> None:
    """A pipe whose reader has gone, and a full disk: a status of the table, at
    most one sentence, no traceback.
    """
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


def test_what_a_program_leaves_in_its_buffers_is_written(tmp_path: Path) -> None:
    """The end is ours: it writes what is left, and says so by its status if nobody takes it."""
    (tmp_path / "stand_in.py").write_text(
        "import sys\ndef main(*places):\n    sys.stdout.write('said')\n    sys.stderr.write('told')\n    return 0\n"
    )
    places = Places("config", "compiled", "gate", "hook", "snippet", "cron", "units")
    text = render(("a stand-in", "stand_in"), places, "nowhere", sys.executable, [str(tmp_path)])
    program = tmp_path / "program"
    program.write_bytes(text)
    program.chmod(0o755)
    done = run([str(program)])
    assert (done.out, done.err) == ("said", "told")
    with open("/dev/full", "wb") as full:
        assert subprocess.run([str(program)], stdout=full, check=False).returncode == 1


def test_a_closed_stdout_is_no_fault(site: Direct) -> None:
    """`>&-`: anyone who asks for nothing gets nothing."""
    alice = site.new_user("alice")
    done = run(["sh", "-c", 'exec "$@" >&-', "sh", *site.ssh_command(alice, "2fa status")])
    assert done.text == ""
