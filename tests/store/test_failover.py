"""The primary is lost, and its standby takes its place: with all that was promised, or without."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.action import browsers
from gitguard.action.installation import open_installation
from gitguard.factor.person import Person as PersonAtEdge
from gitguard.message.reasons import Refusal
from gitguard.session.credential import credential_of
from gitguard.session.moment import Moment, now
from lab.database import Pooler, wait_until
from lab.failures import FAKETIME, Pair, Scene, pair, reason_of, timed
from lab.server import Direct

pytestmark = [pytest.mark.long, pytest.mark.e2e]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A Git server and a database that are thrown away."""
    tmp_path.chmod(0o755)
    made = Scene(tmp_path)
    yield made
    made.close()


def fail_over(both: Pair) -> None:
    """The primary is killed, and the standby promoted."""
    both.primary.stop("immediate")
    both.standby.promote()
    wait_until("it writes", lambda: both.standby.ask("SELECT pg_is_in_recovery()") == [(False,)])


def trail(server: Direct, event: str) -> list[dict[str, object]]:
    """The records of one kind."""
    found: list[dict[str, object]] = json.loads(server.admin("audit", "show", "--event", event, "--json").out)
    return found


def test_nothing_is_lost_with_synchronous_replication(scene: Scene) -> None:
    """A used code stays used, a session lives on, what was revoked stays revoked; it is recorded."""
    both = pair(scene, synchronous=True)
    scene.open(both.url, count=2)
    first, second = (server for server in scene.estate.servers if isinstance(server, Direct))  # type: ignore[union-attr]
    carol = first.new_user("carol")
    first.admin("session", "revoke", "carol")
    code = first.fresh_code(scene.bob)
    assert reason_of(scene.verify(code)) == "allowed"
    fail_over(both)
    assert reason_of(scene.read()) == "allowed"
    assert reason_of(scene.verify(code, second)) == "code-rejected"
    assert reason_of(scene.verify(code)) == "code-rejected"
    assert first.admin("session", "list", "--json").out.count("carol") == 0
    assert [entry["timeline"] for entry in trail(second, "failover")] == [2]
    assert carol.name


def test_an_old_primary_that_comes_back_is_not_believed(scene: Scene) -> None:
    """The adversary waits for the operator who starts the old machine again: there, nothing was used yet."""
    both = pair(scene, synchronous=True)
    scene.open(both.url)
    fail_over(both)
    assert reason_of(scene.read()) == "allowed"
    both.standby.stop()
    both.primary.start()
    answer = timed(scene.read)
    assert answer.reason == "store-went-back"
    assert answer.seconds < 2
    done = scene.server.admin("store", "status", status=1)
    assert "an old primary has come back" in done.text
    both.primary.stop()
    both.standby.start()
    wait_until("it is believed again", lambda: reason_of(scene.read()) == "allowed", 10)


