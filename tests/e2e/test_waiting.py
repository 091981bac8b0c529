"""A refused push that waits: verified elsewhere it continues by itself; whatever
else happens, it ends, and soon.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.session import pending
from lab.server import Server
from tests.e2e.waiting import MOST_SECONDS, Push, has_ended, held, member, until

pytestmark = pytest.mark.e2e


def test_verified_elsewhere_it_goes_on(patient: Server) -> None:
    """The push that was typed succeeds without being typed again; both terminals show the same number."""
    alice = member(patient, "alice")
    push = Push(patient, alice, "one")
    number = push.number()
    assert "gitguard: verify to push to app: ssh -T" in push.said
    assert f"push to app, number {number}, waits for you" in patient.ssh(alice, "2fa status", status=0).out
    assert f"push to app, number {number}, is continuing" in patient.verify(alice).out
    assert push.end() == 0, push.said
    assert "verified; continuing the push" in push.said
    assert patient.log()[-1]["verdict"] == "allowed"
    assert not held(patient)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where pushes wait up to 20 seconds."""
    server = Server(tmp_path_factory.mktemp("patient") / "server")
    server.install()
    server.configure(session={"wait": f"{MOST_SECONDS}s"})
    server.start()
    server.new_repository("app", "push")
    yield server
    server.stop()


def test_only_a_verification_in_scope_lets_it_go_on(patient: Server) -> None:
    """Adversary: a stolen key's push waits; its owner verifies with another key. The push
    stays, and the owner reads of it.
    """
    owner = member(patient, "owner")
    laptop = patient.add_key(owner, "owner-laptop")
    push = Push(patient, owner, "stolen")
    number = push.number()
    said = patient.verify(laptop).out
    assert "push to app from 127.0.0.1 waits to be verified there" in said
    assert number not in said, "only its own terminal shows it: the web page asks for it"
    time.sleep(1.5)  # a second and more of asking again
    assert push.process.poll() is None
    patient.admin("session", "revoke", "owner")
    assert push.end() != 0, "a revoked session ends what waits"
    assert "[verification-required]" in push.said


def test_who_hangs_up_is_noticed_within_two_seconds(patient: Server) -> None:
    """No pty, so no SIGHUP: the closed connection is what there is."""
    push = Push(patient, member(patient, "hanger"), "hanging")
    push.number()
    (note,) = held(patient)
    os.killpg(push.process.pid, signal.SIGKILL)
    push.process.wait()
    until(lambda: has_ended(note.pid), 2)
    assert not held(patient)


def test_it_is_small_and_holds_nothing(patient: Server) -> None:
    """15 MB at most, no store open, no lock: a hundred of them are no burden, and the
    store can be written meanwhile.
    """
    person = member(patient, "small")
    push = Push(patient, person, "small")
    push.number()
    (note,) = held(patient)
    status = Path(f"/proc/{note.pid}/status").read_text()
    resident = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    assert resident <= 15 * 1024, f"{resident} kB"
    open_files = [os.readlink(entry) for entry in Path(f"/proc/{note.pid}/fd").iterdir()]
    assert not [name for name in open_files if str(patient.home) in name]
    patient.admin("session", "sweep")
    patient.admin("user", "add", "somebody")
    assert push.process.poll() is None, "a sweep and other people's changes end nothing"
    patient.admin("user", "suspend", "small", "--reason", "left")
    assert push.end() != 0
    assert "[user-suspended]" in push.said


