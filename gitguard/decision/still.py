"""Is what the gate let in still allowed? The same judgement as at the gate, by what a
running connection is known by.

It has no key line and no command any more: who, from where, which repository, which session, as the gate left
it in the environment of what it became. Ending what is not allowed is action/revocation.py's.
"""

from __future__ import annotations

from gitguard.config.compiled import Config
from gitguard.decision.command import Command, parse, read_command
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision, of_session
from gitguard.decision.judge import check_user, situation_of
from gitguard.decision.request import Request
from gitguard.host.connections import GATE, GIT, HELD, GateProcess
from gitguard.machine.process import seconds_since_login
from gitguard.message.reasons import WANTING, Refusal
from gitguard.policy.verdict import NEVER, Freshness
from gitguard.session.credential import BY_KEY
from gitguard.session.moment import Moment
from gitguard.session.scope import scope_of
from gitguard.store.gate_query import State
from gitguard.store.query import Query

LONGEST_FLOW_SECONDS = 6 * 3600  # protocol v2 asks again and again: what flows must come to its end some day
STANDS, EXPIRED, REFUSED = "stands", "expired", "refused"


def still_allowed(process: GateProcess, config: Config, store: Query, moment: Moment) -> str:
    """`STANDS`, `EXPIRED` (its session alone has ended, within `LONGEST_FLOW_SECONDS`) or
    `REFUSED`: today's answer to it.
    """
    try:
        if process.kind != GIT and not process.directory:
            return _answer_gate(config, store, process, moment)
        return _answer_git(config, store, process, moment)
    except Refusal:
        return REFUSED


def _answer_gate(config: Config, store: Query, process: GateProcess, moment: Moment) -> str:
    """A gate that still decides may have read the store a moment too early: it is let be to say its
    refusal, and ended if it continues.

    One that is held asks again before it continues, so a verification that is still missing ends nothing.
    """
    line = process.line if process.kind == HELD or not is_waiting(process) else "2fa help"
    age = seconds_since_login(process.pid, moment.boot_seconds) if process.login_counts else None
    request = Request(
        user=process.user,
        credential=process.credential,
        address=process.address,
        line=line,
        moment=moment,
        downstream=process.downstream,
        login_age=age,
    )
    refusal = decide(request, read_command(line, config.pass_commands), config, store).refusal
    if refusal is None or (process.kind == HELD and refusal.reason in WANTING):
        return STANDS
    return REFUSED


def _answer_git(config: Config, store: Query, process: GateProcess, moment: Moment) -> str:
    decision = Decision(
        Request(
            user=process.user,
            credential=process.credential,
            address=process.address,
            line=None,
            moment=moment,
        )
    )
    scope = scope_of(config.scope, process.credential, process.address)
    decision.state = state = store.state(
        process.user, process.credential, scope, directory=process.directory, name=process.repository
    )
    check_user(state, process.user, process.credential)
    if process.directory and state.name != process.repository:
        return REFUSED  # renamed or forgotten since
    decision.name, decision.directory = process.repository, process.directory
    decision.command = Command(
        "git" if process.repository else "pass",
        "git-receive-pack" if process.operation == "push" else "",
        operation=process.operation,
        repository=process.repository,
    )
    lifetime = config.policy.demands(situation_of(decision, config, store)).lifetime_seconds
    if lifetime is None:
        return STANDS
    freshness = (
        _of_login(config, state, process, moment) if process.session == BY_KEY else of_session(state, moment)
    )
    if process.session == 0 or freshness.session != process.session or freshness.age_seconds is None:
        return REFUSED
    if freshness.lasts(lifetime):
        return STANDS
    if freshness.limit_seconds is not None:
        lifetime = min(lifetime, freshness.limit_seconds)
    return EXPIRED if 0 <= freshness.age_seconds < lifetime + LONGEST_FLOW_SECONDS else REFUSED


def _of_login(config: Config, state: State, process: GateProcess, moment: Moment) -> Freshness:
    """How long ago the hardware key of `process` logged in, while that counts: as
    long as its connection lives.
    """
    if not config.hardware_keys or not state.key_verify_required:
        return NEVER
    age = seconds_since_login(process.began, moment.boot_seconds)
    return NEVER if age is None else Freshness(BY_KEY, age, None)


def is_waiting(process: GateProcess) -> bool:
    """Whether `process` is a push that waits, or serves a command of our own, perhaps at its prompt.

    By the gate's own parser, whatever its quoting.
    """
    if process.kind == HELD:
        return True
    try:
        return process.kind == GATE and parse(process.line).kind == "own"
    except Refusal:
        return False