def test_what_a_lagging_standby_lost_closes_every_server_first(scene: Scene) -> None:
    """The adversary has seen a code being typed: after the failover it was never used."""
    both = pair(scene, synchronous=False)
    scene.open(both.url, count=2)
    first, second = (server for server in scene.estate.servers if isinstance(server, Direct))  # type: ignore[union-attr]
    wait_until("it has caught up", lambda: caught_up(both))
    both.standby.stop()
    code = first.fresh_code(scene.bob)
    assert reason_of(scene.verify(code)) == "allowed"
    second.new_user("dora")  # so that the second server, too, knows of what is lost
    both.primary.stop("immediate")
    both.standby.start()
    both.standby.promote()
    wait_until("it writes", lambda: both.standby.ask("SELECT pg_is_in_recovery()") == [(False,)])
    for ask in (scene.read, lambda: scene.verify(code)):
        answer = timed(ask)
        assert answer.reason == "store-went-back"
        assert answer.seconds < 2
    assert timed(lambda: scene.verify(code, second)).reason == "store-went-back"
    said = second.admin("store", "status", status=1).text
    assert "has lost what" in said
    assert "store accept-loss" in said
    assert "store accept-loss" in second.admin("user", "list", status=42).text
    assert "session-opened" in second.admin("audit", "show").out, "one can look before one accepts"
    second.admin("audit", "verify", status=None)
    second.admin("store", "backup", str(scene.folder / "closed.db"))
    assert reason_of(second.admin("user", "list", status=42)) == "store-went-back"

    done = first.admin("store", "accept-loss", "--reason", "the standby lagged")
    assert "1 session ended" in done.out
    assert reason_of(scene.verify(code)) == "code-rejected"
    assert reason_of(scene.verify(code, second)) == "code-rejected"
    assert reason_of(scene.read()) == "verification-required"
    assert trail(second, "store-loss-accepted")[0]["reason"] == "the standby lagged"
    first.admin("audit", "verify")
    second.admin("store", "status")
    assert first.admin("store", "accept-loss", "--reason", "again", status=2).text.count("lost nothing") == 1
    first.admin(
        "session",
        "open",
        "alice",
        "--key",
        scene.alice.fingerprint,
        "--from",
        "127.0.0.1",
        "--for",
        "1h",
        "--reason",
        "x",
    )
    numbers = [int(session["id"]) for session in json.loads(first.admin("session", "list", "--json").out)]
    assert min(numbers) > 10_000


def caught_up(both: Pair) -> bool:
    """Whether the standby has all of it."""
    sent = both.primary.ask("SELECT pg_current_wal_lsn()::text")
    return both.standby.ask("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", sent[0][0]) == [(True,)]


def test_a_failover_behind_a_pooler_is_seen_on_the_open_connection(scene: Scene) -> None:
    """The pooler changes the database without a word: the next question says so by itself."""
    both = pair(scene, synchronous=False)
    pooler = Pooler(both.primary)
    scene.undo.append(pooler.stop)
    scene.open(pooler.url("store"))
    wait_until("it has caught up", lambda: caught_up(both))
    both.standby.stop()
    code = scene.server.fresh_code(scene.bob)
    assert reason_of(scene.verify(code)) == "allowed"
    both.primary.stop("immediate")
    both.standby.start()
    both.standby.promote()
    pooler.reload(both.standby)
    wait_until("the pooler leads there", lambda: reason_of(scene.read()) == "store-went-back", 15)
    assert reason_of(scene.verify(code)) == "store-went-back"


def test_an_old_primary_beside_the_new_one_is_passed_over(scene: Scene) -> None:
    """Someone has started the old machine again, unfenced: everyone stays with the new one."""
    both = pair(scene, synchronous=True)
    scene.open(both.url)
    code = scene.server.fresh_code(scene.bob)
    assert reason_of(scene.verify(code)) == "allowed"
    fail_over(both)
    assert reason_of(scene.read()) == "allowed"
    both.primary.start()
    for _ in range(5):
        assert reason_of(scene.read()) == "allowed"
        assert reason_of(scene.verify(code)) == "code-rejected"
    status = json.loads(scene.server.admin("store", "status", "--json").out)
    assert status["database"]["timeline"] == 2
    lost = scene.server.admin("store", "accept-loss", "--reason", "x", status=2)
    assert "has lost nothing" in lost.text


def test_an_old_primary_is_all_that_is_left(scene: Scene) -> None:
    """The new one's disk is gone: an admin goes on with the old one, on one server for all. Were the new one
    to come back after all, nobody would believe it.
    """
    both = pair(scene, synchronous=True)
    scene.open(both.url, count=2)
    first, second = (server for server in scene.estate.servers if isinstance(server, Direct))  # type: ignore[union-attr]
    code = first.fresh_code(scene.bob)
    assert reason_of(scene.verify(code)) == "allowed"
    fail_over(both)
    assert reason_of(scene.read()) == "allowed"
    second.admin("session", "revoke", "alice")
    both.standby.stop("immediate")
    both.primary.start()
    both.primary.ask("ALTER SYSTEM RESET synchronous_standby_names")
    both.primary.ask("SELECT pg_reload_conf()")
    assert reason_of(scene.read()) == "store-went-back"
    done = second.admin("store", "accept-loss", "--reason", "the disk of the other is gone")
    assert "an old primary has come back" in done.out
    assert reason_of(scene.verify(code)) == "code-rejected"
    assert reason_of(scene.read()) == "verification-required"
    first.admin("audit", "verify")
    both.standby.start()
    for _ in range(3):
        assert reason_of(scene.read()) == "verification-required"
    both.primary.stop()
    assert reason_of(scene.read()) == "store-went-back"


