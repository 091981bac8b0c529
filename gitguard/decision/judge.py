"""The one judgement that gate, hook, `explain` and the sweep share: what is required, and whether it is met.

Plain dialect: gate and hook load this file.
"""

from gitguard.config.compiled import Config
from gitguard.decision.decision import Decision
from gitguard.message.reasons import Refusal
from gitguard.policy.situation import KNOWN, PASSED, UNKNOWN, Situation
from gitguard.policy.verdict import verdict
from gitguard.repository.directory import borrowed
from gitguard.session.credential import Credential
from gitguard.store.gate_query import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gitguard.store.query import Query


def check_user(state: State, user: str, credential: Credential) -> None:
    """The user is there and active, and the credential is still theirs. Raises Refusal."""
    if state.user_state is None or state.user_state == "removed":
        raise Refusal("user-unknown", f"no user {user}")
    if state.user_state != "active":
        raise Refusal("user-suspended", f"{user} is {state.user_state}")
    if state.owner != user:
        raise Refusal("no-identity", f"{credential.text} is not a key of {user}")


def situation_of(decision: Decision, config: Config, store: "Query") -> Situation:
    """What policy looks at; `decision` knows user, command and repository by now. Raises Refusal."""
    state, request, directory = decision.state, decision.request, decision.directory
    if state is None:
        raise Refusal("internal-error", "judged before the store was asked")
    what, elsewhere = KNOWN, None
    if not directory:
        passed = decision.command is None or decision.command.kind == "pass"
        what = PASSED if passed else UNKNOWN
        if what == UNKNOWN and config.enforcement != "off":
            elsewhere = store.shortest_demand(decision.operation, config.lifetime_seconds)
    return Situation(
        request.user,
        decision.operation,
        what=what,
        repository=(decision.name, state.require or "none", state.toggle_lifetime_seconds),
        always=bool(state.always),
        borrows=_lenders(store, directory) if directory else (),
        lends=tuple(store.borrowers(directory)) if directory and decision.operation != "read" else (),
        elsewhere=elsewhere,
        credential=request.credential,
        address=request.address,
        at=request.moment.at,
        refs=decision.updates,
        hooked=_will_be_hooked(decision),
    )


def _will_be_hooked(decision: Decision) -> bool:
    """Whether our hook will judge this push by its refs: not for LFS, nor for another program's names."""
    command = decision.command
    return bool(decision.directory) and command is not None and command.verb == "git-receive-pack"


def _lenders(store: "Query", directory: str) -> "tuple[tuple[str, str, int | None], ...]":
    """What the repositories require whose objects `directory` uses. Raises Refusal for an unknown one."""
    found = []
    for lender in borrowed(directory):
        known = store.repository(lender)
        if known is None:
            raise Refusal("no-such-repository", f"{directory} borrows from {lender}, which is not known")
        found.append(known)
    return tuple(found)


def _by_refs(decision: Decision) -> str:
    """Which ref requires it, by which rule: once, however many. "" before the refs are known."""
    refs = decision.requirement.refs if decision.updates else ()
    if not refs:
        return ""
    ref, rule = refs[0]
    ref = ref or "a ref that a hook of this repository moves"
    more = f", and {len(refs) - 1} more" if len(refs) > 1 else ""
    return f"{ref}{more}: 2FA is required by the rule {rule}; nothing of this push was taken"


def judge(decision: Decision, config: Config, store: "Query") -> None:
    """Set `.requirement` and `.verdict` by `.freshness`; a refused verdict is raised as a Refusal.

    MUST: without the data that the session scope needs no session counts; anyone who fills
    in the freshness finds none.
    """
    decision.requirement = config.policy.demands(situation_of(decision, config, store))
    decision.verdict = answer = verdict(
        decision.requirement,
        enrolled=decision.state is not None and bool(decision.state.enrolled),
        freshness=decision.freshness,
    )
    if not answer.allowed:
        text = ""
        if answer.reason != "enrolment-required" and config.scope == "address" and not decision.has_address:
            text = (
                "sessions here are bound to the client's address, and sshd names none; ask your server admin"
            )
        raise Refusal(answer.reason, answer.because, text=text, hint=_by_refs(decision))
