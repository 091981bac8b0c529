"""The Git account's helper, and what its agent knows of it: how long an errand may take, who has ended."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from gitguard.agent import apart
from gitguard.agent.carrier import BYTES_A_SECOND, OF_A_DECISION_SECONDS, HelperCarrier
from gitguard.answer import push_check
from gitguard.config.parse import parse
from gitguard.host.folders import kept_folders
from gitguard.host.places import places_of
from gitguard.machine.errand import carry_by


def test_a_large_push_may_take_as_long_as_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ref is looked at: the bound of two seconds is for what is small."""
    seconds: list[float] = []
    asked = HelperCarrier("/nowhere")

    def check(_: Any, reading: Any, *__: Any) -> int:
        reading()
        seconds.append(asked.seconds)
        return 0

    monkeypatch.setattr(push_check, "check", check)
    carry_by(asked)
    try:
        resident: Any = SimpleNamespace(places=places_of("/etc/gitguard/gitguard.toml"))
        for size in (100, 7_000_000):
            lent: Any = None
            assert apart.serve_hook(lent, [], {}, 1, resident, lambda size=size: b"x" * size, str) == 0  # type: ignore[misc]
    finally:
        carry_by(None)
    assert seconds[0] < OF_A_DECISION_SECONDS + 0.1
    assert seconds[1] > 7_000_000 / BYTES_A_SECOND


def test_whoever_has_ended_is_buried() -> None:
    """Also a child that its former self began, before it began anew."""
    program = (
        "import os, pathlib, time; from gitguard.agent import helper\n"
        "child = os.fork() or os._exit(0)\n"
        "known, ends = {1 << 22}, time.monotonic() + 10\n"
        "while pathlib.Path(f'/proc/{child}').exists() and time.monotonic() < ends: helper._bury(known)\n"
        "assert known == set(), 'somebody is left'"
    )
    # By a process of its own: here, others' children may be alive.
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_store_outside_the_state_folder_is_kept_too() -> None:
    """What is given to another account is all that it must open."""
    text = '[git]\nenforcement = "rules"\n[store]\nurl = "sqlite:////srv/data/gitguard.db"\n'
    found = kept_folders(parse(text.encode()), places_of("/etc/gitguard/gitguard.toml"))
    assert {"/srv/data", "/var/lib/gitguard", "/var/log/gitguard"} == set(found)
