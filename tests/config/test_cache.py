"""The settings of a file that a server keeps: parsed once, and never older than the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitguard.config import cache
from gitguard.config.faults import ConfigurationError
from gitguard.config.parse import read_settings
from gitguard.config.schema import Settings

GIT = '[git]\nenforcement = "opt-in"\n'


def test_a_change_counts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same object while nothing changes; another file, a broken one, a missing one
    counts from the next question on.
    """
    parsed: list[str] = []

    def counted(path: str) -> Settings:
        parsed.append(path)
        return read_settings(path)

    monkeypatch.setattr(cache, "SETTLED_SECONDS", -1)
    path = tmp_path / "gitguard.toml"
    path.write_text(GIT + '[session]\nlifetime = "8h"\n')
    reading = cache.SettingsCache(counted)
    first = reading(str(path))
    assert reading(str(path)) is first
    assert len(parsed) == 1
    path.write_text(GIT + '[session]\nlifetime = "1h"\n')
    assert reading(str(path)).session.lifetime == 3600
    path.write_text("[nonsense]\n")
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            reading(str(path))
    path.unlink()
    with pytest.raises(ConfigurationError):
        reading(str(path))


def test_a_file_that_was_written_just_now_is_not_kept(tmp_path: Path) -> None:
    """It may change once more within the same tick of the clock, and its times would not show it."""
    path = tmp_path / "gitguard.toml"
    path.write_text(GIT + '[session]\nlifetime = "8h"\n')
    reading = cache.SettingsCache(read_settings)
    assert reading(str(path)) is not reading(str(path))
    os.utime(path, (1, 1))
    assert reading(str(path)) is not reading(str(path)), "its change time is young, whatever it says itself"
