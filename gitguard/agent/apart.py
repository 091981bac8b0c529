"""A request served whole for a client of another account: the very course of gate and hook, on its streams.

Where the agent has an account of its own nobody else can decide: refusals, waits, announcements and commands
of ours are the agent's to say, in a process of its own for each. The client becomes Git, or runs the
repository's other hooks, when it is told to.
"""

from __future__ import annotations

from collections.abc import Callable

from gitguard.agent.answering import OTHERS
from gitguard.agent.carrier import OF_A_COMMAND_SECONDS, OF_A_DECISION_SECONDS, HelperCarrier
from gitguard.agent.lent import Lent
from gitguard.agent.resident import Resident
from gitguard.answer import connection, push_check
from gitguard.answer.client import Client
from gitguard.config.cache import SettingsCache
from gitguard.config.compiled import Config
from gitguard.decision.decision import Decision
from gitguard.machine.errand import carrier
from gitguard.message.reasons import Refusal
from gitguard.repository.chained_hooks import others_fault, to_run
from gitguard.store.gate_query import GateQuery

ServeOwn = Callable[[Decision, str, Config, str, GateQuery, int, SettingsCache], int]  # cli/over_ssh.py


def serve_gate(
    lent: Lent,
    words: list[str],
    environ: dict[bytes, bytes],
    process: int,
    resident: Resident,
    serve_own: ServeOwn,
) -> int:
    """One connection that `process` is the gate of; the exit status, 0 where it has become Git."""
    _wait_for_errands(OF_A_DECISION_SECONDS)

    def own(decision: Decision, id_: str, config: Config, path: str, store: GateQuery) -> int:
        _wait_for_errands(OF_A_COMMAND_SECONDS)
        return serve_own(decision, id_, config, path, store, process, resident.settings)

    client = Client(process, become=lent.become, serve_own=own, is_lent=True)
    variables = {_text(name): _text(value) for name, value in environ.items()}
    return connection.serve(client, words, variables, resident.places.of_gate)


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
    _wait_for_errands(OF_A_DECISION_SECONDS)
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

    client = Client(process, run_others=others, is_lent=True)
    return push_check.check(client, read, environ, find, resident.places.of_gate)


def _wait_for_errands(seconds: float) -> None:
    helper = carrier()
    if isinstance(helper, HelperCarrier):
        helper.seconds = seconds


def _said(words: list[str]) -> tuple[int, str] | None:
    """(status, hook) of the other hooks that have run; None where they have not. Raises Refusal."""
    if words[:1] != [OTHERS]:
        return None
    if len(words) != 3 or not words[1].isdigit() or len(words[1]) > 3:
        raise Refusal("malformed-command", "what the other hooks said is not understood")
    return int(words[1]), words[2]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
