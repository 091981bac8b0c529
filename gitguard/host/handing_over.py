"""Giving a folder of ours to another account: state and log, once the agent has an account of its own.

MUST: whoever held a file open holds nothing of what comes afterwards. The folder is given away first, so that
nobody can open anything in it any more; then each file is put anew, under its own name. What is no file and
no folder is taken away: it could only mislead. A mark of root's stands in the folder until all of it is done,
so that whoever was cut off in the middle begins again.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Callable

from gitguard.machine.files import TEMPORARY, temporary_file
from gitguard.machine.ownership import fault_on_the_way
from gitguard.machine.run_as import run_as
from gitguard.message.reasons import Refusal, machine_fault

MARK = ".giving"
_OF_A_STORE = ("-wal", "-shm")
_LEFT = (".new", ".new-wal", ".new-shm")  # of a store that was not put in place


def hand_over(folder: str, to: str, before: tuple[str, ...], renew_store: Callable[[str], None]) -> bool:
    """As root, give `folder` to the account `to` if it is one of `before`'s, or was being given; whether so.

    `renew_store` puts a store into a new file, as the account whose it is. Raises Refusal.
    """
    owner = os.lstat(folder).st_uid
    givers = {pwd.getpwnam(name).pw_uid for name in before if name != to}
    entry = pwd.getpwnam(to)
    if not (owner in givers or (owner == entry.pw_uid and os.path.lexists(f"{folder}/{MARK}"))):
        return False
    if fault := fault_on_the_way(os.path.dirname(folder), 0):
        raise Refusal(
            "usage", text=f"{folder} cannot be given to {to}: {fault}; move it below a folder of root's"
        )
    stores: list[str] = []
    try:
        _give(folder, entry, stores, top=True)
    except OSError as error:
        raise machine_fault(f"cannot give {error.filename or folder} to {to}", error) from None
    for store in stores:
        run_as(to, lambda store=store: renew_store(store))  # type: ignore[misc]
    os.unlink(f"{folder}/{MARK}")
    return True


def _give(folder: str, entry: pwd.struct_passwd, stores: list[str], *, top: bool = False) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(handle, entry.pw_uid, entry.pw_gid)
        os.fchmod(handle, 0o700)
        # From here on the folder's names are root's and the new owner's alone.
        if top and MARK not in os.listdir(handle):
            os.close(os.open(MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=handle))
        names = set(os.listdir(handle)) - {MARK}
    finally:
        os.close(handle)
    for name in sorted(names):
        path = f"{folder}/{name}"
        mode = os.lstat(path).st_mode
        of_store = next((name.removesuffix(end) for end in _OF_A_STORE if name.endswith(end)), "")
        if stat.S_ISDIR(mode):
            _give(path, entry, stores)
        elif not stat.S_ISREG(mode) or name.endswith(_LEFT) or TEMPORARY.fullmatch(name):
            os.unlink(path)
        elif f"{name}-wal" in names or of_store in names:
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
            stores += [path] if f"{name}-wal" in names else []
        else:
            _put_anew(path, stat.S_IMODE(mode), entry)


def _put_anew(path: str, mode: int, entry: pwd.struct_passwd) -> None:
    times = os.lstat(path)
    source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        target, temporary = temporary_file(os.path.dirname(path), ".given-")
        try:
            while part := os.read(source, 1 << 20):
                while part:
                    part = part[os.write(target, part) :]
            os.fchown(target, entry.pw_uid, entry.pw_gid)
            os.fchmod(target, mode)
            os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
            os.fsync(target)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(target)
    finally:
        os.close(source)
