"""The push check: judge today's policy for the push that the grant describes, then run the other hooks.

MUST: exit 0 only after an allowed verdict and every other hook's consent. From the grant it takes who pushes,
from where and how fresh the verification was when the gate looked, so a session that merely expired during a
long upload still counts; whether the session, the user and the key still stand is asked of the store now.
Plain dialect: see docs/architecture.md, "The gate's files".
"""

import posix

from gitguard.answer.access_log import append, line_of, new_id
from gitguard.config.compiled import Config
from gitguard.config.load import last_known, load
from gitguard.decision.decision import Decision
from gitguard.decision.push import Push, decide_push, of_push
from gitguard.decision.received import no_push, received
from gitguard.decision.updates import LONGEST_INPUT
from gitguard.message.reasons import Refusal, refusal_of
from gitguard.policy import ref_names as _  # noqa: F401 - situation.py asks for it where refs are known
from gitguard.repository.running_hook import is_running
from gitguard.session.grant import BREAK_GLASS, PUSH
from gitguard.session.moment import Moment, now
from gitguard.store.gate_query import GateQuery


def main(config_path: str, compiled: str, hook: str) -> int:
    """Check one push; 0 lets it in, any other status refuses all of its refs."""
    moment = now()
    environ = posix.environ
    decision = of_push(no_push(moment), "")
    config, store, id_ = None, None, new_id()
    try:
        data = _input()
        config = load(config_path, compiled, hook)
        posix.chdir(environ.get(b"GIT_DIR", b"."))
        directory = posix.getcwd()
        if is_running(environ, directory, data, posix.getppid()):
            return 0  # another hook of the repository started us again; the push was judged already
        decision = of_push(no_push(moment), directory)
        request, push = received(data, environ, directory, config, moment, posix.getppid())
        grant = push.grant
        if grant is not None:
            id_ = grant.decision
        decision = of_push(request, directory)
        store = GateQuery(config.store)
        decision = decide_push(request, push, config, store)
        if decision.refusal is not None and config.wait_seconds and grant is not None and grant.kind == PUSH:
            decision, config = _waited(decision, id_, config, push, (config_path, compiled, hook), store)
        if decision.refusal is None:
            if grant is not None and grant.kind == BREAK_GLASS:
                append(config, line_of(decision, id_))
            from gitguard.hook.chained import run_others

            status, which = run_others(directory, data, environ, config.uid)
            if status:
                refusal = Refusal("forbidden", f"another hook refused: {which} exited {status}")
                _log(decision.refused(refusal), config, id_)
                return status
            if which and decision.requirement.required:
                decision, config = _still(decision, push, (config_path, compiled, hook))
            if decision.refusal is None:
                if grant is not None and grant.kind == PUSH and _begins_soon(config, moment):
                    _announce(decision, config, store, moment)
                return 0
    except Exception as error:
        decision = decision.refused(refusal_of(error))
    from gitguard.answer.refuse import refuse_request

    return refuse_request(decision, id_, "", config or last_known(config_path, compiled), store)


def _waited(
    decision: Decision, id_: str, config: Config, push: Push, places: "tuple[str, str, str]", store: GateQuery
) -> "tuple[Decision, Config]":
    """The answer once its person has verified elsewhere, or the refusal; what was let in by
    waiting has a line of its own.
    """
    from gitguard.answer.hold import may_wait

    if not may_wait(decision, config, posix.environ.get(b"GIT_PROTOCOL", b"").decode("utf-8", "replace")):
        return decision, config
    from gitguard.hook.hold import wait

    store.close()
    decision, config = wait(decision, id_, config, push, places)
    if decision.refusal is None:
        append(config, line_of(decision, id_))
    return decision, config


def _still(decision: Decision, push: Push, places: "tuple[str, str, str]") -> "tuple[Decision, Config]":
    """The answer again, behind other hooks: they take what they take, in which session,
    user or key may have been ended.

    For the moment that it was given for: what merely expired meanwhile counts, as it does in a long upload.
    """
    config = load(*places)
    with GateQuery(config.store) as store:
        return decide_push(decision.request, push, config, store), config


def _announce(decision: Decision, config: Config, store: GateQuery, moment: Moment) -> None:
    """Say what begins soon. The push is judged and in: what cannot be said now stops nothing."""
    from gitguard.hook.announce import announce

    try:  # noqa: SIM105 - contextlib is too heavy here
        announce(decision, config, store, moment)
    except Exception:  # noqa: S110 - whatever it is, it is no reason to refuse
        pass


def _begins_soon(config: Config, moment: Moment) -> bool:
    """Whether any rule is not in force yet."""
    return config.policy.rules.last_since > moment.at


def _log(decision: Decision, config: Config, id_: str) -> None:
    """The other hook has spoken to the person already, so only the log hears of it here."""
    try:  # noqa: SIM105 - contextlib is too heavy here
        append(config, line_of(decision, id_))
    except Refusal:
        pass  # it is refused all the same


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
