"""The repository's other pre-receive hooks: run after ours, in name order, the first failure stops.

Each gets the input that Git gave us and an environment without the grant.
"""

import _signal  # type: ignore[import-not-found]
import posix
from _stat import S_ISREG

from gitguard.host.ownership import fault_of
from gitguard.message.reasons import Refusal
from gitguard.session.grant import ENVIRONMENT_NAME


def run_others(directory: str, data: bytes, environ: "dict[bytes, bytes]", uid: int) -> int:
    """0 if every executable file in hooks/pre-receive.d consents, else the first one's status.

    Raises Refusal("hook-not-live") for one that others may write, or that cannot be started.
    """
    folder = directory + "/hooks/pre-receive.d"
    try:
        names = sorted(posix.listdir(folder))
    except FileNotFoundError:
        return 0
    if fault := fault_of(posix.lstat(folder), folder, uid):
        raise Refusal("hook-not-live", fault)
    environment = {name: value for name, value in environ.items() if name != ENVIRONMENT_NAME.encode()}
    for name in names:
        path = f"{folder}/{name}"
        try:
            entry = posix.stat(path)
        except OSError as error:
            raise Refusal("hook-not-live", f"{path}: {error.strerror}") from None
        if name[0] == "." or not S_ISREG(entry.st_mode) or not posix.access(path, posix.X_OK):
            continue
        if fault := fault_of(entry, path, uid):
            raise Refusal("hook-not-live", fault)
        if status := _run(path, data, environment):
            return status
    return 0


def _run(path: str, data: bytes, environment: "dict[bytes, bytes]") -> int:
    """Run one hook with `data` on its stdin; its exit status, 128 + n if signal n ended it."""
    reading, writing = posix.pipe()
    child = posix.fork()
    if child == 0:
        try:
            _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)  # Python ignores these; a hook must not
            _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
            posix.dup2(reading, 0)
            posix.close(reading)
            posix.close(writing)
            posix.execve(path, [path], environment)
        except OSError as error:
            posix.write(2, f"gitguard: {path}: {error.strerror}\n".encode("utf-8", "replace"))
        finally:
            posix._exit(126)  # noqa: SLF001 - its public name is in os, which the hook does not import
    posix.close(reading)
    try:
        while data:
            data = data[posix.write(writing, data) :]
    except BrokenPipeError:
        pass  # a hook may decide without reading; Git allows that too
    finally:
        posix.close(writing)
    _, status = posix.waitpid(child, 0)
    return posix.waitstatus_to_exitcode(status) if posix.WIFEXITED(status) else 128 + posix.WTERMSIG(status)
