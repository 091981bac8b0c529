"""What is said between gate and agent: bounded, whole, of one version, or no message at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitguard.agent.frame import (
    BEGUN,
    ENDED,
    LONGEST_BYTES,
    Frame,
    FrameError,
    answer_on,
    close,
    packed,
    receive,
    streams,
    unpacked,
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection; nothing hangs."""
    one, other = socket.socketpair()
    with one, other:
        other.settimeout(2)
        yield one, other


@given(st.sampled_from("ghpxyoelv"), st.lists(st.binary(max_size=40).filter(lambda text: b"\0" not in text)))
def test_what_is_packed_comes_out(letter: str, fields: list[bytes]) -> None:
    """Every letter and every field, the empty ones among them."""
    assert unpacked(packed(letter, tuple(fields))[4:]) == (letter, tuple(fields))


def test_what_cannot_be_said() -> None:
    """A field with a NUL would be two; a message that is too long is none."""
    with pytest.raises(FrameError, match="NUL"):
        packed("x", (b"a\0b",))
    packed("x", (b"a" * (LONGEST_BYTES - 3),))
    with pytest.raises(FrameError, match="65537 bytes"):
        packed("x", (b"a" * (LONGEST_BYTES - 2),))


BAD = {
    "nothing": b"",
    "half a length": b"\0\0",
    "no version": (1).to_bytes(4, "big") + b"\1",
    "nothing behind the length": bytes(4),
    "another version": (2).to_bytes(4, "big") + b"\2g",
    "the last field without its NUL": (4).to_bytes(4, "big") + b"\1g1x",
    "cut": (10).to_bytes(4, "big") + b"\1g1\0",
    "too long": (LONGEST_BYTES + 1).to_bytes(4, "big") + b"\1g",
    "four gigabytes": b"\xff\xff\xff\xff\1g",
    "more than was announced": (2).to_bytes(4, "big") + b"\1gmore",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_message(pair: tuple[socket.socket, socket.socket], name: str) -> None:
    """Cut, too long, of another version, with NULs missing: none is guessed at."""
    one, other = pair
    one.sendall(BAD[name])
    one.shutdown(socket.SHUT_WR)
    with pytest.raises(FrameError):
        receive(other)


def test_it_may_come_in_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    """A stream has no borders: each byte may come alone."""
    one, other = pair
    for byte in packed("g", (b"1", b"a")):
        one.sendall(bytes([byte]))
    assert receive(other) == Frame("g", (b"1", b"a"), ())


def _open_handles() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_handles_come_along(pair: tuple[socket.socket, socket.socket], count: int) -> None:
    """They are ours then, closed on exec, and nothing of them stays."""
    one, other = pair
    before = _open_handles()
    socket.send_fds(one, [packed("h")], [0] * count)
    frame = receive(other)
    assert len(frame.handles) == count
    assert not any(os.get_inheritable(handle) for handle in frame.handles)
    close(frame.handles)
    assert _open_handles() == before


def test_a_bad_message_leaves_no_handle_open(pair: tuple[socket.socket, socket.socket]) -> None:
    """A sender of nonsense with handles must not fill our table of them."""
    one, other = pair
    before = _open_handles()
    socket.send_fds(one, [BAD["another version"]], [0, 0, 0])
    with pytest.raises(FrameError):
        receive(other)
    assert _open_handles() == before


@pytest.mark.parametrize("count", [4, 60])
def test_more_handles_than_there_are_uses_for(pair: tuple[socket.socket, socket.socket], count: int) -> None:
    """The kernel keeps what does not fit, and the message counts for nothing."""
    one, other = pair
    before = _open_handles()
    socket.send_fds(one, [packed("h")], [0] * count)
    with pytest.raises(FrameError, match="too many"):
        receive(other)
    assert _open_handles() == before


@pytest.mark.parametrize("count", [0, 1, 2])
def test_three_streams_or_none(pair: tuple[socket.socket, socket.socket], count: int) -> None:
    """A command has input, output and a place for errors."""
    one, other = pair
    other.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    before = _open_handles()
    socket.send_fds(one, [b"s"], [0] * count)
    with pytest.raises(FrameError):
        streams(other)
    assert _open_handles() == before
    socket.send_fds(one, [b"s"], [0, 1, 2])
    lent, pid, uid = streams(other)
    assert len(lent) == 3
    assert (pid, uid) == (os.getpid(), os.geteuid()), "by the kernel's word"
    close(lent)


def test_answers_that_come_together(pair: tuple[socket.socket, socket.socket]) -> None:
    """Work that is quickly done has begun and ended before its client looks: two messages in a row."""
    one, other = pair
    one.sendall(packed(BEGUN) + packed(ENDED, (b"7",)))
    assert answer_on(other).letter == BEGUN
    assert answer_on(other) == Frame(ENDED, (b"7",))
    one.sendall(packed(ENDED, (b"7",))[:-1])
    one.close()
    with pytest.raises(FrameError):
        answer_on(other)
