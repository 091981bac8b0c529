"""Is what the gate let in still allowed? The same judgement as at the gate, by what a running connection is known by.

It has no key line and no command any more: who, from where, which repository, which session, as the gate left it in the
environment of what it became. Ending what is not allowed is action/judge_again.py's.
"""

from __future__ import annotations

from gitguard.config.compiled import Config
from gitguard.decision.command import Command, parse
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision, of_session
from gitguard.decision.judge import check_user, situation_of
from gitguard.decision.request import Request
from gitguard.host.riding import GATE, GIT, HELD, Rider
from gitguard.machine.process import seconds_since_login
from gitguard.message.reasons import WANTING, Refusal
from gitguard.policy.verdict import NEVER, Freshness
from gitguard.session.credential import BY_KEY
from gitguard.session.moment import Moment
from gitguard.session.scope import scope_of
from gitguard.store.gate_query import GateQuery, State

LONGEST_FLOW_SECONDS = 6 * 3600  # protocol v2 asks again and again: what flows must come to its end some day
STANDS, EXPIRED, REFUSED = "stands", "expired", "refused"


def still_allowed(rider: Rider, config: Config, store: GateQuery, moment: Moment) -> str:
    """`STANDS`, `EXPIRED` (its session alone has ended, within `LONGEST_FLOW_SECONDS`) or `REFUSED`: today's answer to it."""
    try:
        if rider.kind != GIT and not rider.directory:
            return _answer_gate(config, store, rider, moment)
        return _answer_git(config, store, rider, moment)
    except Refusal:
        return REFUSED


def _answer_gate(config: Config, store: GateQuery, rider: Rider, moment: Moment) -> str:
    """A gate that still decides may have read the store a moment too early: it is let be to say its refusal, and ended if it goes on.

    One that is held asks again before it goes on, so that a verification that is still missing ends nothing.
    """
    line = rider.line if rider.kind == HELD or not is_waiting(rider) else "2fa help"
    age = seconds_since_login(rider.pid, moment.boot_seconds) if rider.login_counts else None
    request = Request(
        rider.user, rider.credential, rider.address, line, moment, rider.downstream, login_age=age
    )
    refusal = decide(request, config, store).refusal
    if refusal is None or (rider.kind == HELD and refusal.reason in WANTING):
        return STANDS
    return REFUSED


def _answer_git(config: Config, store: GateQuery, rider: Rider, moment: Moment) -> str:
    decision = Decision(Request(rider.user, rider.credential, rider.address, None, moment))
    scope = scope_of(config.scope, rider.credential, rider.address)
    decision.state = state = store.state(
        rider.user, rider.credential, scope, directory=rider.directory, name=rider.repository
    )
    check_user(state, rider.user, rider.credential)
    if rider.directory and state.name != rider.repository:
        return REFUSED  # renamed or forgotten since
    decision.name, decision.directory = rider.repository, rider.directory
    decision.command = Command(
        "git" if rider.repository else "pass",
        "git-receive-pack" if rider.operation == "push" else "",
        rider.operation,
        rider.repository,
    )
    lifetime = config.policy.demands(situation_of(decision, config, store)).lifetime_seconds
    if lifetime is None:
        return STANDS
    freshness = (
        _of_login(config, state, rider, moment) if rider.session == BY_KEY else of_session(state, moment)
    )
    if rider.session == 0 or freshness.session != rider.session or freshness.age_seconds is None:
        return REFUSED
    if freshness.lasts(lifetime):
        return STANDS
    if freshness.limit_seconds is not None:
        lifetime = min(lifetime, freshness.limit_seconds)
    return EXPIRED if 0 <= freshness.age_seconds < lifetime + LONGEST_FLOW_SECONDS else REFUSED


def _of_login(config: Config, state: State, rider: Rider, moment: Moment) -> Freshness:
    """How long ago the hardware key that `rider` rides on logged in, while it counts: as long as its connection lives."""
    if not config.hardware_keys or not state.key_verify_required:
        return NEVER
    age = seconds_since_login(rider.began, moment.boot_seconds)
    return NEVER if age is None else Freshness(BY_KEY, age, None)


def is_waiting(rider: Rider) -> bool:
    """Whether `rider` is a push that waits, or serves a command of our own, perhaps at its prompt.

    By the gate's own parser, whatever its quoting.
    """
    if rider.kind == HELD:
        return True
    try:
        return rider.kind == GATE and parse(rider.line).kind == "own"
    except Refusal:
        return False
