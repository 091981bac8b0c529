"""Pending requests: what was refused for want of a verification, noted so that the web page can name it.

A note is a file in the state folder, one for each user, credential, repository and network. A request's id is random and
short, so that its link fits a line of the terminal; whoever follows it knows it, and it carries no authority: it is looked
for among one's own alone. MUST: it says nothing that decides. Written at most once a minute, for
reading once an hour: what fetches in the background costs next to nothing. Plain dialect: a gate that refuses loads this file.
"""

import posix
from _blake2 import blake2b

from gitguard.message.numbers import number as whole
from gitguard.session.scope import neighbours_of

FOLDER = "pending"  # below the state folder
KEPT_SECONDS = 3600
SHOWN_SECONDS = 600  # how long it is shown to whoever does not come by its link
MOST_OF_PLACE = 20  # of one key in one network: whoever has a copy of it elsewhere crowds out nothing here
MOST_OF_KEY = 100  # of one key, from wherever; then the network that has the most makes room
MOST_OF_USER = 400  # then the key that has the most makes room
DENIED = "denied"  # in the place of the number: it is shown to nobody
DENIED_SECONDS = 60  # and is not noted anew for so long
AGAIN_SECONDS = {"push": 60}  # how soon it is written again, and has a number of its own
AGAIN_READ_SECONDS = 3600
_LATEST = 10**11  # Unix seconds


class Asked:
    """A pending request. `at`: Unix seconds; `number`: the four digits that its terminal shows; `operation`: push, read or "".

    `name`: its file's.
    """

    __slots__ = ("address", "at", "credential", "id", "name", "number", "operation", "repository", "user")

    def __init__(
        self,
        name: str,
        id_: str,
        at: int,
        number: str,
        user: str,
        credential: str,
        address: str,
        repository: str,
        operation: str,
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


def new_number() -> str:
    """Four digits to know a request by."""
    return str(1000 + int.from_bytes(posix.urandom(4), "big") % 9000)


def note(
    state: str, user: str, credential: str, address: str, repository: str, operation: str, at: int
) -> "Asked | None":
    """The pending request, noted now or a short while ago; None where it cannot be noted: it is refused all the same."""
    try:
        return _note(state, user, credential, address, repository, operation, at)
    except (OSError, ValueError):
        return None


def _note(
    state: str, user: str, credential: str, address: str, repository: str, operation: str, at: int
) -> "Asked | None":
    folder = f"{state}/{FOLDER}"
    place = _of_place(user, credential, address)
    name = place + _digest(repository, 8)
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
    # No two of a user have one number: or a thief would draw until theirs is what the owner's terminal shows.
    taken = [word for one in pending(state, user, at) for word in (one.number, one.id)]
    # And a new id: whoever follows the link of an earlier refusal does not allow what they have not seen.
    number, id_ = new_number(), posix.urandom(4).hex()
    while number in taken:
        number = new_number()
    while id_ in taken:
        id_ = posix.urandom(4).hex()
    asked = Asked(name, id_, at, number, user, credential, address, repository, operation)
    _write(folder, asked)
    return asked


def _is_due(there: Asked, operation: str, at: int) -> bool:
    """Whether the note is written anew: a push that was noted as a read at once, all else in its time."""
    age = at - there.at
    if there.number == DENIED:
        return not 0 <= age < DENIED_SECONDS
    if there.operation == "read" and operation == "push":
        return True
    return not 0 <= age < AGAIN_SECONDS.get(operation, AGAIN_READ_SECONDS)


def _write(folder: str, asked: Asked) -> None:
    """Whole or not at all. Raises OSError."""
    fields = (
        asked.at, asked.number, asked.user, asked.credential, asked.address, asked.repository, asked.operation,
        asked.id,
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
        raise OSError("a full disk")
    posix.rename(beside, f"{folder}/{asked.name}")


def _make(folder: str) -> None:
    try:
        posix.mkdir(folder, 0o700)
    except FileExistsError:
        return


def _digest(text: str, size: int) -> str:
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()


def _of_user(user: str) -> str:
    """How the ids of a user's requests begin."""
    return _digest(user, 6)


def _of_key(user: str, credential: str) -> str:
    """How the ids of the requests of one key begin."""
    return _of_user(user) + _digest(credential, 4)


def _of_place(user: str, credential: str, address: str) -> str:
    """How the ids of the requests of a key in one network begin."""
    return _of_key(user, credential) + _digest(f"{credential}\n{neighbours_of(address)}", 4)


def _has_room(folder: str, beginning: str, name: str, most: int, at: int) -> bool:
    """Whether one more may be noted; the oldest goes for it where it is old enough to be written anew."""
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
    """Whether one more of those that begin with `all_` may be noted: the part of them (as long as `own`) that has the most
    makes room, and is hardly the owner's other one.
    """
    there = [other for other in _names(folder, all_) if other != name]
    if len(there) < most:
        return True
    counts: dict[str, int] = {}
    for other in there:
        counts[other[: len(own)]] = counts.get(other[: len(own)], 0) + 1
    fullest = max(counts, key=lambda part: (counts[part], part != own))
    return _has_room(folder, fullest, name, 0, at if fullest == own else at + AGAIN_SECONDS["push"])


def _names(folder: str, beginning: str) -> "list[str]":
    return [name for name in posix.listdir(folder) if name.startswith(beginning)]


def pending(state: str, user: str, at: int) -> "list[Asked]":
    """The pending requests of `user` that are kept at `at`, the newest first."""
    folder = f"{state}/{FOLDER}"
    try:
        names = _names(folder, _of_user(user))
    except OSError:
        return []
    found = [asked for name in names if (asked := _read(folder, name)) is not None]
    found = [
        asked
        for asked in found
        if asked.user == user and asked.number != DENIED and 0 <= at - asked.at < KEPT_SECONDS
    ]
    found.sort(key=lambda asked: (-asked.at, asked.id))
    return found


def take(state: str, asked: Asked) -> None:
    """Take the note of a request away, which is answered. Raises OSError where it would stay."""
    try:
        posix.unlink(f"{state}/{FOLDER}/{asked.name}")
    except FileNotFoundError:
        return


def deny(state: str, asked: Asked, at: int) -> None:
    """Show the request to nobody from now on; it is not noted again within `DENIED_SECONDS` of `at`. Raises OSError."""
    _write(
        f"{state}/{FOLDER}",
        Asked(
            asked.name,
            asked.id,
            at,
            DENIED,
            asked.user,
            asked.credential,
            asked.address,
            asked.repository,
            asked.operation,
        ),
    )


def _unlink(path: str) -> None:
    try:
        posix.unlink(path)
    except OSError:
        return


def _read(folder: str, name: str) -> "Asked | None":
    try:
        handle = posix.open(f"{folder}/{name}", posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except OSError:
        return None
    try:
        fields = posix.read(handle, 65536).decode("utf-8", "surrogateescape").split("\n")
    finally:
        posix.close(handle)
    at = whole(fields[0], _LATEST)
    if len(fields) != 8 or at is None:
        return None
    _, number, user, credential, address, repository, operation, tag = fields
    return Asked(name, tag, at, number, user, credential, address, repository, operation)
