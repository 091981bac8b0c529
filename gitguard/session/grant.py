"""The grant: a signed note from the gate to the hook, for one process and one push.

MUST: a grant counts only for the process that the gate became, for its repository directory, and
with its MAC intact. The hook takes from it who pushes, from where, and how old the verification was
when the gate looked; what is required, and whether that session still stands, it asks again.
Plain dialect: gate and hook load this file.
"""

import posix
from _blake2 import blake2b
from _operator import _compare_digest
from _stat import S_ISREG

from gitguard.session.credential import Credential, credential_of

ENVIRONMENT_NAME = "GITGUARD_GRANT"
LONGEST_SECONDS = 86400  # no push takes a day; a grant that old belongs to something else
KEY_BYTES = 32
PUSH, BREAK_GLASS = "push", "break-glass"
_FIELDS = 11


class Grant:
    """What the gate knew. `kind` is `push`, or `break-glass` for maintenance, whose
    `user` is the admin who began it.

    `session` is the 2FA session's number or 0, `age_seconds` its age then or -1.
    """

    __slots__ = (
        "address", "age_seconds", "at", "credential", "decision", "directory", "kind", "pid", "session", "started",
        "user",
    )  # fmt: skip

    def __init__(
        self,
        *,
        kind: str,
        user: str,
        credential: Credential,
        address: str,
        directory: str,
        session: int,
        age_seconds: int,
        at: int,
        pid: int,
        started: int,
        decision: str,
    ) -> None:
        self.kind = kind
        self.user = user
        self.credential = credential
        self.address = address
        self.directory = directory
        self.session = session
        self.age_seconds = age_seconds
        self.at = at
        self.pid = pid
        self.started = started
        self.decision = decision


def seal(grant: Grant, secret: bytes) -> str:
    """`grant` as one environment value: its MAC, then its fields, a line each.

    Raises ValueError if a field holds a line break, which no field that the gate fills can.
    """
    fields = [
        grant.kind, grant.user, grant.credential.text, grant.address, grant.directory, str(grant.session), str(grant.age_seconds),
        str(grant.at), str(grant.pid), str(grant.started), grant.decision,
    ]  # fmt: skip
    body = "\n".join(fields)
    if body.count("\n") != _FIELDS - 1 or "\0" in body:
        raise ValueError("a field of the grant holds a line break")
    return _mac(body, secret) + "\n" + body


def unseal(sealed: str, secret: bytes) -> Grant:
    """The grant that `seal` made with the same `secret`.

    Raises ValueError for anything else: another key, an altered field, a wrong number of fields.
    """
    mac, _, body = sealed.partition("\n")
    if not _compare_digest(mac.encode("utf-8", "surrogateescape"), _mac(body, secret).encode()):
        raise ValueError("the grant's signature does not fit")
    fields = body.split("\n")
    if len(fields) != _FIELDS:
        raise ValueError("the grant has a wrong number of fields")
    kind, user, credential, address, directory, session, age, at, pid, started, decision = fields
    return Grant(
        kind=kind,
        user=user,
        credential=credential_of(credential),
        address=address,
        directory=directory,
        session=int(session),
        age_seconds=int(age),
        at=int(at),
        pid=int(pid),
        started=int(started),
        decision=decision,
    )


def read_key(path: str, uid: int) -> bytes:
    """The key that signs grants. Raises ValueError or OSError unless it is ours alone and whole."""
    with open(path, "rb", opener=_opener) as file:
        entry = posix.fstat(file.fileno())
        if not S_ISREG(entry.st_mode) or entry.st_uid not in (0, uid) or entry.st_mode & 0o077:
            raise ValueError(f"{path} is not a private file of root or the Git account")
        secret = file.read(KEY_BYTES + 1)
    if len(secret) != KEY_BYTES:
        raise ValueError(f"{path} has a wrong length")
    return secret


def _opener(path: str, flags: int) -> int:
    return posix.open(path, flags | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)


def _mac(body: str, secret: bytes) -> str:
    if len(secret) != KEY_BYTES:
        raise ValueError("the grant key has a wrong length")
    return blake2b(
        body.encode("utf-8", "surrogateescape"), key=secret, digest_size=32, person=b"gitguard grant"
    ).hexdigest()
