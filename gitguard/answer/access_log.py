"""The access log: one JSON line per Git decision, appended in a single write.

The file is opened again for each line, so rotation needs no signal. Plain dialect: the gate loads this
file; `_json` is the C encoder alone, since the json package costs three times the write.
"""

import posix
from _json import encode_basestring_ascii
from _stat import S_ISREG

from gitguard.config.compiled import Config
from gitguard.decision.decision import Decision
from gitguard.message.reasons import Refusal, printable, readable

KEYS = (
    "id", "at", "user", "key", "address", "repository", "operation", "verdict", "reason", "because",
    "session_age_seconds",
)  # fmt: skip


def new_id() -> str:
    """A decision's id: eight hex digits, enough to find a line by, no secret."""
    return posix.urandom(4).hex()


def line_of(decision: Decision, id_: str) -> bytes:
    """The line for `decision`, newline included."""
    request = decision.request
    if decision.refusal is not None:
        verdict, reason = "refused", decision.refusal.reason
        because = decision.refusal.detail
    elif decision.verdict is not None:
        verdict, reason, because = "allowed", decision.verdict.reason, decision.verdict.because
    else:
        raise ValueError("a decision without an answer has no line")
    known = decision.directory or (decision.state is not None and decision.state.name is not None)
    repository = decision.repository
    texts = (
        id_, printable(request.user), printable(request.credential.text), printable(request.address),
        # A name of the store's stands whole, so two never become one; a client's own spelling is bounded.
        repository if known else readable(repository), decision.operation, verdict, reason, readable(because, 400),
    )  # fmt: skip
    id_, user, key, address, repository, operation, verdict, reason, because = (
        encode_basestring_ascii(text) for text in texts
    )
    age = "null" if decision.session_age_seconds is None else str(decision.session_age_seconds)
    return (
        f'{{"id":{id_},"at":{request.moment.at},"user":{user},"key":{key},"address":{address},'
        f'"repository":{repository},"operation":{operation},"verdict":{verdict},"reason":{reason},'
        f'"because":{because},"session_age_seconds":{age}}}\n'
    ).encode("ascii")


def append(config: Config, line: bytes) -> None:
    """Append `line` to the access log. Raises Refusal("log-unavailable") unless it is written whole."""
    path = config.access_log
    flags = (
        posix.O_RDWR | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK
    )
    try:
        handle = posix.open(path, flags, 0o600)
        try:
            entry = posix.fstat(handle)
            if not S_ISREG(entry.st_mode):
                raise Refusal("log-unavailable", f"{path} is not a file")
            # A disk that was full may have cut the line before: it must not swallow this one.
            if entry.st_size and posix.pread(handle, 1, entry.st_size - 1) != b"\n":
                line = b"\n" + line
            written = posix.write(handle, line)
        finally:
            posix.close(handle)
    except OSError as error:
        raise Refusal("log-unavailable", f"{path}: {error.strerror}") from None
    if written != len(line):
        raise Refusal("log-unavailable", f"{path}: the disk is full")
    if config.syslog:
        _to_syslog(config.syslog, line)


def _to_syslog(path: str, line: bytes) -> None:
    """The same line as a datagram (RFC 3164, authpriv.info). The file counts, so nobody waits for it."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, socket

    channel = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
    try:
        channel.settimeout(0)
        channel.connect(path)
        channel.send(b"<86>gitguard: " + line.strip())
    except OSError:
        pass  # documented: a system log that does not answer stops nobody
    finally:
        channel.close()
