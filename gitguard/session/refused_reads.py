"""Reads that were refused within the last minute, by whom, from where, of which repository: a
push behind one does not wait.

`git ls-remote || git push --force` takes a refusal for an empty repository. A mark is an empty file in the
state folder, as old as the refusal. MUST: where the marks of a key cannot be kept, none of its pushes waits.
Plain dialect: a gate that refuses loads this file.
"""

import posix
from _blake2 import blake2b

from gitguard.session.scope import neighbours_of

FOLDER = "refused-reads"  # below the state folder
COUNTS_SECONDS = 60
MOST_OF_KEY = 200
# of a read that was refused before anyone knew which repository it is, or for a
# reason that may be gone by now
ANY = ""
_FULL = "full"


def note(state: str, user: str, credential: str, address: str, repository: str, at: int) -> None:
    """A read was refused. Call it before the client hears of it."""
    folder, of_key = f"{state}/{FOLDER}", _digest(f"{user}\n{credential}", 6)
    try:
        _make(folder)
        name = of_key + _about(address, repository)
        if len([one for one in posix.listdir(folder) if one.startswith(of_key)]) >= MOST_OF_KEY:
            name = of_key + _FULL
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_CLOEXEC
        handle = posix.open(f"{folder}/{name}", flags, 0o600)
        try:
            posix.utime(handle, (at, at))
        finally:
            posix.close(handle)
    except OSError:
        return  # a full disk, on which no push can wait either


def _make(folder: str) -> None:
    try:
        posix.mkdir(folder, 0o700)
    except FileExistsError:
        return


def was_refused(state: str, user: str, credential: str, address: str, repository: str, at: int) -> bool:
    """Whether such a read was refused within `COUNTS_SECONDS` before `at`; yes where that cannot be known."""
    of_key = _digest(f"{user}\n{credential}", 6)
    return any(
        _is_recent(f"{state}/{FOLDER}/{of_key}{name}", at)
        for name in (_about(address, repository), _about(address, ANY), _FULL)
    )


def _is_recent(path: str, at: int) -> bool:
    try:
        return abs(at - int(posix.stat(path).st_mtime)) <= COUNTS_SECONDS
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _about(address: str, repository: str) -> str:
    return _digest(f"{neighbours_of(address)}\n{repository}", 10)


def _digest(text: str, size: int) -> str:
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()
