"""Every fault x every action has one expected answer, within two seconds. The table is lab/faults.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.agent import WAY
from lab.faults import ACTIONS, MATRIX, SLOWEST_SECONDS, STATUS, row

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.parametrize("fault", MATRIX)
def test_whatever_breaks_breaks_closed(tmp_path: Path, fault: str) -> None:
    """Each cell: the reason of the table, its exit status, no traceback, and no hang."""
    expected = MATRIX[fault][1]
    if WAY and fault == "no file may grow":
        expected = ("allowed",) * len(ACTIONS)  # the limit is of the gate's process alone
    cells = row(tmp_path / "site", fault)
    assert [reason for reason, _, _ in cells] == list(expected)
    for action, (reason, status, seconds) in zip(ACTIONS, cells, strict=True):
        if reason != "allowed":
            assert status == STATUS[reason], (action, reason, status)
        assert seconds < SLOWEST_SECONDS, (action, seconds)
