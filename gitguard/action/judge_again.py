"""Judge every rider again, and end what today's answer refuses.

MUST: a parked connection does not outlive the decision that let it in. Every change calls this before a word
is said; `admin session sweep` calls it once a minute, for what merely runs out. A connection whose session has
run out, and nothing worse, goes on while it moves bytes; one that idles is ended. A session that was ended, a
user or key that is gone, a requirement that came after the gate looked, end it whatever it does.
"""

from __future__ import annotations

import contextlib
import json

from msgspec import Struct

from gitguard.action.site import Site
from gitguard.config.compiled import Config
from gitguard.config.load import last_known, load
from gitguard.decision.command import Command, parse
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision, of_session
from gitguard.decision.judge import check_user, situation_of
from gitguard.decision.request import Request
from gitguard.host.riding import GATE, GIT, HELD, LOOK, Rider, end, flowing, moved
from gitguard.machine.files import replace
from gitguard.machine.process import seconds_since_login
from gitguard.message.reasons import WANTING, Refusal
from gitguard.policy.verdict import NEVER, Freshness
from gitguard.session.credential import BY_KEY
from gitguard.session.moment import Moment
from gitguard.session.scope import scope_of
from gitguard.store.gate_query import GateQuery, State

DECIDED_SECONDS = 1.0  # a gate is done in a hundredth of that
FLOW_SECONDS = 2.0  # how long one that has run out is watched where no earlier sweep has looked at it
OLDEST_LOOK_SECONDS = 2  # an earlier look must be at least this old to tell idle from flowing

LONGEST_FLOW_SECONDS = 6 * 3600  # protocol v2 asks again and again: what flows must come to its end some day

STANDS, RUN_OUT, REFUSED = "stands", "run out", "refused"


class Whose(Struct, frozen=True):
    """Riders that end whatever today's policy says of them: all of these users', of these keys.

    `waiting`: users whose commands that wait at a prompt end, and pushes that wait, while their transfers are judged;
    `prompts`: the same, but for pushes that wait.
    """

    users: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    prompts: frozenset[str] = frozenset()
    everyone: bool = False

    def has(self, rider: Rider) -> bool:
        """Whether `rider` is one of them."""
        return (
            self.everyone
            or rider.user in self.users
            or rider.credential.text in self.keys
            or (rider.user in self.waiting and waits(rider))
            or (rider.user in self.prompts and rider.kind != HELD and waits(rider))
        )


NOBODY = Whose()


def waits(rider: Rider) -> bool:
    """Whether `rider` is a push that waits, or serves a command of our own, perhaps at its prompt.

    By the gate's own parser, whatever its quoting.
    """
    if rider.kind == HELD:
        return True
    try:
        return rider.kind == GATE and parse(rider.line).kind == "own"
    except Refusal:
        return False


def judge_again(site: Site, moment: Moment, whose: Whose = NOBODY) -> int:
    """End the riders that `whose` names and those that today's policy refuses; how many connections ended.

    Raises nothing for a rider that cannot be judged: it is ended.
    """
    riders = site.riding.riders()
    gone = [rider for rider in riders if whose.has(rider)]
    rest = [rider for rider in riders if not whose.has(rider)]
    try:
        try:
            config = load(*site.places.of_gate)
        except Refusal:
            # A configuration that is broken just now closes every new request. What runs is judged by the last one.
            known = last_known(site.places.config, site.places.compiled)
            if known is None:
                raise
            config = known
        store = GateQuery(config.store)
        store.open()
    except BaseException:
        end(gone)
        raise
    try:
        answers = {rider.pid: _answer(config, store, rider, moment) for rider in rest}
    finally:
        store.close()
    refused = [rider for rider in rest if answers[rider.pid] == REFUSED]
    deciding = [rider for rider in refused if rider.kind == GATE and not rider.directory and not waits(rider)]
    gone += [rider for rider in refused if rider not in deciding]
    end(gone)
    late = site.riding.settled(deciding, DECIDED_SECONDS)
    run_out = {rider.began for rider in rest if answers[rider.pid] == RUN_OUT}
    idle = [rider for rider in rest if rider.began in run_out and rider.kind == GIT]
    if idle:
        flows = flowing(idle, _earlier(site, moment), FLOW_SECONDS)
        late += [rider for rider in idle if rider.began not in flows]
    end(late)
    _note(site, [rider for rider in rest if rider.kind == GIT], moment)
    return len({rider.began for rider in (*gone, *late) if not waits(rider)})


def _answer(config: Config, store: GateQuery, rider: Rider, moment: Moment) -> str:
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
    line = rider.line if rider.kind == HELD or not waits(rider) else "2fa help"
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
    return RUN_OUT if 0 <= freshness.age_seconds < lifetime + LONGEST_FLOW_SECONDS else REFUSED


def _of_login(config: Config, state: State, rider: Rider, moment: Moment) -> Freshness:
    """How long ago the hardware key that `rider` rides on logged in, while it counts: as long as its connection lives."""
    if not config.hardware_keys or not state.key_verify_required:
        return NEVER
    age = seconds_since_login(rider.began, moment.boot_seconds)
    return NEVER if age is None else Freshness(BY_KEY, age, None)


# -- what the last look saw ---------------------------------------------------------------------


def look_path(site: Site) -> str:
    """Where the last look at the riders is noted."""
    return f"{site.settings.paths.state}/{LOOK}"


def _note(site: Site, riders: list[Rider], moment: Moment) -> None:
    data = json.dumps({"at": moment.at, "moved": moved(riders)}).encode()
    with contextlib.suppress(Refusal):  # a full disk costs the next look its memory, no more
        replace(look_path(site), data, 0o600)


def _earlier(site: Site, moment: Moment) -> dict[str, int]:
    """What the last look counted, if it is old enough to compare with."""
    try:
        with open(look_path(site), "rb") as file:
            seen = json.load(file)
        age = moment.at - int(seen["at"])
        counts = {str(name): int(count) for name, count in seen["moved"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return counts if age >= OLDEST_LOOK_SECONDS else {}
