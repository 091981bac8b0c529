"""`gitguard-keys`: sshd asks us for a key's line instead of reading a file (AuthorizedKeysCommand).

It asks the agent, and prints one line or nothing, within 0.9 seconds, since sshd asks twice for a key that is
accepted. MUST: it changes nothing, and whatever fails lets nobody in. Plain dialect: each login waits for it.
"""

import posix
import sys
from _socket import AF_UNIX, SO_PEERCRED, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket
from time import monotonic, sleep

from gitguard.gate.client import _frame, _received, _send

SECONDS = 0.9
_AGAIN_SECONDS = 0.05


def main(path: str, owner: int) -> int:
    """Print the line of the key that sshd names: our arguments are `%u %f %t %k`. `path`, `owner`: as for
    `gate.client.ask`.
    """
    ends = monotonic() + SECONDS
    why = "the agent does not answer"
    while (left := ends - monotonic()) > 0:
        try:
            line = _asked(path, owner, left)
        except (OSError, ValueError) as error:
            line, why = None, str(error) or why
        if line is not None:
            posix.write(1, line + b"\n" if line else b"")
            return 0
        sleep(min(_AGAIN_SECONDS, max(ends - monotonic(), 0)))
    _say(f"no key can be looked up: {path}: {why}")
    return 1


def _asked(path: str, owner: int, seconds: float) -> "bytes | None":
    """The agent's answer, b"" for a key that it does not know; None: ask again."""
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        connection.settimeout(0)
        connection.connect(path)
        peer = connection.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)
        if int.from_bytes(peer[4:8], sys.byteorder) not in (0, owner):
            raise ValueError("another account listens there")
        words = [word.encode("utf-8", "surrogateescape") for word in sys.argv[1:5]]
        _send(connection, _frame(b"k", [b"%d" % len(words), *words]), [])
        letter, fields = _received(connection, seconds)
        return fields[0] if letter == b"k" and len(fields) == 1 else None
    finally:
        connection.close()


def _say(text: str) -> None:
    """In the journal: sshd throws away what we say to it."""
    import syslog

    syslog.openlog("gitguard-keys", 0, syslog.LOG_AUTH)
    syslog.syslog(syslog.LOG_ERR, text)
