"""Pushes that wait for their person to verify: a note for each in the state folder, so that others can see them.

A note is a file named by the gate's pid. It counts while that very process lives, by pid and start time; whoever
lists the notes takes the others away. No lock is held. Plain dialect: a gate that waits loads this file.
"""

import errno
import posix

from gitguard.machine.process import parent_and_start
from gitguard.message.numbers import number
from gitguard.session.pending import new_number

FOLDER = "waiting"  # below the state folder
MOST = 100  # of one server
MOST_OF_KEY = 5
MOST_OF_USER = 10  # so that a stolen second key keeps none of the first one's from waiting
_HIGHEST_PID = 1 << 22  # the kernel gives out none above


class Note:
    """One push that waits. `started` is its process's start time; `at` Unix seconds; `number` four digits to know it by."""

    __slots__ = ("address", "at", "credential", "number", "pid", "repository", "started", "user")

    def __init__(
        self,
        pid: int,
        started: int,
        at: int,
        number: str,
        user: str,
        credential: str,
        address: str,
        repository: str,
    ) -> None:
        self.pid = pid
        self.started = started
        self.at = at
        self.number = number
        self.user = user
        self.credential = credential
        self.address = address
        self.repository = repository


def put(
    state: str, user: str, credential: str, address: str, repository: str, at: int, number: str = ""
) -> "Note | None":
    """Note that this process waits; None if too many do. Raises OSError where it cannot be noted.

    `number`: the one that its terminal shows already, if it has one.

    The note is written first and the others are counted then: of several that come at once, too few may wait, never too many.
    """
    number = number or new_number()
    me = posix.getpid()
    note = Note(me, parent_and_start("self")[1], at, number, user, credential, address, repository)
    folder = f"{state}/{FOLDER}"
    _make(folder)
    fields = (note.started, at, number, user, credential, address, repository)
    data = "\n".join(str(field) for field in fields).encode("utf-8", "surrogateescape")
    handle = posix.open(
        f"{folder}/{me}",
        posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC,
        0o600,
    )
    try:
        written = posix.write(handle, data)
    finally:
        posix.close(handle)
    if written != len(data):
        drop(state, me)
        raise OSError(errno.ENOSPC, folder)
    by_key = [(other.user, other.credential) for other in notes(state)]
    # Whoever comes with many at once, which are about to be refused, takes no more room than may wait.
    of_keys = [(key, min(by_key.count(key), MOST_OF_KEY)) for key in {*by_key}]
    of_user = sum([count for (name, _), count in of_keys if name == user])
    all_told = sum([count for _, count in of_keys])
    if all_told > MOST or by_key.count((user, credential)) > MOST_OF_KEY or of_user > MOST_OF_USER:
        drop(state, me)
        return None
    return note


def _make(folder: str) -> None:
    try:
        posix.mkdir(folder, 0o700)
    except FileExistsError:
        return


def drop(state: str, pid: int) -> None:
    """Take the note of `pid` away, if there is one."""
    try:
        posix.unlink(f"{state}/{FOLDER}/{pid}")
    except OSError:
        return


def notes(state: str) -> "list[Note]":
    """Every push that waits now, the longest first."""
    found = []
    try:
        names = posix.listdir(f"{state}/{FOLDER}")
    except OSError:
        return []
    for name in names:
        pid = number(name, _HIGHEST_PID)
        note = read(state, pid) if pid else None
        if note is not None:
            found.append(note)
    found.sort(key=lambda note: (note.at, note.pid))
    return found


def read(state: str, pid: int) -> "Note | None":
    """The note of the live process `pid`, None if it has none; one that a dead process left is taken away."""
    try:
        handle = posix.open(f"{state}/{FOLDER}/{pid}", posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except OSError:
        return None
    try:
        fields = posix.read(handle, 65536).decode("utf-8", "surrogateescape").split("\n")
    finally:
        posix.close(handle)
    try:
        begun = parent_and_start(pid)[1]  # before the fields: half a note of a dead process goes too
        started, at, number, user, credential, address, repository = fields
        if begun == int(started):
            return Note(pid, int(started), int(at), number, user, credential, address, repository)
    except OSError:
        drop(state, pid)
    except ValueError:
        return None  # it is being written
    return None
