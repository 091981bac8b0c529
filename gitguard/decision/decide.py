"""The decision, question by question; the first that fails gives the reason.

identity -> configuration -> store -> user's state -> command -> repository -> hook -> verdict.
MUST: every way out of here that is not an allowed verdict is a Refusal; callers treat any other
exception as one. It changes nothing, so `admin explain` asks the very same function.
Plain dialect: the gate loads this file.
"""

from gitguard.config.compiled import Config, load
from gitguard.decision.command import Command, parse
from gitguard.decision.request import Request, is_fingerprint, is_user_name
from gitguard.message.reasons import Refusal
from gitguard.policy.requirement import NOTHING, Requirement, requirement, strictest
from gitguard.policy.verdict import Verdict, verdict
from gitguard.repository.directory import borrowed, check
from gitguard.repository.hook_file import check_hook
from gitguard.repository.spelling import name_of
from gitguard.session.moment import Moment
from gitguard.session.scope import scope_of
from gitguard.store.gate_query import GateQuery, State


class Decision:
    """All that is known when the answer falls; what a refusal, a log line or a grant is made from.

    Filled from the top down, so that a refusal half way carries what was known by then.
    `session_age_seconds` is None where there is no session in scope.
    """

    __slots__ = (
        "command", "config", "directory", "name", "refusal", "request", "requirement", "session_age_seconds",
        "state", "store", "verdict",
    )  # fmt: skip

    def __init__(self, request: Request) -> None:
        self.request = request
        self.config: Config | None = None
        self.store: GateQuery | None = None
        self.state: State | None = None
        self.command: Command | None = None
        self.name = ""
        self.directory = ""
        self.requirement: Requirement = NOTHING
        self.session_age_seconds: int | None = None
        self.verdict: Verdict | None = None
        self.refusal: Refusal | None = None

    @property
    def operation(self) -> str:
        """read, push, or "" where the command is no Git operation."""
        return self.command.operation if self.command is not None else ""

    @property
    def session(self) -> int:
        """The number of the 2FA session in scope, 0 for none."""
        return (self.state.session or 0) if self.state is not None else 0


def decide(request: Request, places: "tuple[str, str, str]", *, faults: str = "") -> Decision:
    """The answer to `request`: `.refusal` is set, or `.verdict` is an allowed one, or the command is our own.

    `places` are the configuration, its compiled form and the hook, as `host/places.py` knows them;
    `faults` is what the edge found wrong with the process's surroundings ("" for nothing).
    """
    decision = Decision(request)
    try:
        _decide(decision, places, faults)
    except Refusal as refusal:
        decision.refusal = refusal
    return decision


def _decide(decision: Decision, places: "tuple[str, str, str]", faults: str) -> None:
    request = decision.request
    if not is_user_name(request.user) or not is_fingerprint(request.key):
        raise Refusal("no-identity", "the key line names no valid user and key")
    decision.config = config = load(*places)
    if faults:
        raise Refusal("config-invalid", faults)

    # The command is parsed early, since one query answers for user and repository together; a fault
    # in it is told only after the user's state.
    command_fault = None
    below = ""
    try:
        decision.command = command = parse(request.line, config.pass_commands)
        if command.names_repository:
            decision.name, below = name_of(command.repository, config.roots)
    except Refusal as refusal:
        command_fault = refusal
    decision.store = store = GateQuery(config.store)
    scope = scope_of(config.scope, request.key, request.address)
    decision.state = state = store.state(request.user, request.key, scope, name=decision.name)
    check_user(state, request)
    if command_fault is not None:
        raise command_fault
    if command.kind == "own":
        return
    if command.names_repository:
        _find_repository(decision, config, state, below)
        if command.verb == "git-receive-pack" and decision.directory:
            check_hook(decision.directory, config.hook, config.uid)
    judge(decision, config, state, store, scope is not None)
    # A program that folds case would serve a known repository by a name that we do not know. Said last, so
    # that nobody without a session learns from the difference which names are there.
    if command.names_repository and not decision.directory and store.is_known_in_another_case(decision.name):
        raise Refusal("no-such-repository", f"{decision.name} differs from a known repository by case alone")


