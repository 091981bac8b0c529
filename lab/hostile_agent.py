"""A process that is no agent of ours, on the agent's socket: it says what it likes, or nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from gitguard.agent.frame import LONGEST_BYTES, VERSION


def frame(letter: bytes, fields: bytes = b"", *, version: int = VERSION, length: int | None = None) -> bytes:
    """A message whose length and version are what one likes."""
    body = bytes([version]) + letter + fields
    return (len(body) if length is None else length).to_bytes(4, "big") + body


_SHELL = b"/bin/sh\x003\x00sh\x00-c\x00echo pwned\x00"
# what it says -> the bytes; a client that understands one of them as a yes is broken
ANSWERS: dict[str, bytes] = {
    "nothing, and hangs up": b"",
    "half a length": b"\x00\x00",
    "half a message": frame(b"x", _SHELL)[:-5],
    "a length of nothing": frame(b"", length=0),
    "a length of one": (1).to_bytes(4, "big") + b"\x01",
    "a length of four gigabytes": frame(b"x", _SHELL, length=0xFFFFFFFF),
    "a length one too long": (LONGEST_BYTES + 1).to_bytes(4, "big")
    + b"\x01x"
    + b"a\x00" * (LONGEST_BYTES // 2),
    "more than its length": frame(b"x", _SHELL, length=5) + b"more",
    "another version": frame(b"x", _SHELL, version=2),
    "no version": frame(b"x", _SHELL, version=0),
    "a letter that is none": frame(b"z", _SHELL),
    "no letter at all": frame(b"\x00"),
    "a last field without its end": frame(b"x", b"/bin/echo\x002\x00echo\x00pwned"),
    "no word at all": frame(b"x"),
    "a file alone": frame(b"x", b"/bin/sh\x00"),
    "more words than there are": frame(b"x", b"/bin/sh\x009\x00sh\x00"),
    "a negative number of words": frame(b"x", b"/bin/sh\x00-1\x00sh\x00"),
    "a number that is none": frame(b"x", b"/bin/sh\x00many\x00sh\x00"),
    "more fields than a client takes": frame(b"x", b"/bin/sh\x004999\x00" + b"a\x00" * 5000),
    "a file that is not there": frame(b"x", b"/nowhere/sh\x001\x00sh\x00"),
    "a file that is a folder": frame(b"x", b"/bin\x001\x00sh\x00"),
    "decide yourself": frame(b"l"),
    "here I am": frame(b"v", b"1\x00"),
    "an end that nobody began": frame(b"e", b"0\x00"),
}


class HostileAgent:
    """Listens at `path` in a thread, and answers each question with the same bytes."""

    def __init__(
        self, path: Path, answer: bytes | None, *, then: bytes | None = None, backlog: int = 16
    ) -> None:
        """`answer` None: it takes the question and says nothing, ever. `then`: what it says when more comes,
        before it hangs up; b"" for nothing, ever.
        """
        self._answer = answer
        self._then = then
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(backlog)
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._path = path

    def __enter__(self) -> HostileAgent:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        for connection in self._open:
            connection.close()
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                connection.recv(1 << 20)
                if self._answer is None:
                    self._open.append(connection)
                    continue
                connection.sendall(self._answer)
                if self._then is not None:
                    connection.settimeout(5)
                    connection.recv(100)
                    if not self._then:
                        self._open.append(connection)
                        continue
                    connection.sendall(self._then)
            except OSError:
                pass  # the client has hung up
            connection.close()


_OF_NOBODY = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
listener.listen(16)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(bytes.fromhex(sys.argv[2]))
    connection.close()
"""


class OfAnotherAccount:
    """The same in a process of the account nobody, which says yes to everything: nobody may believe it."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self._path = path
        self._command = [sys.executable, "-IS", "-c", _OF_NOBODY, str(path), answer.hex()]

    def __enter__(self) -> OfAnotherAccount:
        os.chmod(self._path.parent, 0o777)
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        os.chmod(self._path.parent, 0o700)
        self._path.unlink(missing_ok=True)
