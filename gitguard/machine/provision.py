"""Making folders and files for an installation, as root or not.

MUST: root never works below a folder that someone else may change. Where every folder on the way is root's,
root makes the new one and gives it away by its handle; anywhere else the Git account makes it itself. What is
there already keeps its owner.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import tempfile

from gitguard.machine.files import replace
from gitguard.machine.ownership import fault_on_the_way
from gitguard.machine.run_as import run_as
from gitguard.message.reasons import Refusal, machine_fault


def folder(path: str, account: str, *, owner: str, mode: int) -> bool:
    """Make the folder `path`, and those above it, for `owner` (root or the account); False if it existed."""
    if os.path.isdir(path):
        return False
    above = os.path.dirname(path)
    if not os.path.isdir(above):
        folder(above, account, owner="root", mode=0o755)
    if os.geteuid() != 0:
        _make(path, mode)
    elif fault_on_the_way(above, 0):
        run_as(account, lambda: _make(path, mode))
    else:
        _make_and_give(path, pwd.getpwnam(owner), mode)
    return True


def file(path: str, data: bytes, account: str, *, mode: int) -> bool:
    """Put `data` at `path`, as root only where root alone owns the folder;
    whether it changed. Raises Refusal.
    """
    if os.geteuid() != 0 or not fault_on_the_way(os.path.dirname(path), 0):
        return replace(path, data, mode)
    before = _read(path, account)
    run_as(account, lambda: _replace(path, data, mode))
    return before != data


def _replace(path: str, data: bytes, mode: int) -> None:
    replace(path, data, mode)


def _read(path: str, account: str) -> bytes:
    """The file's bytes as the account sees them, b"" where it sees none."""
    with tempfile.TemporaryFile() as copy:

        def read() -> None:
            with open(path, "rb") as source:
                copy.write(source.read())
                copy.flush()

        try:
            run_as(account, read)
        except Refusal:
            return b""
        copy.seek(0)
        return copy.read()


def _make(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)
    except FileExistsError:
        return
    except OSError as error:
        raise machine_fault(f"cannot make the folder {path}", error) from None


def _make_and_give(path: str, owner: pwd.struct_passwd, mode: int) -> None:
    """Under another name first: an interrupted init leaves no folder of the wrong owner in the place."""
    try:
        above = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise machine_fault(f"cannot make the folder {path}", error) from None
    name = os.path.basename(path)
    temporary = f".{name}.{os.getpid()}"
    try:
        os.mkdir(temporary, 0o700, dir_fd=above)
        handle = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        try:
            os.fchown(handle, owner.pw_uid, owner.pw_gid)
            os.fchmod(handle, mode)
        finally:
            os.close(handle)
        os.rename(temporary, name, src_dir_fd=above, dst_dir_fd=above)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.rmdir(temporary, dir_fd=above)
        raise machine_fault(f"cannot make the folder {path}", error) from None
    finally:
        os.close(above)
