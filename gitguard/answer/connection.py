"""One connection of a person's: decide, write one log line, then have its process become Git, or refuse.

For the gate's own process (gate/main.py), or for one that lent its streams to an agent of another account
(agent/apart.py). Plain dialect: the gate loads this file.
"""

import posix

from gitguard.answer.access_log import new_id
from gitguard.answer.client import Client
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
from gitguard.store.gate_opening import query_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gitguard.answer.client import Places


def serve(client: Client, argv: "list[str]", environ: "dict[str, str]", places: "Places") -> int:
    """Serve one connection by the launcher's three places; returns the exit status of a refusal
    or of one of our own commands.

    MUST: every path that does not become Git through `_become` ends in a non-zero status or in our own
    commands; an exception is the refusal `internal-error`.
    """
    config_path, compiled, _ = places
    request = request_of(argv, environ, now(), client.pid)
    decision = Decision(request)
    config, store, id_ = None, None, new_id()
    try:
        check_identity(request)
        config = load(*places)
        client.check(request, config)
        _check_surroundings(environ)
        store = query_of(config)
        decision = decide(request, read_command(request.line, config.pass_commands), config, store)
        if decision.refusal is not None and config.wait_seconds:
            from gitguard.answer.hold import may_wait

            if may_wait(decision, config, request.protocol):
                from gitguard.answer.hold_at_gate import wait

                store.close()
                decision, config = wait(decision, id_, config, places, client)
        if decision.refusal is None:
            if decision.command is not None and decision.command.kind == "own":
                return client.serve_own(decision, id_, config, config_path, store)
            _check_hook_runs(client, decision)
            return _become(client, decision, config, id_)
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


def _check_hook_runs(client: Client, decision: Decision) -> None:
    """Where another process becomes Git: it may see file systems that are mounted otherwise than here. Raises
    Refusal("hook-not-live").
    """
    command, directory = decision.command, decision.directory
    if not client.is_lent or command is None or command.verb != "git-receive-pack" or not directory:
        return
    from gitguard.repository.hook_file import runs_for

    if not runs_for(directory, client.pid):
        raise Refusal("hook-not-live", f"{directory}/hooks/pre-receive cannot be run where the gate runs")


def _become(client: Client, decision: Decision, config: Config, id_: str) -> int:
    """Log the allowed verdict and become Git: returns where another process does. Raises Refusal where it may
    not continue.
    """
    file, argv, environment = program(decision, config, id_, client.pid)
    log_allowed(decision, config, id_)
    if decision.says_refs_ahead(config.lifetime_seconds):
        _announce(decision, config)
    try:
        return client.become(file, argv, environment)
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
