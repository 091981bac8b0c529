"""A mark against recursion: a hook of the repository that starts our hook again, inside the same push.

A dispatcher that runs everything beside itself would otherwise run us, and we it, without an
end. MUST: the mark counts only for the same updates of the same repository, below the process
that judged them. Plain dialect.
"""

import posix
from _blake2 import blake2b

from gitguard.machine.process import is_ancestor, parent_and_start

NAME = b"GITGUARD_RUNNING"


def mark(environ: "dict[bytes, bytes]", directory: str, data: bytes) -> bytes:
    """The value that other hooks get in their environment; `environ` is our own."""
    pid = posix.getpid()
    return f"{pid}:{parent_and_start(pid)[1]}:{_digest(environ, directory, data)}".encode()


def is_running(environ: "dict[bytes, bytes]", directory: str, data: bytes, parent: int) -> bool:
    """Whether this very push is being judged by `parent` or an ancestor of it; `environ`
    is that of the hook below it.
    """
    fields = environ.get(NAME, b"").decode("ascii", "replace").split(":")
    if len(fields) != 3 or not (fields[0].isdigit() and fields[1].isdigit()):
        return False
    same = fields[2] == _digest(environ, directory, data)
    return same and is_ancestor(int(fields[0]), int(fields[1]), parent)


def _digest(environ: "dict[bytes, bytes]", directory: str, data: bytes) -> str:
    quarantine = environ.get(b"GIT_QUARANTINE_PATH", b"")
    text = directory.encode("utf-8", "surrogateescape") + b"\0" + quarantine + b"\0" + data
    return blake2b(text, digest_size=16, person=b"gitguard hook").hexdigest()
