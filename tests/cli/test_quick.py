"""`admin doctor --quick`: what monitoring asks every minute. Each thing that stops requests is
named, in a fifth of a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.meddling import meddle, meddle_many
from lab.server import Direct


def _no_launcher(site: Direct) -> None:
    (site.home / "bin" / "gitguard-shell").unlink()


def _another_hook(site: Direct) -> None:
    path = site.home / "hooks" / "pre-receive"
    path.chmod(0o755)
    path.write_text("#!/bin/sh\nexit 0\n")


def _no_store(site: Direct) -> None:
    site.store.unlink()


def _no_configuration(site: Direct) -> None:
    site.config.write_text("[git]\nenforcement = 'of'\n")


def _clock_back(site: Direct) -> None:
    meddle(site.store, "UPDATE clock SET latest_at = ?", (int(time.time()) + 86400,))


def _no_sweep(site: Direct) -> None:
    site.admin("session", "sweep")
    os.utime(site.home / "state" / "swept", (time.time() - 3600, time.time() - 3600))


def _notice(site: Direct) -> None:
    (site.home / "state" / "notices.failed").write_text('{"at": 1, "event": "reset", "fault": "exit 3"}')


@pytest.mark.parametrize(
    ("break_it", "name"),
    [
        (_no_launcher, "launcher"),
        (_another_hook, "launcher"),
        (_no_store, "store-unavailable"),
        (_no_configuration, "config-invalid"),
        (_clock_back, "clock"),
        (_no_sweep, "sweep"),
        (_notice, "notify-failed"),
    ],
)
def test_what_stops_requests_is_named(break_it: Callable[[Direct], None], name: str, site: Direct) -> None:
    """Exit 0 on a server in order, 1 with the finding's name else; `--quiet` is silent in the first case."""
    site.admin("session", "sweep")
    before = Path(site.access_log).read_bytes() if site.access_log.exists() else b""
    assert site.admin("doctor", "--quick", "--quiet").text == ""
    good = site.admin("doctor", "--quick").out
    assert "requests get an answer" in good
    assert "not checked here: ways around the gate" in good
    break_it(site)
    found = json.loads(site.admin("doctor", "--quick", "--json", status=1).out)
    assert name in {finding["name"] for finding in found["findings"] if finding["level"] == "gap"}
    assert (site.access_log.read_bytes() if site.access_log.exists() else b"") == before, "it leaves no line"


def test_it_is_quick(site: Direct) -> None:
    """Under 200 ms of work from start to end, the best of five runs, also with ten
    thousand users in the store.

    By the processor's time, since other tests run beside this one.
    """
    meddle_many(
        site.store,
        "INSERT INTO users (name, state, created_at) VALUES (?, 'active', 1)",
        [(f"u{n}",) for n in range(10_000)],
    )
    site.admin("session", "sweep")
    command = [sys.executable, "-m", "gitguard", "--config", str(site.config), "admin", "doctor", "--quick"]
    took = []
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        took.append(used.ru_utime + used.ru_stime)
    assert min(took) < 0.2, took


def test_it_asks_sshd_nothing(site: Direct) -> None:
    """The option that belongs to a whole run is refused, not passed over."""
    assert "--sshd-config" in site.admin("doctor", "--quick", "--sshd-config", "/x", status=2).err
