"""The forced command, `gitguard-shell`: decide, write one log line, then become Git or refuse.

Read this file first. The launcher that `admin init` writes calls `main` with its places baked in; sshd
calls the launcher with the user and the key. Plain dialect: see docs/architecture.md, "The gate's files".
"""

import _signal  # type: ignore[import-not-found]
import posix
import sys

from gitguard.answer.access_log import new_id
from gitguard.answer.git_process import log_allowed, program
from gitguard.config.compiled import Config
from gitguard.config.load import last_known, load
from gitguard.decision.command import read_command, verb_of
from gitguard.decision.decide import check_identity, decide
from gitguard.decision.decision import Decision
from gitguard.decision.edge import request_of
from gitguard.machine.environment import EARLY_SOURCES, early_variable
from gitguard.message.reasons import Refusal, refusal_of
from gitguard.session.moment import now
from gitguard.store.gate_query import GateQuery


def main(config_path: str, compiled: str, hook: str) -> int:
    """Serve one connection by the launcher's three places; returns the exit status of a refusal
    or of one of our own commands.

    MUST: every path that does not become Git through `_become` ends in a non-zero status or in our own
    commands; an exception is the refusal `internal-error`.
    """
    environ = {
        key.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for key, value in posix.environ.items()
    }
    request = request_of(sys.argv[1:], environ, now())
    decision = Decision(request)
    config, store, id_ = None, None, new_id()
    try:
        check_identity(request)
        config = load(config_path, compiled, hook)
        _check_surroundings(environ)
        store = GateQuery(config.store)
        decision = decide(request, read_command(request.line, config.pass_commands), config, store)
        if decision.refusal is not None and config.wait_seconds:
            from gitguard.answer.hold import may_wait

            if may_wait(decision, config, request.protocol):
                from gitguard.gate.hold import wait

                store.close()
                decision, config = wait(decision, id_, config, (config_path, compiled, hook))
        if decision.refusal is None:
            if decision.command is not None and decision.command.kind == "own":
                return _own_command(decision, id_, config, config_path, store)
            _become(decision, config, id_)
    except Exception as error:
        decision = decision.refused(refusal_of(error))
    from gitguard.answer.refuse import refuse_request

    return refuse_request(
        decision, id_, verb_of(request.line), config or last_known(config_path, compiled), store
    )


def _check_surroundings(environ: "dict[str, str]") -> None:
    """Nothing acted before us. Raises Refusal("config-invalid")."""
    if early := early_variable(environ):
        raise Refusal(
            "config-invalid", f"{early} is set before the gate starts; it comes from {EARLY_SOURCES}"
        )


def _become(decision: Decision, config: Config, id_: str) -> None:
    """Log the allowed verdict and become Git; returns never, raises Refusal where it may not continue."""
    file, argv, environment = program(decision, config, id_, posix.getpid())
    log_allowed(decision, config, id_)
    if decision.says_refs_ahead(config.lifetime_seconds):
        _announce(decision, config)
    # Python ignores these two; what we become, and its hooks, must find them as any program does.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    try:
        posix.execve(file, argv, environment)
    except OSError as error:
        raise Refusal("internal-error", f"{file}: {error.strerror}") from None


def _announce(decision: Decision, config: Config) -> None:
    """Before the upload, once a day to those without a session: which refs the hook
    would refuse, and the way out.

    Most pushes are of other refs, so it is no news at the next one; whoever pushes those
    is told exactly by the hook.
    """
    from _blake2 import blake2b

    from gitguard.answer.daily import is_news
    from gitguard.message.refusals import ServerAddress

    about = blake2b(decision.name.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    if not is_news(config.state, f"{decision.request.user}@refs-{about}", decision.request.moment.at):
        return

    refs = decision.requirement.refs
    server = ServerAddress(config.account, config.host, config.port)
    named = ", ".join([f"{ref} (rule {rule})" for ref, rule in refs[:3]])
    more = f" and {len(refs) - 3} more" if len(refs) > 3 else ""
    said = f"gitguard: pushing to {named}{more} needs 2FA; verify first: {server.ssh('verify')}\n"
    posix.write(2, said.encode("utf-8", "replace"))


def _own_command(decision: Decision, id_: str, config: Config, config_path: str, store: GateQuery) -> int:
    """`ssh git@HOST` and `ssh git@HOST 2fa ...`: needs the libraries that the launcher names."""
    import gc

    gc.disable()  # loading makes no garbage, and looking for it is a tenth of what a person waits for
    from gitguard.cli.over_ssh import serve

    gc.freeze()
    gc.enable()

    return serve(decision, id_, config, config_path, store)
