"""Files that an admin names on the command line, opened with the rights that the way to them deserves.

MUST: root follows nobody else. Where someone other than root, or than the person who typed
through sudo, could put something else in the way, the file is opened as the Git account, which
could have read or written it anyway.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from gitguard.message.numbers import number
from gitguard.message.reasons import Refusal

_OTHERS_WRITE = 0o022
_MOST_LINKS = 40  # as many as the kernel follows


def read_as_caller(path: str, account: str, most: int) -> bytes:
    """The file at `path`, whole; `-` is stdin. Raises Refusal("usage") naming it, for one
    of more than `most` bytes too.

    A bound refuses, it never cuts: the rest of a list would be people who were never looked at.
    """
    if path == "-":
        return _bounded(sys.stdin.buffer.read(most + 1), "stdin", most)
    try:
        with rights_for(path, account):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                os.set_blocking(handle, True)  # a pipe, as of <(...)
            return _bounded(file.read(most + 1), path, most)
    except OSError as error:
        raise Refusal("usage", text=f"cannot read {path}: {error.strerror}") from None


def _bounded(data: bytes, path: str, most: int) -> bytes:
    if len(data) > most:
        raise Refusal("usage", text=f"{path} is longer than {most >> 20} MiB; nothing was done")
    return data


@contextmanager
def open_as_caller(path: str, account: str) -> Iterator[BinaryIO]:
    """The file at `path`, opened to be read in parts; `-` is stdin. Raises Refusal("usage") naming it."""
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        with rights_for(path, account):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Refusal("usage", text=f"cannot read {path}: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise Refusal("usage", text=f"cannot read {path}: it is a folder")
        os.set_blocking(handle, True)
        yield file


@contextmanager
def rights_for(path: str, account: str) -> Iterator[None]:
    """As root, the account's rights where the way to `path` is not root's or the typing person's own."""
    if os.geteuid() != 0 or _is_own_way(os.path.abspath(path)):
        yield
        return
    entry = pwd.getpwnam(account)
    groups = os.getgroups()
    os.setgroups([entry.pw_gid])
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _is_own_way(path: str) -> bool:
    """Whether everything on the way to `path`, each link and what it leads over, belongs to root or the
    person at the keyboard alone.
    """
    trusted = {0}
    if (typed_by := number(os.environ.get("SUDO_UID", ""), 1 << 32)) is not None:
        trusted.add(typed_by)
    current, links = "/", 0
    parts = path.split("/")
    while parts:
        part = parts.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            current = os.path.dirname(current)
            continue
        current = os.path.join(current, part)
        try:
            entry = os.lstat(current)
            if entry.st_uid not in trusted:
                return False
            if stat.S_ISLNK(entry.st_mode):
                # Each link is walked where it leads, so one in the middle of a chain is looked at as well.
                links += 1
                parts = os.readlink(current).split("/") + parts
                current = "/" if os.path.isabs(os.readlink(current)) else os.path.dirname(current)
                if links > _MOST_LINKS:
                    return False
                continue
        except OSError:
            return False
        sticky = entry.st_mode & stat.S_ISVTX and entry.st_uid == 0
        if entry.st_mode & _OTHERS_WRITE and not sticky:
            return False
    return True
