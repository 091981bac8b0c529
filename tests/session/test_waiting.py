"""The notes of pushes that wait: they count while their very process lives, and no more than so many of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.machine.process import parent_and_start
from gitguard.session import waiting


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """As many processes as a server lets wait."""
    started = [subprocess.Popen(["sleep", "60"]) for _ in range(waiting.MOST)]
    yield started
    for process in started:
        process.kill()
        process.wait()


def note(state: Path, pid: int, user: str, started: int | None = None) -> None:
    """What the gate with this pid would have noted."""
    folder = state / waiting.FOLDER
    folder.mkdir(exist_ok=True)
    begun = parent_and_start(pid)[1] if started is None else started
    (folder / str(pid)).write_text(f"{begun}\n1000\n1234\n{user}\nSHA256:x\n192.0.2.1\nteam/app")


def put(state: Path, user: str) -> waiting.Note | None:
    """As the gate of this process."""
    return waiting.put(str(state), user, "SHA256:x", "192.0.2.1", "team/app", 1000)


def test_a_server_lets_a_hundred_wait(sleepers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """The hundred and first is refused at once; when one of them ends, there is room again."""
    for number, process in enumerate(sleepers):
        note(tmp_path, process.pid, f"user{number}")
    assert put(tmp_path, "late") is None
    sleepers[0].kill()
    sleepers[0].wait()
    assert put(tmp_path, "late") is not None


def test_a_user_has_five(sleepers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """Whoever floods keeps nobody else from waiting."""
    for process in sleepers[: waiting.MOST_OF_KEY]:
        note(tmp_path, process.pid, "thief")
    assert put(tmp_path, "thief") is None
    assert put(tmp_path, "alice") is not None


def test_a_note_is_its_processs_alone(sleepers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """A pid that names another process by now, a dead one, a link, half a note: none of them waits."""
    pids = [process.pid for process in sleepers[:4]]
    note(tmp_path, pids[0], "alice", started=1)
    sleepers[1].kill()
    sleepers[1].wait()
    note(tmp_path, pids[1], "alice", started=1)
    folder = tmp_path / waiting.FOLDER
    (folder / str(pids[2])).symlink_to(tmp_path / "elsewhere")
    (folder / str(pids[3])).write_text("12\n13")
    (folder / "not-a-pid").write_text("x")
    assert waiting.notes(str(tmp_path)) == []
    assert not (folder / str(pids[1])).exists(), "what a dead process left is taken away"
    assert (folder / str(pids[3])).exists(), "it may be half written"


def test_what_it_says(tmp_path: Path) -> None:
    """Who, with what, from where, which repository, since when, by which number."""
    made = put(tmp_path, "alice")
    assert made is not None
    (found,) = waiting.notes(str(tmp_path))
    assert (found.user, found.credential, found.address, found.repository, found.at) == (
        "alice", "SHA256:x", "192.0.2.1", "team/app", 1000,
    )  # fmt: skip
    assert found.number == made.number
    assert 1000 <= int(found.number) <= 9999
    waiting.drop(str(tmp_path), made.pid)
    assert waiting.notes(str(tmp_path)) == []
    waiting.drop(str(tmp_path), made.pid)
