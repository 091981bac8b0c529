"""One pending request, and where such are kept: files of one folder, whole or not there. Plain dialect: a
gate that refuses loads this file.
"""

import errno
import posix

from gitguard.machine.process import parent_and_start
from gitguard.message.numbers import number as whole

FOLDER = "pending"  # below the state folder
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


class Notes:
    """Where notes are kept: files of one folder below `state`."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state

    def names(self, beginning: str) -> "list[str]":
        """The notes whose names begin so; those of processes are not among them. Raises OSError."""
        try:
            names = posix.listdir(self._folder)
        except FileNotFoundError:
            return []  # nothing was ever noted here
        return [name for name in names if name.startswith(beginning) and "-" not in name]

    def read(self, name: str) -> "PendingRequest | None":
        """The note of this name, None for none: one that cannot be read is nobody's request."""
        return _read(self._folder, name)

    def write(self, request: PendingRequest) -> None:
        """Keep it, whole or not at all. Raises OSError."""
        _make(self._folder)
        _write(self._folder, request)

    def remove(self, name: str) -> None:
        """Take it away, also where it is gone. Raises OSError where it would stay."""
        try:
            posix.unlink(f"{self._folder}/{name}")
        except FileNotFoundError:
            return

    def held_here(self) -> "list[PendingRequest]":
        """Every push that a live process of this server holds now, the longest first; what a dead process
        left is taken away.
        """
        try:
            names = posix.listdir(self._folder)
        except OSError:
            return []
        found = []
        for name in names:
            if not (pid := _pid_of(name)):
                continue
            try:
                started = parent_and_start(pid)[1]
            except OSError:
                self.drop(name)
                continue
            request = _read(self._folder, name)
            if request is not None and request.started == started:  # else the number is another process's
                found.append(request)
        found.sort(key=lambda request: (request.at, request.pid))
        return found

    def held(self, at: int) -> "list[PendingRequest]":  # noqa: ARG002 - for notes that others keep as well
        """Every push that waits at `at`, on whichever server."""
        return self.held_here()

    def drop(self, name: str) -> None:
        """Take it away, if that is possible."""
        try:
            self.remove(name)
        except OSError:
            return

    @property
    def _folder(self) -> str:
        return f"{self.state}/{FOLDER}"


def _make(folder: str) -> None:
    try:
        posix.mkdir(folder, 0o700)
    except FileExistsError:
        return


def _pid_of(name: str) -> int:
    """Whose file this is; 0 for a note."""
    return whole(name.rpartition("-")[2], _HIGHEST_PID) or 0 if "-" in name else 0


def written(request: PendingRequest) -> bytes:
    """The record as it is kept."""
    fields = (
        request.at, request.number, request.user, request.credential, request.address, request.repository,
        request.operation, request.id, request.started,
    )  # fmt: skip
    return "\n".join([str(field) for field in fields]).encode("utf-8", "surrogateescape")


def _write(folder: str, request: PendingRequest) -> None:
    """Whole or not at all. Raises OSError."""
    data = written(request)
    beside = f"{folder}/.{posix.getpid()}"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC
    handle = posix.open(beside, flags, 0o600)
    try:
        size = posix.write(handle, data)
    finally:
        posix.close(handle)
    if size != len(data):
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
        data = posix.read(handle, 65536)
    finally:
        posix.close(handle)
    return read_back(name, data)


def read_back(name: str, data: bytes) -> "PendingRequest | None":
    """The record that was kept as `data` under `name`; None for what is none."""
    fields = data.decode("utf-8", "surrogateescape").split("\n")
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
