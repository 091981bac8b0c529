"""The repository's other pre-receive hooks, run after ours: the one that was kept, then
pre-receive.d in name order.

Each gets the input that Git gave us and an environment without the grant; the first failure stops. What is
kept and how it is judged: gitguard/repository/chained_hooks.py.
"""

import _signal  # type: ignore[import-not-found]
import posix

from gitguard.message.reasons import Refusal
from gitguard.repository.chained_hooks import others_fault, to_run
from gitguard.repository.running_hook import NAME, mark
from gitguard.session.grant import ENVIRONMENT_NAME

_ENOEXEC = 8


def run_others(directory: str, data: bytes, environ: "dict[bytes, bytes]", uid: int) -> "tuple[int, str]":
    """(0, the last one's path below `directory`, "" where there is none) if every other hook consents, else
    (the first one's status that does not, its path).

    Raises Refusal("hook-not-live") for one that others may write, or that cannot be started.
    """
    # Asked first: a link that leads nowhere cannot be run as a hook, and must not pass for having none.
    if fault := others_fault(directory, uid):
        raise Refusal("hook-not-live", fault)
    paths = to_run(directory)
    if not paths:
        return 0, ""
    environment = {name: value for name, value in environ.items() if name != ENVIRONMENT_NAME.encode()}
    environment[NAME] = mark(environ, directory, data)
    for path in paths:
        if status := _run(path, data, environment):
            return status, path
    return 0, paths[-1]


def _run(path: str, data: bytes, environment: "dict[bytes, bytes]") -> int:
    """Run one hook with `data` on its stdin; its exit status, 128 + n if signal n ended it.

    `path` is relative to the repository, as Git would name it; a file without `#!` is given to sh, as by Git.
    """
    reading, writing = posix.pipe()
    child = posix.fork()
    if child == 0:
        try:
            _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)  # Python ignores these; a hook must not
            _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
            posix.dup2(reading, 0)
            posix.close(reading)
            posix.close(writing)
            try:
                posix.execve(path, [path], environment)
            except OSError as error:
                if error.errno != _ENOEXEC:
                    raise
            posix.execve("/bin/sh", ["sh", path], environment)
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
