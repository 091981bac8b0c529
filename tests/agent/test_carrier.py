"""Errands to the Git account's helper: what crosses, what a helper may say, and what it may not."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitguard.agent import carrier
from gitguard.agent.carrier import HelperCarrier, answer_to, hints_of
from gitguard.agent.helper import serve_errands
from gitguard.cli.admin.agent import load_rooms
from gitguard.host.connections import GIT, GateProcess
from gitguard.machine.errand import ERRANDS, carry_by, errand, is_carried
from gitguard.message.reasons import Refusal
from gitguard.repository.registry import Found
from gitguard.session.credential import credential_of
from lab.quick import ROOT
from lab.run import run

THERE = "gitguard.machine.whereabouts.there"


@pytest.fixture(autouse=True)
def nobody_carries() -> Iterator[None]:
    """Whatever a test had carried is done right here again afterwards."""
    yield
    carry_by(None)


class Helper:
    """A process's other end: real (`says` None), or one that says what it likes."""

    def __init__(self, says: bytes | None = None, *, hang_up: bool = True) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.says, self.hang_up = says, hang_up
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> HelperCarrier:
        self.thread.start()
        return HelperCarrier("", self.ours)

    def __exit__(self, *_: object) -> None:
        self.ours.close()
        self.theirs.close()
        self.thread.join(5)

    def _run(self) -> None:
        if self.says is None:
            serve_errands(self.theirs)
            return
        try:
            self.theirs.recv(1 << 20)
            self.theirs.sendall(self.says)
            if self.hang_up:
                self.theirs.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def message(value: Any) -> bytes:
    """As a helper sends it."""
    data = json.dumps(value).encode()
    return len(data).to_bytes(4, "big") + data


def test_every_errand_can_cross() -> None:
    """Its arguments and what it returns are of types that can be told and understood."""
    load_rooms("machine", "repository", "host", "action")
    assert len(ERRANDS) > 25
    for name in ERRANDS:
        hints = hints_of(name)
        assert "return" in hints, name
        assert all(kind is not Any for kind in hints.values()), name


def test_an_errand_is_done_right_here_unless_someone_carries_it(tmp_path: Path) -> None:
    """The same function, with the same answers, either way."""
    from gitguard.machine.whereabouts import there

    paths = [str(tmp_path), str(tmp_path / "none")]
    assert not is_carried()
    here = there(paths)
    with Helper() as helper:
        carry_by(helper)
        assert is_carried()
        assert there(paths) == here == [str(tmp_path)]


@pytest.mark.parametrize(
    ("name", "values", "value"),
    [
        (THERE, ([b"/tmp/\xff".decode("utf-8", "surrogateescape"), "/"],), ["/"]),
        ("gitguard.repository.registry.below", (["/nowhere"],), []),
        ("gitguard.host.connections.bytes_moved", ([GateProcess(1 << 21, 1, 1, GIT, "a", credential_of("web:x"))],), {}),
        ("gitguard.repository.hook_file.hook_fault", ("/nowhere", b"\0\xff", 0), "/nowhere/hooks/pre-receive: No such file or directory"),
        ("gitguard.repository.releasing.what_releasing_does", ("/nowhere",), ""),
    ],
)  # fmt: skip
def test_values_of_every_kind_cross(name: str, values: tuple[Any, ...], value: Any) -> None:
    """Names that are no UTF-8, bytes, structs, credentials, dictionaries."""
    with Helper() as helper:
        assert helper(name, values, {}) == value


def test_what_an_errand_raises_is_raised_here(tmp_path: Path) -> None:
    """A refusal with its reason and words, a fault of the system with its number and path."""
    with Helper() as helper:
        carry_by(helper)
        from gitguard.repository.directory import check
        from gitguard.repository.quarantine import oldest_in

        with pytest.raises(Refusal, match="is not below") as refused:
            check(str(tmp_path), "/elsewhere", os.geteuid())
        assert refused.value.reason == "no-such-repository"
        with pytest.raises(FileNotFoundError) as missing:
            oldest_in(str(tmp_path / "none"))
        assert missing.value.filename == str(tmp_path / "none")


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"\0\0",
        b"\0\0\0\0",
        (carrier.LONGEST_BYTES + 1).to_bytes(4, "big") + b"x",
        message(["", ["/"]])[:-1],
        b"\0\0\0\4nope",
        b"\0\0\0\2\xff\xfe",
        message({}),
        message([]),
        message([""]),
        message(["", "a text"]),
        message(["", [1, 2]]),
        message(["", None]),
        message(["", {"a": 1}]),
        message(["other", 1]),
        message(["refusal", "no-such-repository"]),
        message(["os", "5", "words", ""]),
        message(["fault", 5]),
        message(["fault", "it broke"]),
        b"\0\1\0\0" + b"[" * 65536,
    ],
)  # fmt: skip
def test_a_helper_that_lies(says: bytes) -> None:
    """Cut, empty, too long, of another type, deep: refused by name, and nothing of it is believed."""
    with Helper(says) as helper, pytest.raises(Refusal) as refused:
        helper(THERE, (["/"],), {})
    assert refused.value.reason == "agent-unavailable"


