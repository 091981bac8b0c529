"""Each way in which a database fails beneath a Git server, and what a person is answered meanwhile."""

from __future__ import annotations

import pytest

from lab.failures import FAULTS, scene_of, tried

pytestmark = [pytest.mark.long, pytest.mark.e2e]
READS_GO_ON = {"restarted in between", "the lock's holder cut off", "synchronous, standby away"}
CODES_GO_ON = {"restarted in between", "the lock's holder cut off"}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_refusal_within_two_seconds(name: str) -> None:
    """It opens nothing, says why, recovers by itself, and what was used counts once."""
    place, broken = FAULTS[name]
    with scene_of(place) as scene:
        row = tried(scene, name, broken)
    assert row.read.reason == ("allowed" if name in READS_GO_ON else "store-unavailable"), row
    assert row.code.reason in (("allowed",) if name in CODES_GO_ON else ("store-unavailable", "busy")), row
    assert max(row.read.seconds, row.code.seconds) < 2, row
    assert row.read_after.reason == "allowed", row
    assert row.recovered_seconds < 10, row
    # A code that was refused may count once more; one that counted, or may have counted, does not.
    used = name in CODES_GO_ON or name == "synchronous, standby away"
    assert row.code_after.reason == ("code-rejected" if used else "allowed"), row
