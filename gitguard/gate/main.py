"""The forced command, `gitguard-shell`: decide, write one log line, then become Git or refuse.

Read this file first. The launcher that `admin init` writes calls `main` with its places baked in; sshd
calls the launcher with the user and the key. Plain dialect: see docs/architecture.md, "The gate's files".
"""

import _signal  # type: ignore[import-not-found]
import posix
import sys

from gitguard.answer.access_log import append, line_of, new_id
from gitguard.config.load import last_known
from gitguard.decision.command import verb_of
from gitguard.decision.decide import Decision, decide
from gitguard.gate.downstream import program
from gitguard.gate.edge import request_of
from gitguard.machine.environment import EARLY_SOURCES, early_variable
from gitguard.message.reasons import Refusal, told_of
from gitguard.session.moment import now


def main(config: str, compiled: str, hook: str) -> int:
    """Serve one connection by the launcher's three places; returns the exit status of a refusal or of one of our own commands.

    MUST: every path that does not become Git through `_become` ends in a non-zero status or in our own
    commands; an exception is the refusal `internal-error`.
    """
    environ = {
        key.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for key, value in posix.environ.items()
    }
    request = request_of(sys.argv[1:], environ, now())
    decision = Decision(request)
    id_ = new_id()
    try:
        early = early_variable(environ)
        fault = f"{early} is set before the gate starts; it comes from {EARLY_SOURCES}" if early else ""
        decision = decide(request, (config, compiled, hook), faults=fault)
        if decision.refusal is None:
            if decision.command is not None and decision.command.kind == "own":
                return _own_command(decision, config, id_)
            _become(decision, id_)
    except Refusal as refusal:
        decision.refusal = refusal
    except Exception as error:
        decision.refusal = Refusal("internal-error", told_of(error))
    if decision.config is None:
        decision.config = last_known(config, compiled)
    from gitguard.answer.telling import tell_refusal

    return tell_refusal(decision, id_, verb_of(request.line))


def _become(decision: Decision, id_: str) -> None:
    """Log the allowed verdict and become Git; returns never, raises Refusal where it may not go on."""
    config, verdict = decision.config, decision.verdict
    if config is None or verdict is None or not verdict.allowed:
        raise Refusal("internal-error", "allowed without a verdict")
    file, argv, environment = program(decision, config, id_)
    if not posix.access(file, posix.X_OK):
        raise Refusal("internal-error", f"{file} cannot be run")
    try:
        append(config, line_of(decision, id_))
    except Refusal:
        # What demands no proof may go on unlogged; what does must be explainable afterwards.
        if decision.requirement.required:
            raise
    # Python ignores these two; what we become, and its hooks, must find them as any program does.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    try:
        posix.execve(file, argv, environment)
    except OSError as error:
        raise Refusal("internal-error", f"{file}: {error.strerror}") from None


def _own_command(decision: Decision, config_path: str, id_: str) -> int:
    """`ssh git@HOST` and `ssh git@HOST 2fa ...`: needs the libraries that the launcher names."""
    from gitguard.cli.over_ssh import serve

    return serve(decision, config_path, id_)
