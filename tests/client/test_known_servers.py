"""What a workstation remembers of servers, and what it hands straight through."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gitguard.client import prompt_lock, ssh_wrapper
from gitguard.client.known_servers import is_known, remember
from gitguard.client.remote import Server, SshCommand


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_port_is_part_of_a_server() -> None:
    """ATTACK: a clone names another port of a host that is known, where the thief's sshd
    listens. EXPECTED: not known.
    """
    ways = [(), ("-p", "22"), ("-p", "2222")]
    for known in ways:
        remember(Server("git@host", known), SshCommand())
        for asked, there in itertools.product(ways, ("git@host", "git@other", "git@hos")):
            before = ways.index(asked) <= ways.index(known) and there == "git@host"
            assert is_known(Server(there, asked), SshCommand()) is before, (known, asked, there)


def test_a_clone_with_an_ssh_of_its_own_is_another_server() -> None:
    """That command decides where the words really go."""
    remember(Server("git@host", ()), SshCommand())
    assert not is_known(
        Server("git@host", ()), SshCommand("ssh -o ProxyCommand=evil", snippet=True, local=True)
    )


@pytest.mark.parametrize(
    "words",
    [
        ["git@h", "git-lfs-authenticate", "app", "download"],
        ["git@h"],
        ["git@h", "git-upload-archive", "'app'"],
        ["-V"],
    ],
)
def test_what_is_neither_of_gits_conversations_goes_straight_through(
    words: list[str], own_folder: Path
) -> None:
    """Run once, with its status, and what it said unchanged."""
    log = own_folder / "ran"
    program = own_folder / "ssh"
    program.write_text(f'#!/bin/sh\necho "$@" >> "{log}"\nexit 7\n')
    program.chmod(0o755)
    assert ssh_wrapper.run(SshCommand(str(program)), words) == 7
    assert log.read_text().splitlines() == [" ".join(words)]


def test_turns_are_taken_one_at_a_time(own_folder: Path) -> None:
    """Of two who would ask for the same server one asks; a folder that cannot be
    written stops nobody from asking.
    """
    server = Server("git@host", ())
    probe = (
        "import sys; from gitguard.client import prompt_lock; from gitguard.client.remote import Server\n"
        "import fcntl, contextlib\n"
        "with prompt_lock.turn(Server('git@host', ()), lambda said: print(said, flush=True)) as mine: print(mine)\n"
    )
    with prompt_lock.turn(server, lambda _: None) as mine:
        assert mine
        with prompt_lock.turn(Server("git@other", ()), lambda _: None) as other:
            assert other, "another server is another turn"
        waiting = subprocess.Popen([sys.executable, "-c", probe], stdout=subprocess.PIPE, text=True)
        assert waiting.stdout is not None
        said = waiting.stdout.readline()
        assert f"waiting for process {os.getpid()}, which has been asking for a code since " in said
        assert waiting.poll() is None
    out, _ = waiting.communicate(timeout=10)
    assert out.strip() == "True", "its turn comes when ours is over"


def test_the_turn_of_one_that_died_is_taken_over(own_folder: Path) -> None:
    """Killed at the prompt (a closed window, a crash): the next one asks at once, whatever the file says."""
    probe = (
        "import sys, time; from gitguard.client import prompt_lock; from gitguard.client.remote import Server\n"
        "with prompt_lock.turn(Server('git@host', ()), str) as mine: print(mine, flush=True); sys.stdin.read()\n"
    )
    for number in (signal.SIGKILL, signal.SIGHUP, signal.SIGTERM):
        asking = subprocess.Popen(
            [sys.executable, "-c", probe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert asking.stdout is not None
        assert asking.stdout.readline() == "True\n"
        asking.send_signal(number)
        assert asking.stdin is not None
        asking.stdin.close()  # the signal may arrive just before it reads, and is looked at when it has read
        status = asking.wait(10)
        assert status == (-number if number == signal.SIGKILL else 128 + number), "it is unwound, not cut off"
        asking.stdout.close()
        told: list[str] = []
        with prompt_lock.turn(Server("git@host", ()), told.append) as mine:
            assert mine
        assert told == []


def test_a_server_that_never_stops_talking_keeps_nobody(
    own_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """ATTACK: a refusal, and then a megabyte that nobody reads. EXPECTED: Git hears the
    refusal, and all of it ends.
    """
    program = own_folder / "ssh"
    packet = "ERR gitguard: verify to read x: ssh -T git@h 2fa verify [verification-required]"
    program.write_text(
        f"#!/bin/sh\nprintf '%04x%s' {len(packet) + 4} '{packet}'\nhead -c 1000000 /dev/zero || exit 1\nexit 3\n"
    )
    program.chmod(0o755)
    status = ssh_wrapper.run(SshCommand(str(program)), ["git@h", "git-upload-pack 'x'"])
    assert status != 0
    assert "verify to read x" in capfd.readouterr().out
