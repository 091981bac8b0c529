"""Pending requests: what was refused for want of a verification, noted so that the web page can name it.

A note is a file in the state folder, one for each user, credential, repository and network; its name is the
request's id, which carries no authority. MUST: it says nothing that decides. Written at most once a minute, for
reading once an hour: what fetches in the background costs next to nothing. Plain dialect: a gate that refuses loads this file.
"""

import posix
from _blake2 import blake2b

from gitguard.session.scope import network_of

FOLDER = "pending"  # below the state folder
KEPT_SECONDS = 3600
SHOWN_SECONDS = 600  # how long it is shown to whoever does not come by its link
MOST_OF_USER = 20
AGAIN_SECONDS = {"push": 60}  # how soon it is written again, and has a number of its own
AGAIN_READ_SECONDS = 3600


class Asked:
    """A pending request. `at`: Unix seconds; `number`: the four digits that its terminal shows; `operation`: push, read or ""."""

    __slots__ = ("address", "at", "credential", "id", "number", "operation", "repository", "user")

    def __init__(
        self,
        id_: str,
        at: int,
        number: str,
        user: str,
        credential: str,
        address: str,
        repository: str,
        operation: str,
    ) -> None:
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
) -> Asked:
    folder = f"{state}/{FOLDER}"
    id_ = _of_user(user) + _digest(f"{credential}\n{network_of(address) or address}\n{repository}", 8)
    there = _read(folder, id_)
    if there is not None and 0 <= at - there.at < AGAIN_SECONDS.get(operation, AGAIN_READ_SECONDS):
        return there
    _make(folder)
    _make_room(folder, user, id_)
    asked = Asked(id_, at, new_number(), user, credential, address, repository, operation)
    fields = (at, asked.number, user, credential, address, repository, operation)
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
    posix.rename(beside, f"{folder}/{id_}")
    return asked


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


def _make_room(folder: str, user: str, id_: str) -> None:
    """Take the user's oldest away where they have as many as are kept."""
    mine = [name for name in _names(folder, user) if name != id_]
    if len(mine) < MOST_OF_USER:
        return
    dated = sorted([(posix.stat(f"{folder}/{name}").st_mtime, name) for name in mine])
    for _, name in dated[: len(mine) - MOST_OF_USER + 1]:
        _unlink(f"{folder}/{name}")


def _names(folder: str, user: str) -> "list[str]":
    beginning = _of_user(user)
    return [name for name in posix.listdir(folder) if name.startswith(beginning)]


def pending(state: str, user: str, at: int) -> "list[Asked]":
    """The pending requests of `user` that are kept at `at`, the newest first."""
    folder = f"{state}/{FOLDER}"
    try:
        names = _names(folder, user)
    except OSError:
        return []
    found = [asked for name in names if (asked := _read(folder, name)) is not None]
    found = [asked for asked in found if asked.user == user and 0 <= at - asked.at < KEPT_SECONDS]
    found.sort(key=lambda asked: (-asked.at, asked.id))
    return found


def drop(state: str, id_: str) -> None:
    """Take the note of a request away, if there is one. `id_` as a note has it."""
    if is_id(id_):
        _unlink(f"{state}/{FOLDER}/{id_}")


def sweep(state: str, at: int) -> None:
    """Take away what is kept no longer, and what was half written."""
    folder = f"{state}/{FOLDER}"
    try:
        names = posix.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            old = not 0 <= at - int(posix.stat(f"{folder}/{name}").st_mtime) < KEPT_SECONDS
        except OSError:
            continue
        if old:
            _unlink(f"{folder}/{name}")


def is_id(text: str) -> bool:
    """Whether `text` has the form of a request's id."""
    return len(text) == 28 and all(c in "0123456789abcdef" for c in text)


def _unlink(path: str) -> None:
    try:
        posix.unlink(path)
    except OSError:
        return


def _read(folder: str, id_: str) -> "Asked | None":
    try:
        handle = posix.open(f"{folder}/{id_}", posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except OSError:
        return None
    try:
        fields = posix.read(handle, 65536).decode("utf-8", "surrogateescape").split("\n")
    finally:
        posix.close(handle)
    if len(fields) != 7 or not fields[0].isdigit():
        return None
    at, number, user, credential, address, repository, operation = fields
    return Asked(id_, int(at), number, user, credential, address, repository, operation)
