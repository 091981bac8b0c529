"""Who is ended in the middle is told so, by the one way that the protocol leaves: the stream of errors."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from gitguard.host.connections import STOPPED
from lab.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real sshd, and a repository that requires 2FA for everything."""
    made = Server(tmp_path_factory.mktemp("ended"))
    made.install()
    made.start()
    made.new_repository("app", "all")
    yield made
    made.stop()


def begun(server: Server, name: str, line: str) -> subprocess.Popen[str]:
    """A connection of `name` that has begun and does not move."""
    process = subprocess.Popen(
        server.ssh_command(server.people[name], line),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stream = process.stderr if "verify" in line else process.stdout
    assert stream is not None
    assert stream.read(4)
    return process


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        ("git-upload-pack 'app'", "session revoke {}"),
        ("git-receive-pack 'app'", "user suspend {}"),
        ("git-receive-pack 'app'", "user remove {} --yes"),
        ("2fa verify", "session revoke {}"),
        ("2fa verify", "session revoke --all"),
        ("2fa verify", "user reset {}"),
    ],
)
def test_who_is_ended_is_told_once(server: Server, line: str, verb: str) -> None:
    """O7: a transfer, and a prompt, that an admin's change ends: one sentence, and not a
    bare word or nothing at all.
    """
    name = f"p{len(server.people)}"
    server.new_user(name)
    process = begun(server, name, line)
    server.admin(*verb.format(name).split())
    _, err = process.communicate(timeout=20)
    assert err.count(STOPPED) == 1, err
    assert process.returncode != 0


def test_a_swept_transfer_is_told(server: Server) -> None:
    """The session expires, the transfer does not move: the sweep ends it, with the sentence."""
    server.new_user("sam")
    process = begun(server, "sam", "git-upload-pack 'app'")
    server.age_sessions(9 * 3600)
    server.admin("session", "sweep")
    _, err = process.communicate(timeout=20)
    assert err.count(STOPPED) == 1, err
