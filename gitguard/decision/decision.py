"""The answer to one request, as a value. Plain dialect: gate and hook load this file.

Only this room fills it in, from the top down, so that a refusal half way carries what was known by then. It
holds no connection and no configuration: it can be written down, compared, and sent through a socket.
"""

from gitguard.decision.command import Command
from gitguard.decision.request import Request
from gitguard.message.reasons import Refusal
from gitguard.policy.requirement import NOTHING, Requirement
from gitguard.policy.verdict import NEVER, Freshness, Verdict
from gitguard.session.credential import BY_KEY
from gitguard.session.moment import Moment
from gitguard.session.scope import network_of
from gitguard.store.gate_query import State


def of_key(request: Request, state: State, *, counts: bool) -> Freshness:
    """As old as the login where a hardware key verified its person then, by the key's row *and* by sshd;
    `counts`: the server lets it.
    """
    if not counts or request.login_age is None or not state.key_verify_required:
        return NEVER
    return Freshness(BY_KEY, request.login_age, None)


def of_session(state: State, moment: Moment) -> Freshness:
    """The freshness of the session that the store found in scope."""
    if state.session is None or state.verified_at is None:
        return NEVER
    verified = Moment(state.verified_at, state.session_boot or "", state.session_boot_seconds or 0)
    return Freshness(state.session, moment.age_of(verified), state.session_limit_seconds)


class Decision:
    """`refusal` is set, or `verdict` is an allowed one, or the command is our own.

    `name` and `directory` are those of the store's repository, empty where it knows none. `updates`: what a
    push wants to change, (old, new, ref) each, once Git has said it.
    """

    __slots__ = (
        "command", "directory", "freshness", "name", "refusal", "request", "requirement", "state", "updates", "verdict",
    )  # fmt: skip

    def __init__(self, request: Request) -> None:
        self.request = request
        self.command: Command | None = None
        self.state: State | None = None
        self.name = ""
        self.directory = ""
        self.updates: tuple[tuple[str, str, str], ...] = ()
        self.requirement: Requirement = NOTHING
        self.freshness = NEVER
        self.verdict: Verdict | None = None
        self.refusal: Refusal | None = None

    @property
    def operation(self) -> str:
        """read, push, or "" where the command is not a Git operation."""
        return self.command.operation if self.command is not None else ""

    @property
    def repository(self) -> str:
        """The repository's name, or as the client spelled it where that names none."""
        return self.name or (self.command.repository if self.command is not None else "")

    @property
    def has_address(self) -> bool:
        """Whether sshd named an address that a session can be bound to."""
        return network_of(self.request.address) is not None

    @property
    def session(self) -> int:
        """The number of the 2FA session in scope, 0 for none."""
        return self.freshness.session

    @property
    def session_age_seconds(self) -> "int | None":
        """How old the verification is, None without a session in scope."""
        return self.freshness.age_seconds

    def says_refs_ahead(self, lifetime_seconds: int) -> bool:
        """Whether a push that is allowed without a fresh verification is told which refs need one."""
        refs = self.requirement.depends_on_refs and self.requirement.refs
        return bool(refs) and self.operation == "push" and not self.freshness.lasts(lifetime_seconds)

    def refused(self, refusal: Refusal) -> "Decision":
        """The same decision with `refusal` as its end."""
        other = Decision(self.request)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.refusal = refusal
        return other
