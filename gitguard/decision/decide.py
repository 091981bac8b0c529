"""The decision, question by question; the first that fails gives the reason.

identity -> (configuration, which the caller loads) -> store -> user's state -> command -> repository -> hook
-> verdict. MUST: every way out of here that is not an allowed verdict is a Refusal; callers treat any other
exception as one. It changes nothing, and asks the configuration and the store it is given: so `admin explain`
asks the very same function, about a configuration that is not in force yet too. Plain dialect: the gate loads
this file.
"""

from gitguard.config.compiled import Config
from gitguard.decision.command import Command
from gitguard.decision.decision import Decision, of_key, of_session
from gitguard.decision.judge import check_user, judge
from gitguard.decision.request import Request
from gitguard.identity.names import is_user_name
from gitguard.message.reasons import Refusal
from gitguard.policy.verdict import NEVER
from gitguard.repository.directory import check
from gitguard.repository.hook_file import check_hook
from gitguard.repository.spelling import from_home, name_of
from gitguard.session.scope import scope_of
from gitguard.store.gate_query import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gitguard.store.query import Query


def check_identity(request: Request) -> None:
    """The key line named a user and a key. Raises Refusal("no-identity")."""
    if not is_user_name(request.user) or not request.credential.is_well_formed:
        raise Refusal("no-identity", "the key line names no valid user and key")


def decide(
    request: Request,
    command: "Command | Refusal",
    config: Config,
    store: "Query",
    updates: "tuple[tuple[str, str, str], ...]" = (),
) -> Decision:
    """The answer to `request`: `.refusal` is set, or `.verdict` is an allowed one, or the command is our own.

    `command`: what the request asks for, as the edge has read it (command.read_command), or why that cannot
    be read. `updates` are a push's, where anyone who asks knows them before Git does: `explain`.
    """
    decision = Decision(request)
    decision.updates = updates
    try:
        check_identity(request)
        decision.request = request.behind(config.behind)
        _decide(decision, command, config, store)
    except Refusal as refusal:
        decision.refusal = refusal
    return decision


def _decide(decision: Decision, command: "Command | Refusal", config: Config, store: "Query") -> None:
    request = decision.request
    # The name is read early, since one query answers for user and repository together; a fault in it, or in
    # the command, is told only after the user's state.
    fault = command if isinstance(command, Refusal) else None
    below = ""
    if not isinstance(command, Refusal):
        decision.command = command
        if command.names_repository:
            try:
                decision.name, below = name_of(command.repository, config.roots)
            except Refusal as refusal:
                fault = refusal
    scope = scope_of(config.scope, request.credential, request.address)
    decision.state = state = store.state(request.user, request.credential, scope, name=decision.name)
    if state.directory is None and decision.command is not None and decision.name:
        # Remotes of a plain account count from its home; that is one more spelling of what lies below a root.
        name = from_home(decision.command.repository, config.home, config.roots)
        if name:
            other = store.state(request.user, request.credential, scope, name=name)
            if other.directory is not None:
                decision.name, decision.state, state, below = name, other, other, ""
    decision.freshness = of_key(request, state, counts=config.hardware_keys)
    if decision.freshness is NEVER:
        decision.freshness = of_session(state, request.moment)
    check_user(state, request.user, request.credential)
    if fault is not None or isinstance(command, Refusal):
        raise fault or Refusal("internal-error", "neither a command nor a fault")
    if command.kind == "own":
        return
    if command.names_repository:
        _find_repository(decision, config, state, below)
        if command.verb == "git-receive-pack" and decision.directory:
            check_hook(decision.directory, config.hook, config.uid)
        # Asked for by name, so nobody has looked yet what they move; the hook looks where it matters, too.
        if decision.updates and decision.directory and config.policy.rules.has_refs:
            from gitguard.repository.refs import moved_by

            decision.updates = moved_by(decision.updates, decision.directory, config.git_configs, config.home)
    judge(decision, config, store)
    _check_other_forms(decision, command, store)


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


def _check_other_forms(decision: Decision, command: Command, store: "Query") -> None:
    """A program that folds case or trims would serve a known repository by a name that we do not know.

    Said last, so nobody without a session learns from the difference which names are there. Raises Refusal.
    """
    if command.names_repository and not decision.directory and store.is_known_by_another_form(decision.name):
        raise Refusal(
            "no-such-repository",
            f"{decision.name} is a known repository's name but for case, blanks or suffix",
        )
