"""One process of a race: it opens an installation, waits for the word, and does one thing so many times.

`python -m lab.racer CONFIG DEED COUNT USER KEY TEXT`: it prints `ready`, waits for a line, and then prints,
as JSON, how often each reason was answered and how many seconds each time took.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pyotp

from gitguard.action.installation import Installation, open_installation
from gitguard.factor.enrolment import EnrolmentAuthorization, PendingEnrolment, confirm
from gitguard.factor.person import Person
from gitguard.factor.totp import Parameters
from gitguard.factor.verification import verify
from gitguard.message.reasons import Refusal
from gitguard.session.credential import credential_of
from gitguard.session.moment import now
from gitguard.store.postgresql.connection import Database
from gitguard.store.postgresql.keeper import PostgresStore

ROUND_TRIP = "GITGUARD_LAB_ROUND_TRIP_SECONDS"


class Ran(NamedTuple):
    """What all racers were answered, and how many seconds each answer took."""

    reasons: Counter[str]
    seconds: list[float]
    lasted: float


def record(site: Installation, person: Person, text: str) -> None:
    """One record of the trail."""
    with site.store.writing() as tx:
        tx.record("probe", now().at, person.user, text=text)


def prove(site: Installation, person: Person, text: str) -> None:
    """One code."""
    verify(site, person, text.encode(), now())


def code(site: Installation, person: Person, text: str) -> None:
    """One right code, of which the store forgets each time that it was used: for the stop-watch alone."""
    assert isinstance(site.store, PostgresStore)
    with site.store.reading():
        pass  # connected, and looked at
    database = site.store._db  # noqa: SLF001
    assert database is not None
    database.execute("UPDATE factors SET last_step = 0 WHERE user_name = ?", (person.user,))
    verify(site, person, pyotp.TOTP(text).now().encode(), now())


def enrol(site: Installation, person: Person, text: str) -> None:
    """Confirm a secret of one's own choice, by the invite's hash."""
    secret, invite = text.split()
    parameters = Parameters(secret)
    authorization = EnrolmentAuthorization("invite", bytes.fromhex(invite))
    pending = PendingEnrolment(authorization, parameters, (), "", now().at + 60)
    confirm(site, person, pending, parameters.code(parameters.step(now().at)).encode(), now())


DEEDS: dict[str, Callable[[Installation, Person, str], None]] = {
    "record": record, "prove": prove, "enrol": enrol, "code": code
}  # fmt: skip


def main(config: str, deed: str, count: str, user: str, key: str, text: str) -> None:
    """One racer."""
    if away := float(os.environ.get(ROUND_TRIP, "0")):
        _put_far_away(away)
    site = open_installation(config, now(), "race")
    person = Person(user, credential_of(key), "127.0.0.1")
    print("ready", flush=True)
    sys.stdin.readline()
    reasons: Counter[str] = Counter()
    seconds = []
    for _ in range(int(count)):
        began = time.monotonic()
        try:
            DEEDS[deed](site, person, text)
            reasons["done"] += 1
        except Refusal as refusal:
            reasons[refusal.reason] += 1
        seconds.append(time.monotonic() - began)
    site.store.close()
    print(json.dumps([reasons, seconds]), flush=True)


def _put_far_away(seconds: float) -> None:
    """Each question to the database takes so much longer."""
    for name in ("execute", "script"):
        whole = getattr(Database, name)

        def far(self: Database, *words: object, whole: Callable[..., object] = whole) -> object:
            time.sleep(seconds)
            return whole(self, *words)

        setattr(Database, name, far)


def race(racers: list[tuple[str, ...]], round_trip_seconds: float = 0.0) -> Ran:
    """Run one process for each list of words; all begin at one word."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "lab.racer", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, ROUND_TRIP: str(round_trip_seconds)},
        )
        for words in racers
    ]  # fmt: skip
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        reasons: Counter[str] = Counter()
        seconds: list[float] = []
        for process in started:
            out, _ = process.communicate(timeout=120)
            counted, took = json.loads(out)
            reasons.update(counted)
            seconds += took
        return Ran(reasons, seconds, time.monotonic() - began)
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