def test_a_refusal_that_a_helper_makes_up_is_a_refusal() -> None:
    """ATTACK: the helper refuses for a reason that stands for a yes. EXPECTED: an internal error."""
    with Helper(message(["refusal", "verified", "", "", ""])) as helper, pytest.raises(Refusal) as refused:
        helper(THERE, (["/"],), {})
    assert refused.value.reason == "internal-error"


def test_a_helper_that_hangs(tmp_path: Path) -> None:
    """Refused when the time is up that whoever asks has; the next errand has a connection of its own."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    helper = HelperCarrier(str(tmp_path / "s"))
    helper.seconds = 0.2
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(Refusal, match="timed out"):
            helper(THERE, (["/"],), {})
    assert time.monotonic() - began < 2
    helper.forget()
    listener.close()


def test_a_helper_of_ours_that_is_stopped() -> None:
    """ATTACK: the Git account stops the child of root's that does its errands, or has it say byte by byte.
    EXPECTED: an end, by one deadline for the whole errand; and no answer of it is taken for another's.
    """
    with Helper(b"", hang_up=False) as helper:
        helper.seconds = 0.2
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(Refusal):
                helper(THERE, (["/"],), {})
        assert time.monotonic() - began < 1

    ours, theirs = socket.socketpair()
    helper = HelperCarrier("", ours)
    helper.seconds = 0.3
    ended = threading.Event()

    def dribble() -> None:
        while not ended.wait(0.05):
            theirs.send(b"\0")

    thread = threading.Thread(target=dribble, daemon=True)
    thread.start()
    began = time.monotonic()
    with pytest.raises(Refusal):
        helper(THERE, (["/"],), {})
    assert time.monotonic() - began < 1
    ended.set()
    thread.join(5)
    theirs.close()


_INTERRUPTED = """
import os, signal, socket
from gitguard.agent.carrier import HelperCarrier
from gitguard.agent.helper import serve_errands
ours, theirs = socket.socketpair()
if os.fork() == 0:
    ours.close()
    serve_errands(theirs)
    os._exit(0)
theirs.close()
helper, hits = HelperCarrier("", ours), 0
ask = lambda path: helper("gitguard.machine.whereabouts.there", ([path],), {})
os.system(f"(for n in 1 2 3 4 5 6 7 8; do sleep 0.05; kill -INT {os.getpid()}; done) &")
while hits < 8:
    try:
        while True:
            assert ask("/") == ["/"]
    except KeyboardInterrupt:
        hits += 1
    assert ask("/nonexistent") == []
print("own answers", hits)
"""


def test_a_ctrl_c_comes_behind_the_errand() -> None:
    """What tidies up afterwards asks again, and hears its own answer."""
    assert run([sys.executable, "-c", _INTERRUPTED], cwd=ROOT).out == "own answers 8\n"


def test_a_helper_that_was_restarted_is_asked_again(tmp_path: Path) -> None:
    """The connection of before has ended: what was not taken is put to the next one."""
    path = str(tmp_path / "s")
    helper = HelperCarrier(path)
    for _ in range(2):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def serve(listener: socket.socket = listener) -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(answer_to(carrier.received(connection)))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert helper(THERE, (["/"],), {}) == ["/"]
        thread.join(5)
        listener.close()
        os.unlink(path)
    with pytest.raises(Refusal) as refused:
        helper(THERE, (["/"],), {})
    assert refused.value.reason == "agent-unavailable"


@pytest.mark.parametrize(
    "question",
    [
        None, [], ["x"], [THERE, ["/"], []], [THERE, [1], {}], [THERE, [["/"], 1], {}], [THERE, [], {"other": 1}],
        ["os.system", ["true"], {}], ["gitguard.nowhere.at_all", [], {}], ["gitguard.agent.helper.serve", [], {}],
    ],
)  # fmt: skip
def test_a_question_that_is_none(question: Any) -> None:
    """Another function, other arguments: answered with a fault or a refusal, and the helper lives."""
    kind = json.loads(answer_to(question)[4:])[0]
    assert kind in ("fault", "refusal")


def test_a_fork_has_a_connection_of_its_own(tmp_path: Path) -> None:
    """Two processes on one connection would read each other's answers."""
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    seen: list[socket.socket] = []

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            seen.append(connection)
            threading.Thread(target=serve_errands, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    helper = HelperCarrier(path)
    assert helper(THERE, (["/"],), {}) == ["/"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which are the test's own helper
        child = os.fork()
    if child == 0:
        os._exit(0 if helper(THERE, (["/"],), {}) == ["/"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join(5)
    assert len(seen) == 2
    assert helper(THERE, (["/"],), {}) == ["/"]
    helper.forget()
    for connection in seen:
        connection.close()
    listener.close()


def test_an_errand_keeps_its_name_and_words() -> None:
    """Whoever reads or documents it sees the function."""

    @errand
    def sample(number: int) -> int:
        """Twice."""
        return 2 * number

    assert (sample(2), sample.__doc__, sample.__name__) == (4, "Twice.", "sample")
    ERRANDS.pop(f"{sample.__module__}.{sample.__wrapped__.__qualname__}")  # type: ignore[attr-defined]
    assert Found("a", "b", "c").name == "a"
