"""Who asks: the process at the other end of a connection, as the kernel knows it."""

from __future__ import annotations

import os
import select
import socket
import struct

_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7)


def peer_of(connection: socket.socket) -> int | None:
    """The pid of who connected, where it runs as our own account and counts processes as we do; else None.

    Root is answered by its own launcher: what we say is right for the Git account alone. In another pid
    namespace, of a container, our numbers name other processes there.
    """
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    try:
        same = os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return None
    return pid if pid > 0 and uid == os.geteuid() and same else None


def has_hung_up(connection: socket.socket) -> bool:
    """Whether the other end is gone already; one that has said all it wants to say is still there."""
    waiting = select.poll()
    waiting.register(connection, 0)
    return bool(waiting.poll(0))
