"""Pending requests: what was refused for want of a verification, for its person to see and answer.

One record, `PendingRequest`, in files of one folder. A refusal notes one for each user, credential, network
and repository, kept for an hour. A gate or hook that holds a push until its person has verified has a second
file, of its process, which counts while that process lives. Files, not rows: the gate never writes the store;
where several servers share a database, the notes lie there (store/postgresql/shared_notes.py).

The id is short, so its link (RFC 8628's verification URI) fits a terminal's line; the number is for number
matching: the terminal shows it, the page asks for it. MUST: neither carries authority, and a record decides
nothing; it is looked up among its person's own alone. Plain dialect: a gate that refuses loads this file.
"""

import posix
from _blake2 import blake2b

from gitguard.machine.process import parent_and_start
from gitguard.message.reasons import Refusal
from gitguard.session.request_notes import Notes, PendingRequest
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


def note(
    notes: Notes, requester: "Requester", repository: str, operation: str, at: int
) -> "PendingRequest | None":
    """Note what was refused; None if it cannot be noted, which changes no refusal. A recent note stays."""
    try:
        return _note(notes, requester, repository, operation, at)
    except (OSError, ValueError, Refusal):
        return None


def _note(
    notes: Notes, requester: "Requester", repository: str, operation: str, at: int
) -> "PendingRequest | None":
    user, credential = requester.user, requester.credential.text
    place = _of_place(user, credential, requester.address)
    name = _name_of(requester, repository)
    there = notes.read(name)
    if there is not None and not _is_due(there, operation, at):
        return None if there.number == DENIED else there
    if not (
        _has_room(notes, place, name, MOST_OF_PLACE, at)
        and _has_room_beside_others(notes, _of_key(user, credential), place, MOST_OF_KEY, name, at)
        and _has_room_beside_others(notes, of_user(user), _of_key(user, credential), MOST_OF_USER, name, at)
    ):
        return None
    # No two of a user share a number: a thief would draw until theirs is the one in the owner's terminal.
    taken = [word for one in pending(notes, user, at) for word in (one.number, one.id)]
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
    notes.write(request)
    return request


def hold(
    notes: Notes,
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
    notes.write(request)
    by_key = [(other.user, other.credential) for other in notes.held_here()]
    # Many that come at once, and are about to be refused, take no more room than may wait.
    of_keys = [(key, min(by_key.count(key), MOST_HELD_OF_KEY)) for key in {*by_key}]
    of_user = sum([count for (name, _), count in of_keys if name == request.user])
    all_told = sum([count for _, count in of_keys])
    own = by_key.count((request.user, request.credential))
    if all_told > MOST_HELD or own > MOST_HELD_OF_KEY or of_user > MOST_HELD_OF_USER:
        release(notes, request)
        return None
    return request


def release(notes: Notes, request: PendingRequest) -> None:
    """The push is held no longer. Call it by the process that held it."""
    notes.drop(request.name)


def pending(notes: Notes, user: str, at: int) -> "list[PendingRequest]":
    """What was noted for `user` and is kept at `at`, newest first; `held_at` is set where a push waits."""
    try:
        names = notes.names(of_user(user))
    except OSError:
        return []
    noted = [request for name in names if (request := notes.read(name)) is not None]
    found = [
        request
        for request in noted
        if request.user == user and request.number != DENIED and 0 <= at - request.at < KEPT_SECONDS
    ]
    if found:
        since = {request.id: request.at for request in notes.held(at) if request.user == user}
        for request in found:
            request.held_at = since.get(request.id, 0)
    found.sort(key=lambda request: (-request.at, request.id))
    return found


def take(notes: Notes, request: PendingRequest) -> None:
    """Take away the note of a request, which is answered. Raises OSError where it would stay."""
    notes.remove(request.name)


def deny(notes: Notes, request: PendingRequest, at: int) -> None:
    """Hide the request from everyone; it is not noted within `DENIED_SECONDS` of `at`. Raises OSError."""
    request.number, request.at = DENIED, at
    notes.write(request)


def _is_due(there: PendingRequest, operation: str, at: int) -> bool:
    """Whether the note is written again: a push that was noted as a read at once, all else in its time."""
    age = at - there.at
    if there.number == DENIED:
        return not 0 <= age < DENIED_SECONDS
    if there.operation == "read" and operation == "push":
        return True
    return not 0 <= age < AGAIN_SECONDS.get(operation, AGAIN_READ_SECONDS)


def _has_room(notes: Notes, beginning: str, name: str, most: int, at: int) -> bool:
    """Whether one more may be noted; the oldest goes for it where it is old enough to be written again."""
    there = [other for other in notes.names(beginning) if other != name]
    if len(there) < most:
        return True
    dated = [(one.at if (one := notes.read(other)) is not None else 0, other) for other in there]
    written, oldest = min(dated)
    if at - written < AGAIN_SECONDS["push"]:
        return False
    notes.drop(oldest)
    return True


def _has_room_beside_others(notes: Notes, all_: str, own: str, most: int, name: str, at: int) -> bool:
    """Whether one more of those that begin with `all_` may be noted: the part of them (as long as `own`) that
    has the most makes room, and is hardly the owner's other one.
    """
    there = [other for other in notes.names(all_) if other != name]
    if len(there) < most:
        return True
    counts: dict[str, int] = {}
    for other in there:
        counts[other[: len(own)]] = counts.get(other[: len(own)], 0) + 1
    fullest = max(counts, key=lambda part: (counts[part], part != own))
    return _has_room(notes, fullest, name, 0, at if fullest == own else at + AGAIN_SECONDS["push"])


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


def of_user(user: str) -> str:
    """How the names of a user's files begin."""
    return _digest(user, 6)


def _of_key(user: str, credential: str) -> str:
    """How the names of the files of one key begin."""
    return of_user(user) + _digest(credential, 4)


def _of_place(user: str, credential: str, address: str) -> str:
    """How the names of the files of a key in one network begin."""
    return _of_key(user, credential) + _digest(f"{credential}\n{neighbours_of(address)}", 4)


def _name_of(requester: "Requester", repository: str) -> str:
    return _of_place(requester.user, requester.credential.text, requester.address) + _digest(repository, 8)
