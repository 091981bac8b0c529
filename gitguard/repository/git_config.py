"""What Git reads of one setting for a repository: asked of Git itself, and only where a
file that it reads may name it.

Plain dialect: gate and hook load this file.
"""

import posix

from gitguard.machine.errand import errand

HOOKS_PATH = "core.hooksPath"
PROC_RECEIVE = "receive.procReceiveRefs"


@errand
def hooks_may_lie_elsewhere(
    directory: str, git_configs: "tuple[str, ...]", environment: "dict[str, str]"
) -> bool:
    """Whether a file that Git reads points the hooks of the repository away, or may: the files hardly ever
    name it, and whatever goes wrong counts as if they did. `git_configs`: those of system and account.
    """
    named = may_name(files_of(directory, git_configs), HOOKS_PATH)
    return named and values_of(directory, HOOKS_PATH, environment) != ()


def files_of(directory: str, others: "tuple[str, ...]") -> "tuple[str, ...]":
    """The files that Git reads for the repository in `directory`, with `others` of system and account."""
    return (*others, f"{directory}/config", f"{directory}/config.worktree")


def may_name(files: "tuple[str, ...]", key: str) -> bool:
    """Whether one of Git's configuration `files` sets `key`, or may by including another file.

    A file that is there and cannot be read counts as one that does. Source: git-config(1), FILES, "Includes".
    """
    word = key.partition(".")[2].lower().encode()
    for path in files:
        try:
            with open(path, "rb") as file:
                text = file.read().lower()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return True
        if word in text or b"include" in text:
            return True
    return False


def values_of(directory: str, key: str, environment: "dict[str, str]") -> "tuple[str, ...] | None":
    """Every value of `key` for the repository in `directory`, () for none; None where Git does not say."""
    out, into = posix.pipe()
    child = posix.fork()
    if child == 0:
        try:
            null = posix.open("/dev/null", posix.O_RDWR)
            for handle, source in ((0, null), (1, into), (2, null)):
                posix.dup2(source, handle)
            argv = ["git", "--git-dir", directory, "config", "--null", "--get-all", key]
            for folder in environment["PATH"].split(":"):
                try:
                    posix.execve(f"{folder}/git", argv, environment)
                except FileNotFoundError:
                    continue
        finally:
            posix._exit(126)  # noqa: SLF001 - its public name is in os, which the gate does not import
    posix.close(into)
    told = b""
    while part := posix.read(out, 65536):
        told += part
    posix.close(out)
    _, status = posix.waitpid(child, 0)
    code = posix.waitstatus_to_exitcode(status)
    if code == 1:
        return ()  # not set. Source: git-config(1), EXIT STATUS
    return tuple(told.decode("utf-8", "surrogateescape").split("\0")[:-1]) if code == 0 else None
