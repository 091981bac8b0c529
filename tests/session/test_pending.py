"""Pushes that a process holds: each counts while that very process lives, and
no more than so many of them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.factor.person import Person
from gitguard.machine.process import parent_and_start
from gitguard.session import pending, request_notes
from gitguard.session.credential import credential_of
from gitguard.session.request_notes import Notes, PendingRequest


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """As many processes as a server lets hold a push."""
    started = [subprocess.Popen(["sleep", "60"]) for _ in range(pending.MOST_HELD)]
    yield started
    for process in started:
        process.kill()
        process.wait()


def someone(user: str) -> Person:
    """Who pushes."""
    return Person(user, credential_of("SHA256:x"), "192.0.2.1")


def note(state: Path, pid: int, user: str, started: int | None = None) -> Path:
    """What the gate with this pid would have written."""
    folder = state / request_notes.FOLDER
    folder.mkdir(exist_ok=True)
    begun = parent_and_start(pid)[1] if started is None else started
    file = folder / f"{user}-{pid}"
    file.write_text(f"1000\n1234\n{user}\nSHA256:x\n192.0.2.1\nteam/app\npush\nabcd\n{begun}")
    return file


def hold(state: Path, user: str) -> PendingRequest | None:
    """As the gate of this process."""
    return pending.hold(Notes(str(state)), someone(user), "team/app", 1000, os.getpid())


def test_a_server_lets_a_hundred_wait(sleepers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """The hundred and first is refused at once; when one of them ends, there is room again."""
    for number, process in enumerate(sleepers):
        note(tmp_path, process.pid, f"user{number}")
    assert hold(tmp_path, "late") is None
    sleepers[0].kill()
    sleepers[0].wait()
    assert hold(tmp_path, "late") is not None


def test_a_user_has_five(sleepers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """A flood keeps nobody else from waiting."""
    for process in sleepers[: pending.MOST_HELD_OF_KEY]:
        note(tmp_path, process.pid, "thief")
    assert hold(tmp_path, "thief") is None
    assert hold(tmp_path, "alice") is not None


def test_a_file_is_its_processs_alone(sleepers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """A pid that names another process by now, a dead one, a link, half a
    record: none of them holds a push.
    """
    pids = [process.pid for process in sleepers[:4]]
    note(tmp_path, pids[0], "alice", started=1)
    sleepers[1].kill()
    sleepers[1].wait()
    dead = note(tmp_path, pids[1], "alice", started=1)
    folder = tmp_path / request_notes.FOLDER
    (folder / f"alice-{pids[2]}").symlink_to(tmp_path / "elsewhere")
    half = folder / f"alice-{pids[3]}"
    half.write_text("12\n13")
    (folder / "not-a-pid").write_text("x")
    assert Notes(str(tmp_path)).held_here() == []
    assert not dead.exists(), "what a dead process left is taken away"
    assert half.exists()


def test_what_it_says(tmp_path: Path) -> None:
    """Who, with what, from where, which repository, since when, by which number."""
    made = hold(tmp_path, "alice")
    assert made is not None
    (found,) = Notes(str(tmp_path)).held_here()
    assert (found.user, found.credential, found.address, found.repository, found.at) == (
        "alice", "SHA256:x", "192.0.2.1", "team/app", 1000,
    )  # fmt: skip
    assert found.number == made.number
    assert 1000 <= int(found.number) <= 9999
    pending.release(Notes(str(tmp_path)), made)
    assert Notes(str(tmp_path)).held_here() == []
    pending.release(Notes(str(tmp_path)), made)


def test_a_request_is_held_while_its_push_waits(tmp_path: Path) -> None:
    """The page lists what was noted once, and knows by its id that a push waits for it, and since when."""
    state = str(tmp_path)
    noted = pending.note(Notes(state), someone("alice"), "team/app", "push", 1000)
    assert noted is not None
    made = pending.hold(Notes(state), someone("alice"), "team/app", 1007, os.getpid(), noted)
    assert made is not None
    (listed,) = pending.pending(Notes(state), "alice", 1010)
    assert (listed.id, listed.number, listed.at, listed.is_held, listed.held_at) == (
        noted.id, made.number, 1000, True, 1007,
    )  # fmt: skip
    pending.release(Notes(state), made)
    (listed,) = pending.pending(Notes(state), "alice", 1010)
    assert (listed.is_held, listed.held_at) == (False, 0)


def test_held_pushes_take_no_room_of_notes(tmp_path: Path) -> None:
    """The files of processes count against no bound of what is noted, and are no notes."""
    state = str(tmp_path)
    assert pending.hold(Notes(state), someone("alice"), "team/app", 1000, os.getpid()) is not None
    assert pending.pending(Notes(state), "alice", 1000) == []
    for number in range(pending.MOST_OF_PLACE):
        assert pending.note(Notes(state), someone("alice"), f"r{number}", "push", 1000) is not None
    assert pending.note(Notes(state), someone("alice"), "one more", "push", 1000) is None
