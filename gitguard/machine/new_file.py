"""A file that an admin names on the command line, and that stands under its name when
it is whole, and not before.

It is written without a name, or where the file system knows no such thing under one of its own beside the
place. What gives it the name has the rights of who typed, while the command itself becomes the Git account: a
process of its own that does this one thing. It goes with the command, however that ends, and takes what has
no right to stay along.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal

from gitguard.machine.user_supplied_file import rights_for
from gitguard.message.reasons import Refusal

_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


class NewFile:
    """`handle`: to write to. `keep` gives the file its name; `close` without that leaves nothing behind."""

    def __init__(self, path: str, account: str) -> None:
        """Raises Refusal("usage") if something is at `path`, or nothing can be made there."""
        self.path = os.path.abspath(path)
        self._account = account
        self._source = ""
        self._beside = f"{os.path.dirname(self.path)}/.{os.path.basename(self.path)[:200]}.{os.getpid()}.part"
        try:
            with rights_for(os.path.dirname(self.path), account):
                if os.path.lexists(self.path):
                    raise Refusal("usage", text=f"{self.path} is there already")
                self.handle = self._opened()
        except OSError as error:
            raise self._cannot(error) from None
        self._ask, self._answer, self._keeper = self._kept_by_another()

    def _cannot(self, error: OSError) -> Refusal:
        who = f" (it is written as {self._account})" if os.geteuid() == 0 else ""
        return Refusal("usage", text=f"cannot write {self.path}: {error.strerror}{who}")

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC
        if (
            os.geteuid() == os.getuid()
        ):  # with the account's rights alone root's process cannot look into its own /proc
            try:
                handle = os.open(os.path.dirname(self.path), flags | os.O_TMPFILE, 0o600)
            except OSError as error:
                if error.errno not in _NO_NAMELESS or not os.path.isdir(os.path.dirname(self.path)):
                    raise
            else:
                self._source = f"/proc/self/fd/{handle}"
                return handle
        self._source = self._beside
        return os.open(self._beside, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)

    def _kept_by_another(self) -> tuple[int, int, int]:
        """(where it is asked, where it answers, its pid)."""
        hears, ask = os.pipe()
        answer, says = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # its end is the command's
                os.close(ask)
                os.close(answer)
                self._keep(hears, says)
            os._exit(0)
        os.close(hears)
        os.close(says)
        return ask, answer, child

    def _keep(self, hears: int, says: int) -> None:
        """The other process: name the file if it is asked to; never leave the other name behind."""
        named = os.read(hears, 1) == b"k"
        with rights_for(os.path.dirname(self.path), self._account):
            try:
                if named:
                    here = os.open("/", os.O_PATH)  # only so that the link is followed
                    os.link(self._source, self.path, src_dir_fd=here, follow_symlinks=True)
                    os.write(says, b"0")
            except OSError as error:
                os.write(says, str(error.errno).encode())
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._beside)

    def keep(self) -> None:
        """What was written is whole: it stands at its path from now on. Raises Refusal."""
        os.fsync(self.handle)
        os.write(self._ask, b"k")
        said = os.read(self._answer, 20)
        if said != b"0":
            code = int(said or b"5")
            if code == errno.EEXIST:
                raise Refusal("usage", text=f"{self.path} is there already")
            raise self._cannot(OSError(code, os.strerror(code)))

    def close(self) -> None:
        """Let go of it."""
        for handle in (self.handle, self._ask, self._answer):
            os.close(handle)
        os.waitpid(self._keeper, 0)
