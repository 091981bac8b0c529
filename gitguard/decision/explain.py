"""What would be decided: the gate's own question about a request that nobody has sent."""

from __future__ import annotations

from msgspec import Struct

from gitguard.config.compiled import Config
from gitguard.decision.command import quote, read_command
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision
from gitguard.decision.request import Request
from gitguard.policy.glob import whole_ref
from gitguard.session.credential import Credential
from gitguard.session.moment import Moment
from gitguard.store.query import Query

VERBS = {"read": "git-upload-pack", "push": "git-receive-pack"}


def explain(
    config: Config,
    store: Query,
    user: str,
    credential: Credential,
    address: str,
    repository: str,
    operation: str,
    moment: Moment,
    refs: tuple[str, ...] = (),
) -> Decision:
    """What is decided by `config` about the request that such a person's git would send;
    with `refs` the hook's answer.
    """
    line = f"{VERBS[operation]} {quote(repository)}"
    # What the store says of a hardware key stands in its line too, or doctor says so.
    request = Request(
        user=user, credential=credential, address=address, line=line, moment=moment, login_age=0
    )
    updates = tuple(("", "", whole_ref(ref)) for ref in refs)
    return decide(request, read_command(line, config.pass_commands), config, store, updates)


class Facts(Struct, frozen=True):
    """One decision in the words of `explain --json`. Times are Unix seconds; None: there
    is none, or it was not judged.
    """

    user: str
    key: str
    address: str
    repository: str
    directory: str
    operation: str
    at: int
    verdict: str
    reason: str
    because: str
    rule: str | None
    depends_on_refs: bool
    detail: str
    enforcement: str
    judged: bool
    required: bool | None
    lifetime_seconds: int | None
    session: int | None
    session_age_seconds: int | None
    require: str | None
    always: bool | None
    enrolled: bool | None


def facts(decision: Decision, config: Config) -> Facts:
    """What `decision` by `config` came to, and what made it so."""
    request, verdict, refusal, state = decision.request, decision.verdict, decision.refusal, decision.state
    reason = "internal-error" if verdict is None else verdict.reason
    return Facts(
        user=request.user,
        key=request.credential.text,
        address=request.address,
        repository=decision.name,
        directory=decision.directory,
        operation=decision.operation,
        at=request.moment.at,
        verdict="allowed" if refusal is None and verdict is not None else "refused",
        reason=refusal.reason if refusal is not None else reason,
        because=decision.requirement.because,
        rule=decision.requirement.rule or None,
        depends_on_refs=decision.requirement.depends_on_refs,
        detail=refusal.detail if refusal is not None else "",
        enforcement=config.enforcement,
        judged=verdict is not None,
        required=decision.requirement.required if verdict is not None else None,
        lifetime_seconds=decision.requirement.lifetime_seconds,
        session=decision.session if decision.session > 0 else None,
        session_age_seconds=decision.session_age_seconds,
        require=state.require if state is not None else None,
        always=bool(state.always) if state is not None else None,
        enrolled=bool(state.enrolled) if state is not None else None,
    )
