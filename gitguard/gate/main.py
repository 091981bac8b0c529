"""The forced command, `gitguard-shell`: decide, write one log line, then become Git or refuse.

Read this file first, then answer/connection.py. The launcher that `admin init` writes calls `main` with its
places baked in; sshd calls the launcher with the user and the key. Plain dialect: see docs/architecture.md,
"The gate's files".
"""

import _signal  # type: ignore[import-not-found]
import posix
import sys

from gitguard.answer.client import Client
from gitguard.answer.connection import serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gitguard.config.compiled import Config
    from gitguard.decision.decision import Decision
    from gitguard.store.gate_query import GateQuery


def main(config_path: str, compiled: str, hook: str) -> int:
    """Serve one connection by the launcher's three places; returns the exit status of a refusal
    or of one of our own commands.
    """
    environ = {
        key.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for key, value in posix.environ.items()
    }
    client = Client(posix.getpid(), become=_become, serve_own=_own_command)
    return serve(client, sys.argv[1:], environ, (config_path, compiled, hook))


def _become(file: str, argv: "list[str]", environment: "dict[str, str]") -> int:
    """Become it; returns never. Raises OSError."""
    # Python ignores these two; what we become, and its hooks, must find them as any program does.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    posix.execve(file, argv, environment)


def _own_command(
    decision: "Decision", id_: str, config: "Config", config_path: str, store: "GateQuery"
) -> int:
    """`ssh git@HOST` and `ssh git@HOST 2fa ...`: needs the libraries that the launcher names."""
    import gc

    gc.disable()  # loading makes no garbage, and looking for it is a tenth of what a person waits for
    from gitguard.cli.over_ssh import serve

    gc.freeze()
    gc.enable()

    return serve(decision, id_, config, config_path, store)
