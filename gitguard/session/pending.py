"""Pending requests: what was refused for want of a verification, for its person to see and answer.

One record, `PendingRequest`, in files of one folder. A refusal notes one for each user, credential, network
and repository, kept for an hour. A gate or hook that holds a push until its person has verified has a second
file, of its process, which counts while that process lives. Files, not rows: the gate never writes the store.

The id is short, so its link (RFC 8628's verification URI) fits a terminal's line; the number is for number
matching: the terminal shows it, the page asks for it. MUST: neither carries authority, and a record decides
nothing; it is looked up among its person's own alone. Plain dialect: a gate that refuses loads this file.
"""

import errno
import posix
from _blake2 import blake2b

from gitguard.machine.process import parent_and_start
from gitguard.message.numbers import number as whole
from gitguard.session.scope import neighbours_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from gitguard.session.credential import Credential

    class Requester(Protocol):
        """A gate's request, or a person."""

        @property
        def user(self) -> str:
            """The person's name."""

        @property
        def credential(self) -> Credential:
            """With what."""

        @property
        def address(self) -> str:
            """From where."""


FOLDER = "pending"  # below the state folder
KEPT_SECONDS = 3600
SHOWN_SECONDS = 600  # how long it is shown to anyone who does not come by its link
MOST_OF_PLACE = 20  # of one key in one network: a copy of the key elsewhere crowds out nothing here
MOST_OF_KEY = 100  # of one key, from wherever; then the network that has the most makes room
MOST_OF_USER = 400  # then the key that has the most makes room
DENIED = "denied"  # in the place of the number: it is shown to nobody
DENIED_SECONDS = 60  # and is not noted again for so long
AGAIN_SECONDS = {"push": 60}  # how soon it is written again, and has a number of its own
AGAIN_READ_SECONDS = 3600
MOST_HELD = 100  # of one server
MOST_HELD_OF_KEY = 5
MOST_HELD_OF_USER = 10  # so that a stolen second key keeps none of the first one's from waiting
_LATEST = 10**11  # Unix seconds
_HIGHEST_PID = 1 << 22  # the kernel gives out none above


class PendingRequest:
    """A request that waits for its person. `at`: Unix seconds; `number`: four digits;
    `operation`: push, read or "".

    `name` is its file's. Where a process holds it, `pid` and `started` tell which (start time as the kernel
    counts it), and `held_at` since when; all three are 0 for one that was refused and ended.
    """

    __slots__ = (
        "address", "at", "credential", "held_at", "id", "name", "number", "operation", "pid", "repository", "started",
        "user",
    )  # fmt: skip

    def __init__(
        self,
        *,
        name: str,
        id_: str,
        at: int,
        number: str,
        user: str,
        credential: str,
        address: str,
        repository: str,
        operation: str,
        pid: int = 0,
        started: int = 0,
    ) -> None:
        self.name = name
        self.id = id_
        self.at = at
        self.number = number
        self.user = user
        self.credential = credential
        self.address = address
        self.repository = repository
        self.operation = operation
        self.pid = pid
        self.started = started
        self.held_at = at if pid else 0

    @property
    def is_held(self) -> bool:
        """Whether a push waits for the answer, and continues by itself."""
        return self.held_at > 0


def note(
    state: str, requester: "Requester", repository: str, operation: str, at: int
) -> "PendingRequest | None":
    """Note what was refused; None if it cannot be noted, which changes no refusal. A recent note stays."""
    try:
        return _note(state, requester, repository, operation, at)
    except (OSError, ValueError):
        return None


def _note(
    state: str, requester: "Requester", repository: str, operation: str, at: int
) -> "PendingRequest | None":
    folder = f"{state}/{FOLDER}"
    user, credential = requester.user, requester.credential.text
    place = _of_place(user, credential, requester.address)
    name = _name_of(requester, repository)
    there = _read(folder, name)
    if there is not None and not _is_due(there, operation, at):
        return None if there.number == DENIED else there
    _make(folder)
    if not (
        _has_room(folder, place, name, MOST_OF_PLACE, at)
        and _has_room_beside_others(folder, _of_key(user, credential), place, MOST_OF_KEY, name, at)
        and _has_room_beside_others(folder, _of_user(user), _of_key(user, credential), MOST_OF_USER, name, at)
    ):
        return None
    # No two of a user share a number: a thief would draw until theirs is the one in the owner's terminal.
    taken = [word for one in pending(state, user, at) for word in (one.number, one.id)]
    # And a new id: following the link of an earlier refusal allows nothing that its reader has not seen.
    request = PendingRequest(
        name=name,
        id_=_unlike(taken, _new_id),
        at=at,
        number=_unlike(taken, _new_number),
        user=user,
        credential=credential,
        address=requester.address,
        repository=repository,
        operation=operation,
    )
    _write(folder, request)
    return request


