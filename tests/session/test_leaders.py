"""Who asks in a connection: the first process below each leader, by pid and start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gitguard.message.reasons import Refusal
from gitguard.session.leaders import LEADERS, Place, clear_leaders, come_first


def test_the_first_counts_and_may_ask_again(tmp_path: Path) -> None:
    """What it was told may not have been heard; another process comes second."""
    me, parent = Place(os.getpid()), Place(os.getppid())
    come_first(str(tmp_path), me, me)
    come_first(str(tmp_path), me, me)
    with pytest.raises(Refusal, match="has asked already"):
        come_first(str(tmp_path), me, parent)
    come_first(str(tmp_path), parent, me)


def test_a_note_that_is_half_written_is_someone_elses(tmp_path: Path) -> None:
    """The file is there before its words: whoever reads it meanwhile is refused."""
    me = Place(os.getpid())
    (tmp_path / LEADERS).mkdir()
    (tmp_path / LEADERS / me.name).touch()
    with pytest.raises(Refusal):
        come_first(str(tmp_path), me, me)


def test_a_pid_that_was_used_before_is_another_leader(tmp_path: Path) -> None:
    """The start time tells them apart."""
    me = Place(os.getpid())
    before = Place(os.getpid())
    before.started -= 1
    come_first(str(tmp_path), before, Place(os.getppid()))
    come_first(str(tmp_path), me, me)


def test_leaders_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    """By the sweep: what lives stays."""
    clear_leaders(str(tmp_path))
    me = Place(os.getpid())
    with subprocess.Popen(["sleep", "60"]) as child:
        gone = Place(child.pid)
        come_first(str(tmp_path), gone, me)
        come_first(str(tmp_path), me, me)
        child.kill()
    clear_leaders(str(tmp_path))
    assert [path.name for path in (tmp_path / LEADERS).iterdir()] == [me.name]
