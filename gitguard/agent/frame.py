"""What gate, hook and agent say to each other: a length, a version, a letter, fields.

    length (4 bytes, big-endian, of all that follows)  version (1)  letter (1)  fields, each ended by NUL

A question carries the words behind our name, their number first, and the environment as `NAME=VALUE`; the
hook's brings two handles: the folder it was started in, and a file with all that Git says; sshd's, for a key,
is answered by that letter and the line. Other answers: become
this (the file, the number of its words, the words, its environment); let it in; lend me your three streams (a
single byte brings them), then that the work has begun, and at the end its status, or what to become; run the
repository's other hooks, and ask again; decide yourself; here I am. MUST: what is cut, too long, without its
NUL or of another version is no question. gate/client.c and gate/client.py speak the other side of it.
"""

from __future__ import annotations

import os
import socket
import struct

from msgspec import Struct

VERSION = 1
LONGEST_BYTES = 65536
GATE, HOOK, KEYS, ACCOUNT, PING = "g", "h", "k", "u", "p"
BECOME, LET_IN, LEND_STREAMS, BEGUN, ENDED, DECIDE_YOURSELF, HERE = "x", "y", "o", "b", "e", "l", "v"
RUN_OTHERS = "r"
MOST_HANDLES = 3
_HEAD_BYTES = 4
_HANDLE = struct.Struct("i")
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7)


class FrameError(Exception):
    """What came is not a whole frame of ours."""


class Frame(Struct, frozen=True):
    """One message; `handles` are open, and whoever has the frame closes them."""

    letter: str
    fields: tuple[bytes, ...] = ()
    handles: tuple[int, ...] = ()


def packed(letter: str, fields: tuple[bytes, ...] = ()) -> bytes:
    """The message as bytes. Raises FrameError for one that is too long, or has a NUL in a field."""
    if any(b"\0" in field for field in fields):
        raise FrameError("a field with a NUL in it")
    body = bytes([VERSION]) + letter.encode() + b"".join(field + b"\0" for field in fields)
    if len(body) > LONGEST_BYTES:
        raise FrameError(f"a message of {len(body)} bytes")
    return len(body).to_bytes(_HEAD_BYTES, "big") + body


def unpacked(body: bytes) -> tuple[str, tuple[bytes, ...]]:
    """(letter, fields) of what stands behind the length. Raises FrameError."""
    if len(body) < 2 or body[0] != VERSION:
        raise FrameError(f"version {body[0] if body else 'none'}")
    rest = body[2:]
    if rest and not rest.endswith(b"\0"):
        raise FrameError("the last field has no end")
    return chr(body[1]), tuple(rest[:-1].split(b"\0")) if rest else ()


def receive(connection: socket.socket) -> Frame:
    """The next message, with what it brings; handles are closed on exec. Raises FrameError, OSError."""
    handles: list[int] = []
    try:
        letter, fields = unpacked(_body(connection, handles))
    except BaseException:
        close(handles)
        raise
    return Frame(letter, fields, tuple(handles))


def answer_on(connection: socket.socket) -> Frame:
    """The next of several messages, for who asked: what stands behind it is read by the next call. Raises
    FrameError, OSError.
    """
    handles: list[int] = []
    try:
        head = _exactly(connection, _HEAD_BYTES, handles)
        length = int.from_bytes(head, "big")
        if not 2 <= length <= LONGEST_BYTES:
            raise FrameError(f"a message of {length} bytes")
        letter, fields = unpacked(_exactly(connection, length, handles))
    finally:
        close(handles)  # an answer brings none
    return Frame(letter, fields)


def _exactly(connection: socket.socket, count: int, handles: list[int]) -> bytes:
    data = b""
    while len(data) < count:
        data += _some(connection, count - len(data), handles)
    return data


def _body(connection: socket.socket, handles: list[int]) -> bytes:
    """What stands behind the length, all of it and nothing more."""
    data = _some(connection, _HEAD_BYTES + LONGEST_BYTES, handles)
    while len(data) < _HEAD_BYTES:
        data += _some(connection, _HEAD_BYTES - len(data), handles)
    length = int.from_bytes(data[:_HEAD_BYTES], "big")
    if not 2 <= length <= LONGEST_BYTES or len(data) > _HEAD_BYTES + length:
        raise FrameError(f"a message of {length} bytes")
    while len(data) < _HEAD_BYTES + length:
        data += _some(connection, _HEAD_BYTES + length - len(data), handles)
    return data[_HEAD_BYTES:]


def _some(connection: socket.socket, most: int, handles: list[int]) -> bytes:
    data, brought, flags, _ = socket.recv_fds(connection, most, MOST_HANDLES)
    handles += brought
    for handle in brought:
        os.set_inheritable(handle, False)  # noqa: FBT003 - it has no name there
    if not data or flags & socket.MSG_CTRUNC or len(handles) > MOST_HANDLES:
        raise FrameError("cut off" if not data else "too many handles")
    return data


def streams(connection: socket.socket) -> tuple[tuple[int, ...], int, int]:
    """(the three streams that a client lends, pid and uid of who sent them, by the kernel's word).

    SO_PASSCRED must have been set before they were asked for. Raises FrameError unless it is three.
    """
    room = socket.CMSG_SPACE(MOST_HANDLES * _HANDLE.size) + socket.CMSG_SPACE(_CREDENTIALS.size)
    data, beside, flags, _ = connection.recvmsg(1, room)
    handles: list[int] = []
    sender = (0, -1)
    for level, kind, content in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            handles += [number for (number,) in _HANDLE.iter_unpack(content)]
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            sender = _CREDENTIALS.unpack(content)[:2]
    for handle in handles:
        os.set_inheritable(handle, False)  # noqa: FBT003 - it has no name there
    if not data or flags & socket.MSG_CTRUNC or len(handles) != MOST_HANDLES:
        close(handles)
        raise FrameError(f"{len(handles)} handles for three streams")
    return tuple(handles), *sender


def close(handles: tuple[int, ...] | list[int]) -> None:
    """Let go of handles that a message brought."""
    for handle in handles:
        os.close(handle)