def test_it_stays_small_when_the_configuration_changes(patient: Server) -> None:
    """Whoever compiles the configuration, before or while it waits, does not keep what that
    takes; a broken one ends nothing.
    """
    patient.configure(session={"lifetime": "7h"})
    person = member(patient, "steady")
    patient.configure(session={"lifetime": "6h"})  # this very push will compile it
    push = Push(patient, person, "steady")
    push.number()
    (note,) = held(patient)

    def resident() -> int:
        status = Path(f"/proc/{note.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))

    assert resident() <= 15 * 1024
    text = patient.config.read_text()
    patient.config.write_text(text + "\n[broken\n")
    time.sleep(1.5)  # two looks and more
    assert push.process.poll() is None, push.said
    patient.write(text.replace('"6h"', '"5h"'))
    time.sleep(1.5)
    assert push.process.poll() is None
    assert resident() <= 15 * 1024
    patient.verify(person)
    assert push.end() == 0, push.said


def test_a_first_enrolment_lets_it_go_on(patient: Server) -> None:
    """Someone who has no second factor yet sets one up while their push waits, with the same
    key; another key's push stays.
    """
    new = patient.add_user("newcomer")
    laptop = patient.add_key(new, "newcomer-laptop")
    push, other = Push(patient, new, "newcomer"), Push(patient, laptop, "newcomer-laptop")
    push.number()
    other.number()
    assert "set up a second factor" in push.said
    patient.enroll(new)
    assert push.end() == 0, push.said
    assert other.process.poll() is None
    patient.clear_watermark(new)
    laptop.secret = new.secret
    patient.verify(laptop)
    assert other.end() == 0, other.said


def test_six_at_once_are_one_too_many(patient: Server) -> None:
    """Of one user five wait; the sixth is refused at once, as if there were no waiting."""
    person = member(patient, "crowd")
    first = [Push(patient, person, f"crowd{n}") for n in range(pending.MOST_HELD_OF_KEY)]
    for push in first:
        push.number()
    sixth = Push(patient, person, "crowd-last")
    assert sixth.end() != 0
    assert "waits up to" not in sixth.said
    assert "[verification-required]" in sixth.said
    patient.verify(person)
    assert [push.end() for push in first] == [0] * len(first)


def test_what_never_waits(patient: Server) -> None:
    """Reads, what no verification mends, and a client that says that it asks its person by itself."""
    person = member(patient, "quick")
    patient.new_repository("closed", "all")
    began = time.monotonic()
    patient.git(person, "ls-remote", patient.url("closed"), status=128)
    patient.git(
        person, "push", patient.url("missing"), "HEAD:x", cwd=patient.work_tree(person, "app"), status=128
    )
    told = patient.git(
        person, "push", "origin", "HEAD:refs/heads/x", cwd=patient.work_tree(person, "app", "told"),
        env={"GIT_PROTOCOL": "version=1:gitguard=no-wait", "GIT_SSH_COMMAND": patient.git_env(person)["GIT_SSH_COMMAND"] + " -o SendEnv=GIT_PROTOCOL"},
    )  # fmt: skip
    assert "[verification-required]" in told.err
    assert "waits up to" not in told.err
    assert time.monotonic() - began < MOST_SECONDS


def test_the_limit_is_the_limit(patient: Server) -> None:
    """Nobody comes: the ordinary refusal, after the time that is configured."""
    patient.configure(session={"wait": "1s"})
    try:
        person = member(patient, "nobody")
        began = time.monotonic()
        push = Push(patient, person, "late")
        assert push.end() != 0
        assert 1 <= time.monotonic() - began < 10
        assert "[verification-required]" in push.said
        assert patient.log()[-1]["verdict"] == "refused"
    finally:
        patient.configure(session={"wait": f"{MOST_SECONDS}s"})


def test_a_server_that_goes_down_ends_it(patient: Server) -> None:
    """What is asked to end (a shutdown, an admin's kill) ends at once, with the
    refusal and a line in the log.
    """
    push = Push(patient, member(patient, "evening"), "evening")
    push.number()
    (note,) = held(patient)
    os.kill(note.pid, signal.SIGTERM)
    until(lambda: push.process.poll() is not None, 3)
    assert "[verification-required]" in push.said
    assert not held(patient)
    assert patient.log()[-1]["user"] == "evening"
