"""A request served whole for a client that cannot decide: the very course of gate and hook, on its streams.

Where the store is the agent's alone (another account's, or a database) nobody else can decide: refusals,
waits, announcements and commands of ours are the agent's to say, in a process of its own for each. The client
becomes Git, or runs the repository's other hooks, when it is told to.
"""

from __future__ import annotations

from collections.abc import Callable

from gitguard.agent.answering import OTHERS
from gitguard.agent.carrier import BYTES_A_SECOND, OF_A_COMMAND_SECONDS, OF_A_DECISION_SECONDS, HelperCarrier
from gitguard.agent.connection import check_connection
from gitguard.agent.lent import Lent
from gitguard.agent.resident import Resident
from gitguard.answer import connection, push_check
from gitguard.answer.access_log import new_id
from gitguard.answer.client import Client
from gitguard.answer.refuse import refuse_request
from gitguard.config.cache import SettingsCache
from gitguard.config.compiled import Config
from gitguard.config.load import last_known, load
from gitguard.decision.command import quote, read_command
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision
from gitguard.decision.request import Request
from gitguard.machine.errand import carrier
from gitguard.message.reasons import Refusal, refusal_of
from gitguard.repository.chained_hooks import others_fault, to_run
from gitguard.session.credential import Credential, account_of
from gitguard.session.leaders import Place
from gitguard.session.moment import now
from gitguard.store.gate_opening import query_of
from gitguard.store.gate_query import GateQuery

ServeOwn = Callable[[Decision, str, Config, str, GateQuery, int, SettingsCache], int]  # cli/over_ssh.py


def serve_gate(
    lent: Lent,
    words: list[str],
    environ: dict[bytes, bytes],
    asker: Place,
    resident: Resident,
    serve_own: ServeOwn,
) -> int:
    """One connection that `asker` is the gate of; the exit status, 0 where it has become Git."""
    process = asker.pid
    _wait_for_errands(OF_A_DECISION_SECONDS)

    def own(decision: Decision, id_: str, config: Config, path: str, store: GateQuery) -> int:
        _wait_for_errands(OF_A_COMMAND_SECONDS)
        return serve_own(decision, id_, config, path, store, process, resident.settings)

    def check(request: Request, config: Config) -> None:
        check_connection(request, asker, config)

    client = Client(process, become=lent.become, serve_own=own, check=check, rest=_rest, is_lent=True)
    variables = {_text(name): _text(value) for name, value in environ.items()}
    return connection.serve(client, words, variables, resident.places.of_gate)


def serve_account(words: list[str], uid: int, process: int, resident: Resident, serve_own: ServeOwn) -> int:
    """A command of ours that a person typed in a shell of their own account: who they are the kernel says."""
    _wait_for_errands(OF_A_DECISION_SECONDS)
    credential = account_of(uid)
    line = " ".join(["2fa", *map(quote, words)])
    decision = Decision(Request(user="", credential=credential, address="", line=line, moment=now()))
    config, id_ = None, new_id()
    try:
        config = load(*resident.places.of_gate)
        store = query_of(config)
        user = _owner(store, credential)
        request = Request(user=user, credential=credential, address="", line=line, moment=now())
        decision = decide(request, read_command(line, ()), config, store)
        if decision.refusal is None:
            _wait_for_errands(OF_A_COMMAND_SECONDS)
            return serve_own(decision, id_, config, config.path, store, process, resident.settings)
    except Exception as error:
        decision = decision.refused(refusal_of(error))
    return refuse_request(decision, id_, "", config or last_known(*resident.places.of_gate[:2]), None)


def _owner(store: GateQuery, credential: Credential) -> str:
    user = store.owner(credential.text)
    if user is None:
        text = "this account of the server is no user's; ask your server admin"
        raise Refusal("no-identity", f"{credential.text} is no user's", text=text)
    return user


def serve_hook(
    lent: Lent,
    words: list[str],
    environ: dict[bytes, bytes],
    process: int,
    resident: Resident,
    read: Callable[[], bytes],
    find: Callable[[], str],
) -> int:
    """One push that `process` is the hook of; 0 lets it in, or has the process run the other hooks first.

    `read`, `find`: as for `push_check.check`.
    """
    said = _said(words)

    def others(directory: str, _: bytes, __: dict[bytes, bytes], uid: int) -> tuple[int, str] | None:
        if said is not None:
            return said
        if fault := others_fault(directory, uid):
            raise Refusal("hook-not-live", fault)
        if not to_run(directory):
            return 0, ""
        lent.run_others()
        return None

    client = Client(process, run_others=others, rest=_rest, is_lent=True, asks_again=said is not None)

    def read_and_wait() -> bytes:
        data = read()
        _wait_for_errands(OF_A_DECISION_SECONDS + len(data) / BYTES_A_SECOND)
        return data

    return push_check.check(client, read_and_wait, environ, find, resident.places.of_gate)


def _wait_for_errands(seconds: float) -> None:
    helper = carrier()
    if isinstance(helper, HelperCarrier):
        helper.seconds = seconds


def _rest() -> None:
    """A push that waits keeps none of the helper's connections."""
    helper = carrier()
    if isinstance(helper, HelperCarrier):
        helper.forget()


def _said(words: list[str]) -> tuple[int, str] | None:
    """(status, hook) of the other hooks that have run; None where they have not. Raises Refusal."""
    if words[:1] != [OTHERS]:
        return None
    if len(words) != 3 or not words[1].isdigit() or len(words[1]) > 3:
        raise Refusal("malformed-command", "what the other hooks said is not understood")
    return int(words[1]), words[2]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
