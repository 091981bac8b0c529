"""The decision, question by question; the first that fails gives the reason.

identity -> configuration -> store -> user's state -> command -> repository -> hook -> verdict.
MUST: every way out of here that is not an allowed verdict is a Refusal; callers treat any other
exception as one. It changes nothing, so `admin explain` asks the very same function.
Plain dialect: the gate loads this file.
"""

from gitguard.account.names import is_user_name
from gitguard.config.compiled import Config
from gitguard.config.load import load
from gitguard.decision.command import Command, parse
from gitguard.decision.request import Request
from gitguard.message.reasons import Refusal
from gitguard.policy.requirement import NOTHING, Requirement, requirement, strictest
from gitguard.policy.verdict import Verdict, verdict
from gitguard.repository.directory import borrowed, check
from gitguard.repository.hook_file import check_hook
from gitguard.repository.spelling import from_home, name_of
from gitguard.session.credential import Credential
from gitguard.session.moment import Moment
from gitguard.session.scope import network_of, scope_of
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
    def has_address(self) -> bool:
        """Whether sshd named an address that a session can be bound to."""
        return network_of(self.request.address) is not None

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
    if not is_user_name(request.user) or not request.credential.is_well_formed:
        raise Refusal("no-identity", "the key line names no valid user and key")
    decision.config = config = load(*places)
    if faults:
        raise Refusal("config-invalid", faults)
    if config.behind and not request.downstream:
        request.downstream = tuple(word.replace("{user}", request.user) for word in config.behind)

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
    scope = scope_of(config.scope, request.credential, request.address)
    decision.state = state = store.state(request.user, request.credential, scope, name=decision.name)
    if state.directory is None and decision.name and command_fault is None:
        # Remotes of a plain account count from its home; that is one more spelling of what lies below a root.
        name = from_home(command.repository, config.home, config.roots)
        if name:
            other = store.state(request.user, request.credential, scope, name=name)
            if other.directory is not None:
                decision.name, decision.state, state, below = name, other, other, ""
    check_user(state, request.user, request.credential)
    if command_fault is not None:
        raise command_fault
    if command.kind == "own":
        return
    if command.names_repository:
        _find_repository(decision, config, state, below)
        if command.verb == "git-receive-pack" and decision.directory:
            check_hook(decision.directory, config.hook, config.uid)
    judge(decision, config, state, store)
    # A program that folds case or trims would serve a known repository by a name that we do not know. Said last,
    # so that nobody without a session learns from the difference which names are there.
    if command.names_repository and not decision.directory and store.is_known_by_another_form(decision.name):
        raise Refusal(
            "no-such-repository",
            f"{decision.name} is a known repository's name but for case, blanks or suffix",
        )


def check_user(state: State, user: str, credential: Credential) -> None:
    """The user is there and active, and the credential is still theirs. Raises Refusal."""
    if state.user_state is None or state.user_state == "removed":
        raise Refusal("user-unknown", f"no user {user}")
    if state.user_state != "active":
        raise Refusal("user-suspended", f"{user} is {state.user_state}")
    if state.owner != user:
        raise Refusal("no-identity", f"{credential.text} is not a key of {user}")


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
    check(state.directory, root, config.uid)
    decision.directory = state.directory


def in_root(directory: str, root: str, name: str) -> bool:
    """Whether `directory` is the place of the repository `name` below `root`."""
    return directory in (f"{root}/{name}.git", f"{root}/{name}")


def judge(decision: Decision, config: Config, state: State, store: GateQuery) -> None:
    """Set `.requirement`, `.session_age_seconds` and `.verdict`; a refused verdict becomes a Refusal.

    Without the data that the session scope needs no session counts: the query finds none.
    """
    kind = decision.command.kind if decision.command is not None else "pass"
    decision.requirement = demanded(config, state, store, decision.operation, decision.directory, kind)
    if state.session is not None and state.verified_at is not None:
        verified = Moment(state.verified_at, state.session_boot or "", state.session_boot_seconds or 0)
        decision.session_age_seconds = decision.request.moment.age_of(verified)
    decision.verdict = answer = verdict(
        decision.requirement,
        enrolled=bool(state.enrolled),
        session_age_seconds=decision.session_age_seconds,
        session_limit_seconds=state.session_limit_seconds,
    )
    if not answer.allowed:
        text = ""
        if answer.reason != "enrolment-required" and config.scope == "address" and not decision.has_address:
            text = (
                "sessions here are bound to the client's address, and sshd names none; ask your server admin"
            )
        raise Refusal(answer.reason, answer.because, text=text)


def demanded(
    config: Config, state: State, store: GateQuery, operation: str, directory: str, kind: str = "git"
) -> Requirement:
    """What `operation` on the repository in `directory` demands of the user in `state`.

    `directory` is "" where the store knows none: a program's own names, and passed commands (`kind` `pass`). A
    passed command without operation counts as a push: what is not known to be harmless is not.
    """
    requires = requirement(
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
            requires = strictest(requires, _of_another(config, *known, "read", "borrows"))
        # And whoever rewrites the lender can take away what its borrowers need.
        if operation != "read":
            for known in store.borrowers(directory):
                requires = strictest(requires, _of_another(config, *known, "push", "lends"))
    elif kind == "pass":
        requires = strictest(requires, Requirement(config.lifetime_seconds, "pass-command"))
    elif config.enforcement != "off":
        # Whoever has no session must not learn from a downstream program's own answer which of the names that
        # we do not know are there; and one of them may be another name of a repository that demands.
        shortest = store.shortest_demand(operation, config.lifetime_seconds)
        if shortest is not None:
            requires = strictest(requires, Requirement(shortest, "unknown-name"))
    return requires


def _of_another(
    config: Config, name: str, require: str, lifetime_seconds: "int | None", operation: str, how: str
) -> Requirement:
    other = requirement(config.enforcement, config.lifetime_seconds, operation, (require, lifetime_seconds))
    return Requirement(other.lifetime_seconds, f"{how}:{name}({other.because})") if other.required else other
