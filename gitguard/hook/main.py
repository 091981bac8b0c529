"""The push check as Git starts it: answer/push_check.py for this very process.

MUST: exit 0 only after an allowed verdict and every other hook's consent. Plain dialect: see
docs/architecture.md, "The gate's files".
"""

import posix

from gitguard.answer.client import Client
from gitguard.answer.push_check import check
from gitguard.decision.updates import LONGEST_INPUT
from gitguard.message.reasons import Refusal


def main(config_path: str, compiled: str, hook: str) -> int:
    """Check one push; 0 lets it in, any other status refuses all of its refs."""
    client = Client(posix.getpid(), run_others=_run_others)
    return check(client, _input, posix.environ, _directory, (config_path, compiled, hook))


def _run_others(
    directory: str, data: bytes, environ: "dict[bytes, bytes]", uid: int
) -> "tuple[int, str] | None":
    from gitguard.answer.chained import run_others

    return run_others(directory, data, environ, uid)


def _directory() -> str:
    """The repository's, in which we are from here on. Raises OSError."""
    posix.chdir(posix.environ.get(b"GIT_DIR", b"."))
    return posix.getcwd()


def _input() -> bytes:
    """All that Git has to say, bounded. Raises Refusal("malformed-command")."""
    parts = []
    length = 0
    while part := posix.read(0, 1 << 20):
        length += len(part)
        if length > LONGEST_INPUT:
            raise Refusal("malformed-command", "the hook's input is too long")
        parts.append(part)
    return b"".join(parts)
