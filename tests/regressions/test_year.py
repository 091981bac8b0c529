"""A year of a server's use weighs what a month does, and every command answers as on the first day."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import year


@pytest.mark.slow
def test_a_year_of_a_few(tmp_path: Path) -> None:
    """Ten people, a year, twenty verifications a day: pruned and archived, nothing that counts is
    lost, and the chain continues.
    """
    before, after, _ = year.year(tmp_path, 10)
    assert year.faults_of(before, after, 10) == []
    assert after.rows["known_networks"] == before.rows["known_networks"]


@pytest.mark.slow
@pytest.mark.long
def test_a_year_of_three_hundred(tmp_path: Path) -> None:
    """G6: 300 people, two million verifications: weight and time of every command, before and after."""
    before, after, spent = year.year(tmp_path, 300)
    assert year.faults_of(before, after, 300) == []
    assert spent < 60
