"""Who asks: the process at the other end of a connection, as the kernel knows it."""

from __future__ import annotations

import os
import select
import socket
import struct

_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7)


def peer_of(connection: socket.socket, git_uid: int) -> int | None:
    """The pid of who connected, where it runs as the Git account and counts processes as we do; else None.

    Root is answered by its own launcher: what we say is right for the Git account alone. In another pid
    namespace, of a container, our numbers name other processes there.
    """
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    try:
        same = _counts_as_we_do(pid)
    except OSError:
        return None
    return pid if pid > 0 and uid == git_uid and same else None


def account_behind(connection: socket.socket) -> tuple[int, int] | None:
    """(pid, uid) of who connected, where it counts processes as we do; else None."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    try:
        same = pid > 0 and _counts_as_we_do(pid)
    except OSError:
        return None
    return (pid, uid) if same else None


def may_look(connection: socket.socket, git_uid: int) -> bool:
    """Whether who connected may know that we answer: root, our own account and the Git account."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(data)[1] in (0, os.geteuid(), git_uid)


def _counts_as_we_do(pid: int) -> bool:
    """Whether the process is of our own pid namespace. Source: proc(5), NSpid. Raises OSError."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except PermissionError:  # another account's process shows that to nobody, but this to everyone
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = [line.split() for line in file.read().splitlines() if line.startswith(b"NSpid:")]
        return len(lines) == 1 and lines[0][1:] == [b"%d" % pid]


def has_hung_up(connection: socket.socket) -> bool:
    """Whether the other end is gone already; one that has said all it wants to say is still there."""
    waiting = select.poll()
    waiting.register(connection, 0)
    return bool(waiting.poll(0))
