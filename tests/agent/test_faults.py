"""What can happen to an agent: decided all the same, within two seconds, and never a yes too many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.agent_faults import EXPECTED, FAULTS, SECONDS_OF, SLOWEST_SECONDS, Asked, broken

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["compiled", pytest.param("python", marks=pytest.mark.long)])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A server whose agent is asked by one of the clients."""
    with Asked.make(tmp_path_factory.mktemp("faults"), request.param) as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_decided_all_the_same(site: Asked, fault: str) -> None:
    """Killed, stopped, gone, another's, or lying: whoever may is let in, whoever may not is told why."""
    if site.agent.client == "compiled" and fault.startswith("it says: "):
        return  # test_client.py tells the compiled one the same lies, under sanitizers
    with broken(site.agent, fault):
        for action in ("read", "refused", "whole push"):
            reason, status, seconds = site.act(action)
            assert (reason, status) == EXPECTED[action], (action, reason)
            assert seconds < SECONDS_OF.get(action, SLOWEST_SECONDS), (action, seconds)
    assert site.act("status")[:2] == EXPECTED["status"]  # and it is well again
