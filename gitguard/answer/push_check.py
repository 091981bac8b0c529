"""The push check: judge today's policy for the push that the grant describes, then have the other hooks run.

For the hook's own process (hook/main.py), or for one that lent its streams to an agent of another account
(agent/apart.py). MUST: 0 only after an allowed verdict and every other hook's consent. From the grant
it takes who pushes, from where and how fresh the verification was when the gate looked, so a session that
merely expired during a long upload still counts; whether the session, the user and the key still stand is
asked of the store now.
Plain dialect: the hook loads this file.
"""

from gitguard.answer.access_log import append, line_of, new_id
from gitguard.answer.client import Client
from gitguard.config.compiled import Config
from gitguard.config.load import last_known, load
from gitguard.decision.decision import Decision
from gitguard.decision.push import Push, decide_push, of_push
from gitguard.decision.received import no_push, received
from gitguard.machine.process import parent_and_start
from gitguard.message.reasons import Refusal, refusal_of
from gitguard.policy import ref_names as _  # noqa: F401 - situation.py asks for it where refs are known
from gitguard.repository.running_hook import is_running
from gitguard.session.grant import BREAK_GLASS, PUSH
from gitguard.session.moment import Moment, now
from gitguard.store.gate_opening import query_of
from gitguard.store.gate_query import GateQuery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gitguard.answer.client import Places


def check(
    client: Client,
    reading: "Callable[[], bytes]",
    environ: "dict[bytes, bytes]",
    finding: "Callable[[], str]",
    places: "Places",
) -> int:
    """Check one push; 0 lets it in, any other status refuses all of its refs.

    `reading` gives all that Git says, `finding` the repository's directory; what they raise is the refusal.
    """
    moment = now()
    decision = of_push(no_push(moment), "")
    config, store, id_ = None, None, new_id()
    try:
        data = reading()
        config = load(*places)
        directory = finding()
        parent = parent_and_start(client.pid)[0]
        if is_running(environ, directory, data, parent):
            return 0  # another hook of the repository started us again; the push was judged already
        decision = of_push(no_push(moment), directory)
        request, push = received(data, environ, directory, config, moment, parent)
        grant = push.grant
        if grant is not None:
            id_ = grant.decision
        decision = of_push(request, directory)
        store = query_of(config)
        decision = decide_push(request, push, config, store)
        may_wait = config.wait_seconds and not client.asks_again
        if decision.refusal is not None and may_wait and grant is not None and grant.kind == PUSH:
            protocol = environ.get(b"GIT_PROTOCOL", b"").decode("utf-8", "replace")
            decision, config = _waited(decision, id_, config, push, places, store, protocol, client)
        if decision.refusal is None:
            if grant is not None and grant.kind == BREAK_GLASS:
                append(config, line_of(decision, id_))
            ran = client.run_others(directory, data, environ, config.uid) if client.run_others else (0, "")
            if ran is None:
                return 0  # its process runs them, and asks again
            status, which = ran
            if status:
                refusal = Refusal("forbidden", f"another hook refused: {which} exited {status}")
                _log(decision.refused(refusal), config, id_)
                return status
            if which and decision.requirement.required:
                decision, config = _still(decision, push, places)
            if decision.refusal is None:
                if grant is not None and grant.kind == PUSH and _begins_soon(config, moment):
                    _announce(decision, config, store, moment)
                return 0
    except Exception as error:
        decision = decision.refused(refusal_of(error))
    from gitguard.answer.refuse import refuse_request

    return refuse_request(decision, id_, "", config or last_known(places[0], places[1]), store)


def _waited(
    decision: Decision,
    id_: str,
    config: Config,
    push: Push,
    places: "Places",
    store: GateQuery,
    protocol: str,
    client: Client,
) -> "tuple[Decision, Config]":
    """The answer once its person has verified elsewhere, or the refusal; what was let in by
    waiting has a line of its own.
    """
    from gitguard.answer.hold import may_wait

    if not may_wait(decision, config, protocol):
        return decision, config
    from gitguard.answer.hold_at_hook import wait

    store.close()
    decision, config = wait(decision, id_, config, push, places, client)
    if decision.refusal is None:
        append(config, line_of(decision, id_))
    return decision, config


def _still(decision: Decision, push: Push, places: "Places") -> "tuple[Decision, Config]":
    """The answer again, behind other hooks: they take what they take, in which session,
    user or key may have been ended.

    For the moment that it was given for: what merely expired meanwhile counts, as it does in a long upload.
    """
    config = load(*places)
    with query_of(config) as store:
        return decide_push(decision.request, push, config, store), config


def _announce(decision: Decision, config: Config, store: GateQuery, moment: Moment) -> None:
    """Say what begins soon. The push is judged and in: what cannot be said now stops nothing."""
    from gitguard.answer.announce import announce

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