def check_user(state: State, request: Request) -> None:
    """The user is there and active, and the key is still theirs. Raises Refusal."""
    if state.user_state is None or state.user_state == "removed":
        raise Refusal("user-unknown", f"no user {request.user}")
    if state.user_state != "active":
        raise Refusal("user-suspended", f"{request.user} is {state.user_state}")
    if state.key_owner != request.user:
        raise Refusal("no-identity", f"{request.key} is no key of {request.user}")


def _find_repository(decision: Decision, config: Config, state: State, below: str) -> None:
    """Set `.directory` to the one place Git will open, or refuse.

    Behind a downstream program, which has its own list, what we do not know stays without a directory.
    """
    if state.directory is None:
        if not decision.request.downstream:
            raise Refusal("no-such-repository", f"{decision.name} is not known to the store")
        return
    root = next((r for _, r in config.roots if in_root(state.directory, r, decision.name)), None)
    if root is None or below not in ("", root):
        raise Refusal("no-such-repository", f"{state.directory} is not where {decision.name} was asked for")
    check(state.directory, root)
    decision.directory = state.directory


def in_root(directory: str, root: str, name: str) -> bool:
    """Whether `directory` is the place of the repository `name` below `root`."""
    return directory in (f"{root}/{name}.git", f"{root}/{name}")


def judge(decision: Decision, config: Config, state: State, store: GateQuery, scoped: bool) -> None:  # noqa: FBT001
    """Set `.requirement`, `.session_age_seconds` and `.verdict`; a refused verdict becomes a Refusal.

    `scoped` says whether the data that the session scope needs was there; without it no session counts.
    """
    decision.requirement = demanded_here(config, state, store, decision.operation, decision.directory)
    command = decision.command
    if command is not None and not decision.directory:
        # A passed command is let through after a session only. And whoever has none must not learn from a
        # downstream program's own answer which of the names that we do not know are there.
        if command.kind == "pass":
            decision.requirement = strictest(
                decision.requirement, Requirement(config.lifetime_seconds, "pass-command")
            )
        elif config.enforcement != "off" and store.demands_somewhere(decision.operation):
            decision.requirement = strictest(
                decision.requirement, Requirement(config.lifetime_seconds, "unknown-name")
            )
    if scoped and state.session is not None and state.verified_at is not None:
        verified = Moment(state.verified_at, state.session_boot or "", state.session_boot_seconds or 0)
        decision.session_age_seconds = decision.request.moment.age_of(verified)
    decision.verdict = answer = verdict(
        decision.requirement,
        enrolled=bool(state.enrolled),
        session_age_seconds=decision.session_age_seconds,
        session_limit_seconds=state.session_limit_seconds,
    )
    if not answer.allowed:
        raise Refusal(answer.reason, answer.because)


def demanded_here(
    config: Config, state: State, store: GateQuery, operation: str, directory: str
) -> Requirement:
    """What `operation` on the repository in `directory` demands of the user in `state`.

    A passed command without operation counts as a push: what is not known to be harmless is not.
    """
    demanded = requirement(
        config.enforcement,
        config.lifetime_seconds,
        operation or "push",
        (state.require or "none", state.toggle_lifetime_seconds),
        always=bool(state.always) and config.allow_always,
    )
    if directory:
        # Whoever reads here may be sent the lender's objects, so the lender's read requirement applies.
        for lender in borrowed(directory):
            known = store.repository(lender)
            if known is None:
                raise Refusal("no-such-repository", f"{directory} borrows from {lender}, which is not known")
            demanded = strictest(demanded, _borrowing(config, *known))
    return demanded


def _borrowing(config: Config, name: str, require: str, lifetime_seconds: "int | None") -> Requirement:
    lent = requirement(config.enforcement, config.lifetime_seconds, "read", (require, lifetime_seconds))
    return Requirement(lent.lifetime_seconds, f"borrows:{name}({lent.because})") if lent.required else lent
