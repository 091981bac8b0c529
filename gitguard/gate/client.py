"""Gate and hook ask the agent, where there is no compiled client; gate/client.c is the same in C.

It decides nothing and reads no policy. It is loaded before everything else of ours and imports C alone, so
that what it saves is not spent on it. Plain dialect.
"""

import _signal  # type: ignore[import-not-found]
import posix
import sys
from _socket import (
    AF_UNIX,
    MSG_NOSIGNAL,
    SCM_RIGHTS,
    SO_PEERCRED,
    SOCK_CLOEXEC,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from time import monotonic

VERSION = 1
LONGEST_BYTES = 65536
MOST_FIELDS = 4096
ANSWER_SECONDS = 1.0
_TOO_BIG = 27  # EFBIG
LONGEST_INPUT = 256 * 1024 * 1024
CLOSED = b"gitguard: closed, because its installation is not whole; tell your server admin [internal-error]\n"
STOPPED = b"gitguard: the server's agent stopped in the middle of this; see what was done: 2fa status [agent-unavailable]\n"


RUN_OTHERS = -1  # in the place of a status


def ask(path: str, hook: str, owner: int, seconds: float = ANSWER_SECONDS) -> "int | None":
    """The exit status, if the agent at `path` answered what ends here; None: decide yourself.

    `hook`: "h" where we are the hook, "g" where we are the gate; `owner`: the uid that opens the agent's
    socket, if it is not root's; `seconds`: how long to wait for a word. Where the answer says so we become
    Git; RUN_OTHERS where the repository's other hooks are to run first.
    """
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        return None
    handles = []
    if hook == "h":
        handles = [posix.open(".", posix.O_PATH | posix.O_CLOEXEC), _kept_input()]
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        connection.settimeout(0)
        connection.connect(path)
        peer = connection.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)
        if int.from_bytes(peer[4:8], sys.byteorder) not in (0, owner):
            return None
        words = [
            b"%d" % (len(sys.argv) - 1),
            *[word.encode("utf-8", "surrogateescape") for word in sys.argv[1:]],
        ]
        words += [name + b"=" + value for name, value in posix.environ.items()]
        _send(connection, _frame(hook.encode(), words), handles)
        return _obeyed(connection, hook, seconds)
    except (OSError, ValueError):
        return None
    finally:
        connection.close()
        for handle in handles:
            posix.close(handle)


def _frame(letter: bytes, fields: "list[bytes]") -> bytes:
    body = bytes([VERSION]) + letter + b"".join([field + b"\0" for field in fields])
    if len(body) > LONGEST_BYTES:
        raise ValueError("too long a question")
    return len(body).to_bytes(4, "big") + body


def _send(connection: socket, data: bytes, handles: "list[int]") -> None:
    """In one piece or not at all."""
    packed = b"".join([handle.to_bytes(4, sys.byteorder) for handle in handles])
    with_handles = [(SOL_SOCKET, SCM_RIGHTS, packed)] if handles else []
    if connection.sendmsg([data], with_handles, MSG_NOSIGNAL) != len(data):
        raise ValueError("not sent whole")


def _received(connection: socket, seconds: "float | None") -> "tuple[bytes, list[bytes]]":
    """(letter, fields) of the answer. Raises ValueError or OSError if no whole one comes in time."""
    ends = None if seconds is None else monotonic() + seconds
    data = b""
    length = 0
    whole = 4
    while len(data) < whole:
        if ends is not None and monotonic() >= ends:
            raise ValueError("no answer in time")
        connection.settimeout(None if ends is None else max(ends - monotonic(), 0.001))
        part = connection.recv(whole - len(data))
        if not part:
            return b"l", []  # it hung up
        data += part
        if len(data) >= 4:
            length = int.from_bytes(data[:4], "big")
            if not 2 <= length <= LONGEST_BYTES:
                raise ValueError("no frame")
            whole = 4 + length
    if data[4] != VERSION or (length > 2 and data[-1]):
        raise ValueError("no frame of ours")
    if data.count(b"\0", 6) > MOST_FIELDS:
        raise ValueError("too many fields")
    return data[5:6], data[6:-1].split(b"\0") if length > 2 else []


def _become(fields: "list[bytes]") -> None:
    """The file, the number of its words, the words, its environment; returns where that cannot be."""
    count = int(fields[1])
    argv, pairs = fields[2 : 2 + count], fields[2 + count :]
    if not 0 < count < MOST_FIELDS or len(argv) != count:
        return
    environment = {}
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        environment[name] = value
    # Python ignores these two; what we become, and its hooks, must find them as any program does.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    try:
        posix.execve(fields[0], argv, environment)
    finally:
        _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
        _signal.signal(_signal.SIGXFSZ, _signal.SIG_IGN)


def _obeyed(connection: socket, hook: str, seconds: float) -> "int | None":
    """Do what the agent says: the exit status; None where it is sure that nothing has begun."""
    lent = begun = False
    while True:
        try:
            letter, fields = _received(connection, None if begun else seconds)
            if letter == b"y" and hook == "h":
                return 0
            status = fields[0] if letter == b"e" and begun and fields else b""
            if status.isdigit() and len(status) < 4 and int(status) < 256:
                return int(status)
            if letter == b"x" and hook == "g" and begun == lent:
                _become(fields)
            if letter == b"r" and hook == "h" and begun == lent:
                return RUN_OTHERS
        except (OSError, ValueError):
            letter = b""
        if letter == b"o" and not lent:
            _send(connection, b"s", [0, 1, 2])
            lent = True
        elif letter == b"b" and lent and not begun:
            begun = True
        elif begun or (lent and letter != b"l"):
            _say(STOPPED)  # it may have begun, so it is not begun again
            return 40
        else:
            return None


def _say(text: bytes) -> None:
    try:  # noqa: SIM105 - contextlib is too heavy here
        posix.write(2, text)
    except OSError:
        pass  # nobody reads it


def _kept_input() -> int:
    """All that Git says, kept as a file that agent and launcher can both read, in place of our input.

    MUST: what was read is kept whole, or nothing is let in. Raises OSError before anything was read.
    """
    from resource import RLIM_INFINITY, RLIMIT_FSIZE, getrlimit

    limit = getrlimit(RLIMIT_FSIZE)[0]  # it holds for such files, too
    if limit != RLIM_INFINITY and limit < 2 * LONGEST_INPUT:
        raise OSError(_TOO_BIG, "a limit of file sizes is in force")
    kept = posix.memfd_create("push", posix.MFD_CLOEXEC)
    try:
        length = 0
        while length <= LONGEST_INPUT and (part := posix.read(0, 65536)):
            length += len(part)
            while part:
                part = part[posix.write(kept, part) :]
        posix.lseek(kept, 0, 0)
        posix.dup2(kept, 0)
    except Exception:
        _say(CLOSED)
        posix._exit(1)  # noqa: SLF001 - its public name is in os
    return kept
