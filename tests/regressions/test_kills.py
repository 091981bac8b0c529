"""B4: the verifier is killed at random instants, a thousand times, while others read and write.

EXPECTED each time: the old state or the new one: no session without a burned step, no burned code without a
session and an audit record, no charged failure without its record; the chain is whole.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from multiprocessing import get_context

import pytest

from gitguard.factor.verification import verify
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.store import chain
from gitguard.store.gate_query import GateQuery
from tests.conftest import Bench
from tests.factor.test_verification import give_recovery_codes

TRIALS = 1000
LONGEST_SECONDS = 0.012  # about twice what one verification takes once everything is loaded


def read_on_and_on(path: str, key: str) -> None:
    """Another gate, asking all the time. Ends with its parent at the latest."""
    parent = os.getppid()
    while os.getppid() == parent:
        with contextlib.suppress(Refusal):
            GateQuery(path).state("alice", key, ("address", key, "192.0.2.1"), name="none")


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
            target=read_on_and_on, args=(str(bench.folder / "gitguard.db"), bench.alice.key), daemon=True
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
        factor = tx.factor("alice")
        sessions = tx.sessions("alice")
        records = [r for r in tx.audit() if r.record["event"] != "noise"]
        return (
            factor.last_step if factor is not None else -1,
            sessions[0].verified_at if sessions else 0,
            len(tx.failures("alice", 0)),
            tx.recovery_codes_left("alice"),
            len(records),
        )


@pytest.mark.slow
def test_a_thousand_kills_under_load(bench: Bench, load: None) -> None:
    """Right codes, recovery codes and wrong codes in turn; each killed somewhere between nothing and done."""
    dice = random.Random(20260101)
    codes = give_recovery_codes(bench, count=TRIALS // 3 + 5)
    finished = 0
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
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                desk = bench.open(bench.desk.settings)
                verify(desk, bench.alice, typed.encode(), moment)
            os._exit(0)
        time.sleep(dice.random() * LONGEST_SECONDS)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        after = state(bench)
        new = {
            "totp": (step, moment.at, before[2], before[3], before[4] + 1),
            "recovery": (before[0], moment.at, before[2], before[3] - 1, before[4] + 2),
            "wrong": (before[0], before[1], before[2] + 1, before[3], before[4] + 1),
        }[kind]
        assert after in (before, new), (trial, kind, before, after)
        finished += after == new
        if kind == "recovery" and after == new:
            codes.pop()
    assert TRIALS * 0.1 < finished < TRIALS * 0.98, (
        f"{finished} of {TRIALS} finished: the instants were no test"
    )
    head = chain.Head(str(bench.folder / "audit.head")).read()  # first: the noise goes on meanwhile
    with bench.desk.store.reading() as tx:
        found, _ = chain.faults(tx.audit(), head)
    assert found == []
    assert not bench.open(bench.desk.settings).store.integrity()  # type: ignore[attr-defined]
