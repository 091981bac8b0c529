"""The second look at a push, when Git has received it: by today's policy, for whom the grant names.

From the grant come who pushes, from where and how fresh the verification was when the gate looked, so a
session that merely expired during a long upload still counts; whether session, user and key still stand is
asked of the store. Plain dialect: the hook loads this file.
"""

from gitguard.config.compiled import Config
from gitguard.decision.command import Command
from gitguard.decision.decision import Decision, of_session
from gitguard.decision.judge import check_user, judge, situation_of
from gitguard.decision.request import Request
from gitguard.message.reasons import Refusal
from gitguard.policy.verdict import NEVER, Freshness, Verdict
from gitguard.session.credential import BY_KEY
from gitguard.session.grant import BREAK_GLASS, Grant
from gitguard.session.moment import Moment
from gitguard.session.scope import scope_of
from gitguard.store.gate_query import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gitguard.store.query import Query


class Push:
    """What the hook knows of a push.

    The repository's directory; the updates, or why they cannot be read (`fault`); the grant, or why
    there is none (`no_grant`); and when the upload began (Unix seconds). `waits_since`: from when on
    it has waited for its person.
    """

    __slots__ = ("began", "directory", "fault", "grant", "no_grant", "updates", "waits_since")

    def __init__(
        self,
        *,
        directory: str,
        updates: "tuple[tuple[str, str, str], ...]",
        fault: "Refusal | None",
        grant: "Grant | None",
        no_grant: str,
        began: int,
    ) -> None:
        self.directory = directory
        self.updates = updates
        self.fault = fault
        self.grant = grant
        self.no_grant = no_grant
        self.began = began
        self.waits_since: Moment | None = None


def of_push(request: Request, directory: str) -> Decision:
    """A push into `directory` of which nothing is decided yet."""
    decision = Decision(request)
    decision.command = Command("git", "git-receive-pack", operation="push")
    decision.directory = directory
    return decision


def decide_push(request: Request, push: Push, config: Config, store: "Query") -> Decision:
    """The answer to a push that was received: `.refusal` is set, or `.verdict` is an allowed one."""
    decision = of_push(request, push.directory)
    decision.updates = push.updates
    try:
        _decide(decision, push, config, store)
        if push.fault is not None:
            raise push.fault
    except Refusal as refusal:
        decision.refusal = refusal
    return decision


def _decide(decision: Decision, push: Push, config: Config, store: "Query") -> None:
    request, grant = decision.request, push.grant
    scope = scope_of(config.scope, request.credential, request.address)
    decision.state = state = store.state(
        request.user, request.credential, scope, directory=decision.directory
    )
    if state.name is None:
        raise Refusal("no-such-repository", f"{decision.directory} is not known to the store")
    decision.name = state.name
    if grant is None:
        decision.requirement = requires = config.policy.demands(situation_of(decision, config, store))
        if requires.required:
            raise Refusal("no-grant", f"{requires.because}; {push.no_grant}")
        decision.verdict = Verdict("not-required", "", allowed=True)
        return
    if grant.kind == BREAK_GLASS:
        # Maintenance by the server's admin: audited when it began, and one line in the log for each push.
        decision.verdict = Verdict("break-glass", grant.user, allowed=True)
        return
    check_user(state, request.user, request.credential)
    decision.freshness = _freshness(grant, state, push.began, hardware_keys=config.hardware_keys)
    if push.waits_since is not None:
        verified = of_session(state, request.moment)
        waited = request.moment.age_of(push.waits_since)
        if verified.age_seconds is not None and 0 <= verified.age_seconds <= waited:
            decision.freshness = verified  # that is what it waited for
    judge(decision, config, store)


def _freshness(grant: Grant, state: State, began: int, *, hardware_keys: bool) -> Freshness:
    """Fresh when the upload began is fresh; a connection that was only held open gains nothing by it."""
    age = grant.age_seconds + max(began - grant.at, 0)
    if grant.session == BY_KEY:
        return Freshness(BY_KEY, age, None) if hardware_keys and state.key_verify_required else NEVER
    if not grant.session or state.session != grant.session:
        return NEVER  # a session that came later revives no grant: push again
    return Freshness(grant.session, age, state.session_limit_seconds)
