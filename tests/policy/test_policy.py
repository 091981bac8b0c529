"""The table of enforcement, and the verdict: pure functions of values."""

from __future__ import annotations

import itertools

import pytest

from gitguard.policy.requirement import ENFORCEMENTS, OPERATIONS, TOGGLES, Requirement, strictest
from gitguard.policy.situation import Policy, Situation
from gitguard.policy.verdict import Freshness, Verdict, verdict

DAY = 86400


def requirement(
    enforcement: str,
    default: int,
    operation: str,
    toggle: tuple[str, int | None] = ("none", None),
    *,
    always: bool = False,
) -> Requirement:
    """What a policy without rules requires of one repository."""
    situation = Situation("alice", operation, repository=("app", *toggle), always=always)
    return Policy(enforcement, default, allow_always=True).demands(situation)


def needed(enforcement: str, operation: str, require: str = "none", *, always: bool = False) -> bool:
    """Whether 2FA is required."""
    return requirement(enforcement, DAY, operation, (require, None), always=always).required


@pytest.mark.parametrize(
    ("enforcement", "base", "toggle_counts"),
    [("off", False, False), ("rules", False, True), ("opt-in", False, True), ("enforced", True, True)],
)
def test_table_of_enforcement(enforcement: str, base: bool, toggle_counts: bool) -> None:
    """The base answer is the enforcement's; a stored toggle tightens everywhere but under `off`."""
    for operation in OPERATIONS:
        assert needed(enforcement, operation) == base
        assert needed(enforcement, operation, "all") == (base or toggle_counts)
    assert needed(enforcement, "push", "push") == (base or toggle_counts)
    assert needed(enforcement, "read", "push") == base


def test_always_applies_under_every_enforcement() -> None:
    """A user's own switch requires 2FA for everything, whatever the server says."""
    assert all(needed(e, o, always=True) for e in ENFORCEMENTS for o in OPERATIONS)


def test_a_requirement_on_read_covers_push() -> None:
    """receive-pack shows the refs, so no combination requires reads and lets a push by."""
    for enforcement, require, always in itertools.product(ENFORCEMENTS, TOGGLES, (True, False)):
        if needed(enforcement, "read", require, always=always):
            assert needed(enforcement, "push", require, always=always)


def test_an_unknown_word_requires() -> None:
    """A toggle or enforcement that this code does not know closes, never opens."""
    assert needed("opt-in", "read", "everything?")
    assert needed("lax", "read")


def test_a_toggle_only_shortens() -> None:
    """A repository's lifetime counts where it is shorter, and is capped where it is longer."""
    assert requirement("opt-in", DAY, "push", ("push", 600)).lifetime_seconds == 600
    assert requirement("opt-in", DAY, "push", ("push", 10 * DAY)).lifetime_seconds == DAY
    assert requirement("enforced", DAY, "read", ("push", 600)).lifetime_seconds == DAY
    assert requirement("enforced", DAY, "push", ("push", 600)).lifetime_seconds == 600


def test_strictest_takes_the_shorter_lifetime_and_both_causes() -> None:
    """Two requirements at once: required if either is."""
    none = requirement("opt-in", DAY, "read")
    some = requirement("opt-in", DAY, "push", ("push", 600))
    more = requirement("enforced", DAY, "push")
    assert strictest(none, some) is some
    assert strictest(some, none) is some
    both = strictest(more, some)
    assert (both.lifetime_seconds, both.because) == (600, "enforcement+toggle")


ALL = requirement("enforced", 100, "push")


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (0, "verified"),
        (99, "verified"),
        (100, "verification-expired"),
        (-1, "verification-expired"),
        (None, "verification-required"),
    ],
)
def test_freshness_is_judged_at_the_moment_of_use(age: int | None, reason: str) -> None:
    """A session counts until its lifetime is over, to the second; one in the future does not."""
    answer = verdict(ALL, enrolled=True, freshness=Freshness(1, age, None))
    assert (answer.reason, answer.allowed) == (reason, reason == "verified")


def test_not_enrolled_is_refused_even_with_a_session() -> None:
    """Never "not enrolled, so not asked"."""
    answer = verdict(ALL, enrolled=False, freshness=Freshness(1, 5, None))
    assert (answer.reason, answer.allowed) == ("enrolment-required", False)


def test_an_admins_session_has_its_own_limit() -> None:
    """`session open --for` ends then, whatever the lifetime."""
    assert verdict(ALL, enrolled=True, freshness=Freshness(1, 9, 10)).allowed
    assert not verdict(ALL, enrolled=True, freshness=Freshness(1, 10, 10)).allowed
    assert not verdict(ALL, enrolled=True, freshness=Freshness(1, 100, 1000)).allowed


def test_a_verdict_has_no_truth_value() -> None:
    """`if verdict:` would one day be read the wrong way, so it raises."""
    with pytest.raises(TypeError):
        bool(Verdict("verified", "", allowed=True))