def hold(
    state: str,
    requester: "Requester",
    repository: str,
    at: int,
    process: int,
    noted: "PendingRequest | None" = None,
) -> "PendingRequest | None":
    """Note that `process` holds a push; None if too many are held. Raises
    OSError where it cannot be noted.

    `noted`: the note of its refusal, whose id and number it keeps. It is written first and the others are
    counted then: of several that come at once, too few may wait, never too many.
    """
    folder = f"{state}/{FOLDER}"
    request = PendingRequest(
        name=f"{_name_of(requester, repository)}-{process}",
        id_=noted.id if noted is not None else _new_id(),
        at=at,
        number=noted.number if noted is not None else _new_number(),
        user=requester.user,
        credential=requester.credential.text,
        address=requester.address,
        repository=repository,
        operation="push",
        pid=process,
        started=parent_and_start(process)[1],
    )
    _make(folder)
    _write(folder, request)
    by_key = [(other.user, other.credential) for other in held(state)]
    # Many that come at once, and are about to be refused, take no more room than may wait.
    of_keys = [(key, min(by_key.count(key), MOST_HELD_OF_KEY)) for key in {*by_key}]
    of_user = sum([count for (name, _), count in of_keys if name == request.user])
    all_told = sum([count for _, count in of_keys])
    own = by_key.count((request.user, request.credential))
    if all_told > MOST_HELD or own > MOST_HELD_OF_KEY or of_user > MOST_HELD_OF_USER:
        release(state, request)
        return None
    return request


def release(state: str, request: PendingRequest) -> None:
    """The push is held no longer. Call it by the process that held it."""
    _unlink(f"{state}/{FOLDER}/{request.name}")


def held(state: str) -> "list[PendingRequest]":
    """Every push that a live process holds now, the longest first; what a dead process left is taken away."""
    folder = f"{state}/{FOLDER}"
    try:
        names = posix.listdir(folder)
    except OSError:
        return []
    found = []
    for name in names:
        if not (pid := _pid_of(name)):
            continue
        try:
            started = parent_and_start(pid)[1]
        except OSError:
            _unlink(f"{folder}/{name}")
            continue
        request = _read(folder, name)
        if request is not None and request.started == started:  # else the number names another process by now
            found.append(request)
    found.sort(key=lambda request: (request.at, request.pid))
    return found


def pending(state: str, user: str, at: int) -> "list[PendingRequest]":
    """What was noted for `user` and is kept at `at`, newest first; `held_at` is set where a push waits."""
    folder = f"{state}/{FOLDER}"
    try:
        names = _names(folder, _of_user(user))
    except OSError:
        return []
    noted = [request for name in names if (request := _read(folder, name)) is not None]
    found = [
        request
        for request in noted
        if request.user == user and request.number != DENIED and 0 <= at - request.at < KEPT_SECONDS
    ]
    if found:
        since = {request.id: request.at for request in held(state) if request.user == user}
        for request in found:
            request.held_at = since.get(request.id, 0)
    found.sort(key=lambda request: (-request.at, request.id))
    return found


def take(state: str, request: PendingRequest) -> None:
    """Take away the note of a request, which is answered. Raises OSError where it would stay."""
    try:
        posix.unlink(f"{state}/{FOLDER}/{request.name}")
    except FileNotFoundError:
        return


def deny(state: str, request: PendingRequest, at: int) -> None:
    """Hide the request from everyone; it is not noted within `DENIED_SECONDS` of `at`. Raises OSError."""
    request.number, request.at = DENIED, at
    _write(f"{state}/{FOLDER}", request)


def _is_due(there: PendingRequest, operation: str, at: int) -> bool:
    """Whether the note is written again: a push that was noted as a read at once, all else in its time."""
    age = at - there.at
    if there.number == DENIED:
        return not 0 <= age < DENIED_SECONDS
    if there.operation == "read" and operation == "push":
        return True
    return not 0 <= age < AGAIN_SECONDS.get(operation, AGAIN_READ_SECONDS)


