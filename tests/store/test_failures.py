"""Each way in which a database fails beneath a Git server, and what a person is answered meanwhile."""

from __future__ import annotations

import pytest

from lab.failures import FAULTS, scene_of, tried

pytestmark = [pytest.mark.long, pytest.mark.e2e]
READS_GO_ON = {"restarted in between", "the lock's holder cut off", "synchronous, standby away"}
CODES_GO_ON = {"restarted in between", "the lock's holder cut off"}


# Where nothing is down: what a read and a code are answered meanwhile, and after it was mended.
OTHERWISE = {
    "failed over, nothing lost": ("allowed", "code-rejected", "allowed", "code-rejected"),
    "failed over, the standby had lagged": (
        "store-went-back", "store-went-back", "verification-required", "code-rejected",
    ),
    "an old primary in place of the new one": (
        "store-went-back", "store-went-back", "allowed", "code-rejected",
    ),
    "its clock a minute behind": ("store-unavailable", "store-unavailable", "allowed", "allowed"),
    "its clock a minute ahead": ("store-unavailable", "store-unavailable", "allowed", "allowed"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_a_database_forgot_opens_nothing(name: str) -> None:
    """A failover, an old primary, a wrong clock: refused within two seconds; nothing used counts twice."""
    place, broken = FAULTS[name]
    with scene_of(place) as scene:
        row = tried(scene, name, broken)
    answers = (row.read, row.code, row.read_after, row.code_after)
    assert tuple(answer.reason for answer in answers) == OTHERWISE[name], row
    assert max(answer.seconds for answer in answers) < 2, row


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in OTHERWISE])
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
