"""Writing files so that a crash leaves the old one or the new one, and nobody else can read a secret."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from gitguard.message.reasons import Refusal, machine_fault

TEMPORARY = re.compile(r"\.[^/]+-[0-9a-f]{16}")  # a name that `temporary_file` gives, and hardly anyone else


def temporary_file(folder: str, prefix: str) -> tuple[int, str]:
    """(handle, path) of a new file, 0600, under a name that nobody had. Raises OSError.

    As tempfile.mkstemp, whose modules are 2 ms of every login that writes one.
    """
    path = f"{folder}/{prefix}{os.urandom(8).hex()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), path


def replace(path: str, data: bytes, mode: int) -> bool:
    """Put `data` at `path` in one step, by rename within its folder; False if it was there already.

    Raises Refusal("store-unavailable") that names the file or folder which cannot
    be written: a machine's fault.
    """
    try:
        with open(path, "rb") as file:
            same = file.read() == data and os.fstat(file.fileno()).st_mode & 0o7777 == mode
        if same:
            return False
    except OSError:
        pass  # not there or not readable: written again below, which says so if it cannot be
    _put(path, data, mode)
    return True


def replace_like(path: str, data: bytes, like: os.stat_result) -> None:
    """Put `data` at `path` in one step, with owner and mode as in `like`. Raises Refusal as `replace`."""
    _put(path, data, like.st_mode & 0o7777, owner=like if os.geteuid() == 0 else None)


def put_quietly(path: str, data: bytes) -> bool:
    """Put `data` at `path` in one step, 0600; False where that cannot be, which stops nothing."""
    try:
        handle, temporary = temporary_file(os.path.dirname(path), ".quiet-")
    except OSError:
        return False
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return False
    return True


def _put(path: str, data: bytes, mode: int, owner: os.stat_result | None = None) -> None:
    folder = os.path.dirname(path)
    try:
        handle, temporary = temporary_file(folder, f".{os.path.basename(path)[:100]}-")
    except OSError as error:
        raise machine_fault(f"cannot write in the folder {folder}, for {path}", error) from None
    try:
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), mode)
                if owner is not None:
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise machine_fault(f"cannot write {path}", error) from None


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock file at `path`: admin commands that touch files take turns."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refusal("store-unavailable", f"{path}: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