@pytest.mark.parametrize("seconds", [-60, 60])
def test_a_clock_that_is_off_judges_nothing(scene: Scene, seconds: int) -> None:
    """One of two clocks is a minute off: no session is judged by it and no code; which one, is said."""
    database = scene.database
    database.make()
    database.start()
    scene.open(database.database("store"))
    latest = scene.server.admin("store", "status", "--json").out
    database.stop()
    database.environment = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    database.start()
    for done in (scene.read(), scene.verify(scene.server.fresh_code(scene.bob))):
        assert reason_of(done) in ("store-unavailable", "code-rejected")
        assert "clock is" in done.text
    assert (
        json.loads(scene.server.admin("store", "status", "--json").out)["latest_at"]
        == json.loads(latest)["latest_at"]
    )


def test_a_wrong_clock_takes_nothing_over(scene: Scene) -> None:
    """The first server to notice a failover has a clock that is a year ahead: nobody is locked out by it."""
    both = pair(scene, synchronous=True)
    scene.open(both.url)
    fail_over(both)
    site = open_installation(
        str(scene.server.config), Moment(int(time.time()) + 400 * 86400), "test", although_apart=True
    )
    with contextlib.closing(site.store), site.store.reading() as tx:
        steps = [factor.last_step for factor in tx.totp_factors()]
        assert max(steps) <= time.time() // 30 + 2
        assert tx.latest_at() <= time.time() + 5
    assert reason_of(scene.read()) == "allowed"


def test_a_failover_without_synchronous_replication_closes_whoever_asks_first(scene: Scene) -> None:
    """The adversary asks at the server that knows of nothing that is lost: it cannot say that nothing is."""
    both = pair(scene, synchronous=False)
    scene.open(both.url, count=2)
    first, second = (server for server in scene.estate.servers if isinstance(server, Direct))  # type: ignore[union-attr]
    second.admin("session", "sweep")
    wait_until("it has caught up", lambda: caught_up(both))
    both.standby.stop()
    first.admin("session", "revoke", "alice")
    both.primary.stop("immediate")
    both.standby.start()
    both.standby.promote()
    wait_until("it writes", lambda: both.standby.ask("SELECT pg_is_in_recovery()") == [(False,)])
    assert reason_of(second.ssh(scene.alice, "2fa", "status")) == "store-went-back"
    assert "not synchronous" in second.admin("store", "status", status=1).text
    second.admin("store", "accept-loss", "--reason", "x")
    assert reason_of(scene.read()) == "verification-required"


def test_a_clock_that_is_off_judges_nobody_on_the_page(scene: Scene) -> None:
    """Sessions, links and browsers are as old as the clock says: none is believed; an admin still revokes."""
    scene.database.make()
    scene.database.start()
    scene.open(scene.database.database("store"))
    person = PersonAtEdge(scene.bob.name, credential_of(scene.bob.fingerprint), "127.0.0.1")
    site = open_installation(str(scene.server.config), now(), "test")
    with contextlib.closing(site.store):
        link = browsers.new_link(site, person, now())
        scene.database.stop()
        scene.database.environment = {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME": "+3600s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        scene.database.start()
        with pytest.raises(Refusal, match="clock is"):
            browsers.sign_in_by_link(site, link, "127.0.0.1", now())
    assert "1 session ended" in scene.server.admin("session", "revoke", "alice").out
    assert "clock is" in scene.server.admin("session", "sweep", status=40).text
    refused = scene.server.admin("store", "accept-loss", "--reason", "x", status=None)
    assert refused.status != 0