def _has_room(folder: str, beginning: str, name: str, most: int, at: int) -> bool:
    """Whether one more may be noted; the oldest goes for it where it is old enough to be written again."""
    there = [other for other in _names(folder, beginning) if other != name]
    if len(there) < most:
        return True
    dated = [(one.at if (one := _read(folder, other)) is not None else 0, other) for other in there]
    written, oldest = min(dated)
    if at - written < AGAIN_SECONDS["push"]:
        return False
    _unlink(f"{folder}/{oldest}")
    return True


def _has_room_beside_others(folder: str, all_: str, own: str, most: int, name: str, at: int) -> bool:
    """Whether one more of those that begin with `all_` may be noted: the part of them (as long as `own`) that
    has the most makes room, and is hardly the owner's other one.
    """
    there = [other for other in _names(folder, all_) if other != name]
    if len(there) < most:
        return True
    counts: dict[str, int] = {}
    for other in there:
        counts[other[: len(own)]] = counts.get(other[: len(own)], 0) + 1
    fullest = max(counts, key=lambda part: (counts[part], part != own))
    return _has_room(folder, fullest, name, 0, at if fullest == own else at + AGAIN_SECONDS["push"])


def _new_number() -> str:
    return str(1000 + int.from_bytes(posix.urandom(4), "big") % 9000)


def _new_id() -> str:
    return posix.urandom(4).hex()


def _unlike(taken: "list[str]", draw: "Callable[[], str]") -> str:
    while (drawn := draw()) in taken:
        pass
    return drawn


def _digest(text: str, size: int) -> str:
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()


def _of_user(user: str) -> str:
    """How the names of a user's files begin."""
    return _digest(user, 6)


def _of_key(user: str, credential: str) -> str:
    """How the names of the files of one key begin."""
    return _of_user(user) + _digest(credential, 4)


def _of_place(user: str, credential: str, address: str) -> str:
    """How the names of the files of a key in one network begin."""
    return _of_key(user, credential) + _digest(f"{credential}\n{neighbours_of(address)}", 4)


def _name_of(requester: "Requester", repository: str) -> str:
    return _of_place(requester.user, requester.credential.text, requester.address) + _digest(repository, 8)


def _names(folder: str, beginning: str) -> "list[str]":
    """The files of notes that begin so; those of processes are not among them."""
    return [name for name in posix.listdir(folder) if name.startswith(beginning) and "-" not in name]


def _pid_of(name: str) -> int:
    """Whose file this is; 0 for a note."""
    return whole(name.rpartition("-")[2], _HIGHEST_PID) or 0 if "-" in name else 0


def _make(folder: str) -> None:
    try:
        posix.mkdir(folder, 0o700)
    except FileExistsError:
        return


def _write(folder: str, request: PendingRequest) -> None:
    """Whole or not at all. Raises OSError."""
    fields = (
        request.at, request.number, request.user, request.credential, request.address, request.repository,
        request.operation, request.id, request.started,
    )  # fmt: skip
    data = "\n".join([str(field) for field in fields]).encode("utf-8", "surrogateescape")
    beside = f"{folder}/.{posix.getpid()}"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC
    handle = posix.open(beside, flags, 0o600)
    try:
        written = posix.write(handle, data)
    finally:
        posix.close(handle)
    if written != len(data):
        posix.unlink(beside)
        raise OSError(errno.ENOSPC, folder)
    posix.rename(beside, f"{folder}/{request.name}")


def _read(folder: str, name: str) -> "PendingRequest | None":
    """The record in this file, None for none: one that cannot be read is nobody's request."""
    try:
        handle = posix.open(f"{folder}/{name}", posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except OSError:
        return None
    try:
        fields = posix.read(handle, 65536).decode("utf-8", "surrogateescape").split("\n")
    finally:
        posix.close(handle)
    if len(fields) != 9:
        return None
    at, number, user, credential, address, repository, operation, id_, started = fields
    at_seconds, started_ticks = whole(at, _LATEST), whole(started, _LATEST)
    if at_seconds is None or started_ticks is None:
        return None
    return PendingRequest(
        name=name, id_=id_, at=at_seconds, number=number, user=user, credential=credential, address=address,
        repository=repository, operation=operation, pid=_pid_of(name), started=started_ticks,
    )  # fmt: skip


def _unlink(path: str) -> None:
    try:
        posix.unlink(path)
    except OSError:
        return
