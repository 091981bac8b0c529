"""The verifier is killed at random instants, while others read and write; a thousand times in `make long`.

EXPECTED each time: the old state or the new one: no session without a burned step, no burned code without a
session and an audit record, no charged failure without its record; the chain is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from gitguard.factor import enrolment, invite
from gitguard.factor.verification import verify
from gitguard.message.reasons import Refusal
from gitguard.repository import toggle
from gitguard.session.credential import Credential
from gitguard.session.moment import Moment
from gitguard.store import chain
from gitguard.store.gate_query import GateQuery
from gitguard.store.rows import Repository
from lab.server import Direct
from tests.conftest import Bench

SOAK = "GITGUARD_SOAK" in os.environ
TRIALS = 1000 if SOAK else 120
FEW = 200 if SOAK else 50
START_SECONDS = 0.012  # about twice what one change takes once everything is loaded; then tuned


class Instants:
    """Random instants that are tuned, so that on any machine about half of the children come to their end."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.longest = START_SECONDS
        self.finished = 0

    def wait(self) -> None:
        """Wait for a random instant."""
        time.sleep(self.dice.random() * self.longest)

    def note(self, *, finished: bool) -> None:
        """What became of the last child."""
        self.finished += finished
        self.longest *= 0.85 if finished else 1.18


def killed(instants: Instants, work: Callable[[], object]) -> None:
    """Run `work` in a child and kill it at some instant."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    instants.wait()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def read_on_and_on(path: str, credential: Credential) -> None:
    """Another gate, asking all the time. Ends with its parent at the latest."""
    parent = os.getppid()
    scope = ("address", credential.text, "192.0.2.1")
    while os.getppid() == parent:
        with contextlib.suppress(Refusal):
            GateQuery(path).state("alice", credential, scope, name="none")


def write_on_and_on(bench: Bench) -> None:
    """Another admin, writing all the time."""
    parent = os.getppid()
    store = bench.open(bench.desk.settings).store
    number = 0
    while os.getppid() == parent:
        number += 1
        with contextlib.suppress(Refusal), store.writing() as tx:
            tx.record("noise", bench.now.at, "noise", number=number)
        time.sleep(0.002)


@pytest.fixture
def load(bench: Bench) -> Iterator[None]:
    """Two processes that keep the store busy."""
    context = get_context("fork")
    workers = [
        context.Process(
            target=read_on_and_on,
            args=(str(bench.folder / "gitguard.db"), bench.alice.credential),
            daemon=True,
        ),
        context.Process(target=write_on_and_on, args=(bench,), daemon=True),
    ]
    for worker in workers:
        worker.start()
    yield
    for worker in workers:
        worker.kill()
        worker.join()


def state(bench: Bench) -> tuple[int, int, int, int, int]:
    """(watermark, when the session was verified, failures, recovery codes left, records that count)."""
    with bench.desk.store.reading() as tx:
        factor = tx.totp_of("alice")
        sessions = tx.sessions("alice")
        records = [r for r in tx.audit() if r.record["event"] != "noise"]
        return (
            factor.last_step if factor is not None else -1,
            sessions[0].verified_at if sessions else 0,
            len(tx.failures("alice", 0)),
            tx.recovery_codes_left("alice"),
            len(records),
        )


def verify_anew(bench: Bench, typed: bytes, moment: Moment) -> None:
    """Verify on a connection of the child's own."""
    verify(bench.open(bench.desk.settings), bench.alice, typed, moment)


