"""Changes take turns: many people at once are all served, and who is not is told that nothing was used up."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.action import steps
from gitguard.factor.verification import verify
from gitguard.message.reasons import Refusal
from gitguard.message.refusals import RefusalContext, first_line
from gitguard.store import turn
from tests.conftest import NOW, Bench

MANY = 64


def test_sixty_four_people_verify_at_once_and_all_are_in(bench: Bench) -> None:
    """Each with a right code and a connection of their own: sixty-four sessions, no refusal."""
    people = [bench.person(f"p{number}", 100 + number) for number in range(MANY)]
    with bench.desk.store.writing() as tx:
        for number, person in enumerate(people):
            steps.add_user(tx, person.user, NOW, "test")
            bench.add_key(tx, person, 100 + number)
            bench.enrol(tx, person.user)
    refused: list[str] = []
    together = threading.Barrier(MANY)

    def one(number: int) -> None:
        desk = bench.open(bench.desk.settings)
        together.wait()
        try:
            verify(desk, people[number], bench.code(), bench.now)
        except Refusal as refusal:
            refused.append(refusal.reason)
        finally:
            desk.store.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
    with bench.desk.store.reading() as after:
        assert len(after.sessions()) == MANY


@contextlib.contextmanager
def folder_of(bench: Bench) -> Iterator[int]:
    """The folder of the store, opened."""
    handle = os.open(bench.folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def test_who_does_not_get_a_turn_is_told_that_nothing_was_used(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another change holds the turn for longer than the patience: `busy`; no failure, the same code is right
    a moment later, and reading continues.
    """
    monkeypatch.setattr(turn, "PATIENCE_SECONDS", 0.2)
    with folder_of(bench) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Refusal) as told:
            verify(bench.desk, bench.alice, bench.code(), bench.now)
        assert (told.value.reason, told.value.exit_status) == ("busy", 43)
        assert "a code that you typed was not used; try again [busy]" in first_line(
            told.value, RefusalContext()
        )
        with bench.desk.store.reading() as tx:
            assert tx.failures("alice", 0) == []
            assert tx.sessions("alice") == []
    assert verify(bench.desk, bench.alice, bench.code(), bench.now)


def test_a_turn_ends_with_its_process(bench: Bench) -> None:
    """Killed in the middle of a change: the next one is served at once."""
    path = str(bench.folder / "turns")
    program = (
        "import sys, time\nfrom gitguard.store.turn import turn\n"
        "with turn(sys.argv[1]):\n    print('mine', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"mine\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    began = time.monotonic()
    with turn.turn(path):
        assert time.monotonic() - began < 1


def test_a_turn_that_cannot_be_had_stops_nothing(tmp_path: Path) -> None:
    """No such folder: SQLite's own lock is what keeps two changes apart. And none leaves a file behind."""
    with turn.turn(str(tmp_path / "gone" / "store")):
        pass
    tmp_path.chmod(0o755)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # as any account of the machine could
    began = time.monotonic()
    with turn.turn(str(tmp_path / "store")):
        assert time.monotonic() - began < 1
    os.close(handle)
    assert list(tmp_path.iterdir()) == []


def test_the_turn_is_given_back_though_a_child_lives_on(tmp_path: Path) -> None:
    """A process that was forked inside a change holds the file open, and no turn."""
    path = str(tmp_path / "store")
    ready, wait = os.pipe()
    with turn.turn(path):
        child = os.fork()
        if child == 0:
            os.close(wait)
            os.read(ready, 1)
            os._exit(0)
    began = time.monotonic()
    with turn.turn(path):
        assert time.monotonic() - began < 1
    os.close(wait)
    os.waitpid(child, 0)
    os.close(ready)
