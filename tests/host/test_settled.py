"""A change judges again what earlier answers let in, and cuts nobody's refusal short."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

from gitguard.action.revocation import end_stale
from gitguard.session.moment import now
from lab.server import Direct

READS = 300


def gate(site: Direct, user: str, fingerprint: str) -> tuple[list[str], dict[str, str]]:
    """The gate as sshd starts it, asked to read `app`."""
    return [str(site.home / "bin" / "gitguard-shell"), "--user", user, "--key", fingerprint], {
        "PATH": "/usr/bin:/bin",
        "HOME": "/",
        "SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 22",
        "SSH_ORIGINAL_COMMAND": "git-upload-pack 'app'",
    }


def test_refusals_beside_endless_sweeps_are_all_said_and_logged(site: Direct) -> None:
    """Three hundred refused reads while everything is judged again without a pause: as many texts,
    and as many lines in the log.
    """
    person = site.new_user("alice", in_session=False)
    site.new_repository("app", "all")
    words, env = gate(site, person.name, person.fingerprint)
    before = len(site.log())
    over = threading.Event()

    def judge() -> None:
        with site.acting() as place:
            while not over.is_set():
                end_stale(place, now())

    judging = threading.Thread(target=judge)
    judging.start()
    try:
        done = []
        for _ in range(READS // 6):
            some = [
                subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                for _ in range(6)
            ]
            done += [(one.communicate()[0], one.returncode) for one in some]
    finally:
        over.set()
        judging.join()
    assert {status for _, status in done} == {10}
    assert all(b"[verification-required]" in out for out, _ in done)
    assert len(site.log()) - before == READS


def stopped(words: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    """A gate that stands still before it has answered; the machine may have been
    too quick, then another one.
    """
    while True:
        process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.kill(process.pid, signal.SIGSTOP)
        seen = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        if seen is not None and seen.si_code == os.CLD_STOPPED:
            return process
        process.communicate()


def test_a_gate_that_does_not_come_to_an_end_is_ended(site: Direct) -> None:
    """ATTACK: hold a gate between its look at the store and Git (stopped here), until what it saw is gone.
    EXPECTED: it ends all the same.
    """
    person = site.new_user("alice", in_session=False)
    site.new_repository("app", "all")
    words, env = gate(site, person.name, person.fingerprint)
    process = stopped(words, env)
    try:
        with site.acting() as place:
            began = time.monotonic()
            found = [process.pid for process in place.connections.processes()]
            ended = end_stale(place, now())
        assert time.monotonic() - began < 3
        assert process.pid in found
        assert ended >= 1
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert process.wait(10) == -signal.SIGTERM
    process.communicate()