@pytest.mark.slow
def test_kills_under_load(bench: Bench, load: None) -> None:
    """Right codes, recovery codes and wrong codes in turn; each killed somewhere between nothing and done."""
    instants = Instants(20260101)
    codes = bench.give_recovery_codes(count=TRIALS // 3 + 5)
    for trial in range(TRIALS):
        moment = Moment(bench.now.at + 400 * (trial + 1), "boot", 1000 + 400 * trial)
        step = moment.at // 30
        kind = ("totp", "recovery", "wrong")[trial % 3]
        typed = {
            "totp": bench.parameters.code(step),
            "recovery": codes[-1],
            "wrong": "000000" if bench.parameters.code(step) != "000000" else "111111",
        }[kind]
        before = state(bench)
        killed(instants, partial(verify_anew, bench, typed.encode(), moment))
        after = state(bench)
        new = {
            "totp": (step, moment.at, before[2], before[3], before[4] + 1),
            "recovery": (before[0], moment.at, before[2], before[3] - 1, before[4] + 2),
            "wrong": (before[0], before[1], before[2] + 1, before[3], before[4] + 1),
        }[kind]
        assert after in (before, new), (trial, kind, before, after)
        instants.note(finished=after == new)
        if kind == "recovery" and after == new:
            codes.pop()
    assert TRIALS * 0.1 < instants.finished < TRIALS * 0.9, "the instants were no test"
    head = chain.Head(str(bench.folder / "audit.head")).read()  # first: the noise continues meanwhile
    with bench.desk.store.reading() as tx:
        found = chain.check(tx.audit(), head).open_faults
    assert found == []
    assert not bench.open(bench.desk.settings).store.integrity()


@pytest.mark.slow
def test_enrolling_is_all_or_nothing(bench: Bench, load: None) -> None:
    """Factor, recovery codes, the end of old sessions, the new one, and the
    records: together, or none of it.
    """
    instants = Instants(7)

    def snapshot() -> tuple[str, bool, list[int], int]:
        with bench.desk.store.reading() as tx:
            factor = tx.totp_of("alice")
            events = [
                r.record["event"] for r in tx.audit() if r.record["event"] in ("enrolled", "session-opened")
            ]
            there = tx.invite("alice") is not None
            return (
                factor.enrolment if factor else "",
                there,
                [s.verified_at for s in tx.sessions("alice")],
                len(events),
            )

    for trial in range(FEW):
        moment = Moment(bench.now.at + 400 * (trial + 1), "boot", 1000 + 400 * trial)
        with bench.desk.store.writing() as tx:
            token = invite.issue(tx, bench.desk.keyring, "alice", moment.at)
        authorization = enrolment.authorize_enrolment(bench.desk, bench.alice, token.encode(), moment)
        pending = enrolment.begin(bench.desk, bench.alice, authorization, moment)
        code = pending.parameters.code(moment.at // 30).encode()
        before = snapshot()
        killed(instants, partial(confirm_anew, bench, pending, code, moment))
        after = snapshot()
        instants.note(finished=after != before)
        if after != before:
            assert after[0] != before[0]
            assert after[1:] == (False, [moment.at], before[3] + 2)
            with bench.desk.store.reading() as asked:
                assert asked.recovery_codes_left("alice") == 6
    assert FEW * 0.1 < instants.finished < FEW * 0.9, instants.finished


def confirm_anew(bench: Bench, pending: enrolment.PendingEnrolment, code: bytes, moment: Moment) -> None:
    """Confirm on a connection of the child's own."""
    enrolment.confirm(bench.open(bench.desk.settings), bench.alice, pending, code, moment)


@pytest.mark.slow
def test_a_toggle_is_all_or_nothing(bench: Bench, load: None) -> None:
    """The toggle and its record: together, or neither."""
    instants = Instants(8)
    with bench.desk.store.writing() as tx:
        tx.add_repository(Repository("app", "/srv/git/app.git", "none", None, 0))

    def snapshot() -> tuple[str, int]:
        with bench.desk.store.reading() as tx:
            repository = tx.repository("app")
            records = [r for r in tx.audit() if r.record["event"] == "toggle-set"]
            return repository.require if repository else "", len(records)

    def tighten(wanted: str) -> None:
        with bench.open(bench.desk.settings).store.writing() as tx:
            toggle.set_require(tx, bench.desk.settings, "app", wanted, bench.now.at, "test")

    for trial in range(FEW):
        wanted = ("push", "all", "none")[trial % 3]
        before = snapshot()
        killed(instants, partial(tighten, wanted))
        after = snapshot()
        assert after in (before, (wanted, before[1] + 1))
        instants.note(finished=after != before)
    assert FEW * 0.1 < instants.finished < FEW * 0.9, instants.finished


@pytest.mark.slow
@pytest.mark.e2e
def test_a_gate_that_is_killed_leaves_whole_lines(tmp_path: Path) -> None:
    """A reader or a pusher killed at any instant: every line of the log is JSON,
    and the next one is answered.
    """
    server = Direct(tmp_path / "site")
    server.install()
    alice = server.add_user("alice")
    server.new_repository("app", "all")
    instants = Instants(9)
    before = 0
    for trial in range(FEW):
        command = server.ssh_command(alice, ("git-upload-pack 'app'", "git-receive-pack 'app'")[trial % 2])
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        instants.wait()
        process.kill()
        process.wait()
        lines = server.access_log.read_text().splitlines() if server.access_log.exists() else []
        instants.note(finished=len(lines) > before)
        before = len(lines)
    assert all(json.loads(line)["reason"] == "enrolment-required" for line in lines)
    assert FEW * 0.1 < len(lines) < FEW * 0.9
    assert server.ssh(alice, "git-upload-pack 'app'").status == 11
