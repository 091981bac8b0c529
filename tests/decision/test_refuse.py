"""What a refusal may mention: only what helps the person, and nothing that a failing store could prevent."""

from __future__ import annotations

from typing import Any

import pytest

from gitguard.answer.refuse import context_of, refuse_request
from gitguard.config.compiled import Config
from gitguard.config.load import load
from gitguard.decision.command import read_command
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision
from gitguard.decision.request import Request
from gitguard.host.places import places_of
from gitguard.message.reasons import Refusal
from gitguard.message.refusals import RefusalContext
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment, now
from gitguard.store.gate_query import GateQuery
from lab.server import Direct, Person

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Direct:
    """Alice enrolled, and a repository that requires for pushes."""
    server = Direct(tmp_path_factory.mktemp("telling") / "server")
    server.install()
    server.new_repository("app", "push")
    return server


def asked(site: Direct, person: Person, later: int = 0) -> Decision:
    """A push from where nobody verified."""
    moment = now()
    moment = Moment(moment.at + later, moment.boot, moment.boot_seconds + later)
    request = Request(
        user=person.name,
        credential=ssh_key(person.fingerprint),
        address="203.0.113.9",
        line="git-receive-pack 'app'",
        moment=moment,
    )
    config = current(site)
    with GateQuery(config.store) as store:
        return decide(request, read_command(request.line, config.pass_commands), config, store)


def current(site: Direct) -> Config:
    """The configuration."""
    return load(*places_of(str(site.config)).of_gate)


def viewed(site: Direct, decision: Decision) -> RefusalContext:
    """What its refusal may mention."""
    config = current(site)
    with GateQuery(config.store) as store:
        return context_of(decision, "x", config, store)


def test_a_store_that_fails_now_keeps_nobody_from_being_told(
    site: Direct, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is refused already; where else she is verified is only a help."""
    alice = site.new_user("alice")
    decision = asked(site, alice)

    class Failing:
        def other_sessions(self, _: str) -> None:
            raise Refusal("store-unavailable", "gone")

    failing: Any = Failing()
    assert refuse_request(decision, "0badc0de", "", current(site), failing) == 10
    said = capfd.readouterr().err
    assert "[verification-required]" in said
    assert "id 0badc0de" in said


def test_only_live_sessions_under_the_scope_in_force_are_told(site: Direct) -> None:
    """One of another kind opens nothing, and one whose own limit has expired neither: both would mislead."""
    alice = site.new_user("alice")
    site.end_sessions()
    words = ("--reason", "test", "--key", alice.fingerprint, "--from")
    site.admin("session", "open", "alice", "--for", "1m", *words, "192.0.2.1")
    site.admin("session", "open", "alice", "--for", "30m", *words, "192.0.2.2")
    assert current(site).scope == "address"
    told = {network for _, network in viewed(site, asked(site, alice)).others}
    assert told == {"192.0.2.1", "192.0.2.2"}
    assert [network for _, network in viewed(site, asked(site, alice, 90)).others] == ["192.0.2.2"]
    assert viewed(site, asked(site, alice, 1801)).others == ()
    site.configure(session={"scope": "key"})
    assert viewed(site, asked(site, alice)).others == ()
