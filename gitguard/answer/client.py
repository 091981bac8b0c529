"""For whom a request is answered. Plain dialect: gate and hook load this file."""

from gitguard.message.reasons import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gitguard.config.compiled import Config
    from gitguard.decision.decision import Decision
    from gitguard.decision.request import Request
    from gitguard.store.gate_query import GateQuery

    Places = tuple[str, str, str]
    Become = Callable[[str, list[str], dict[str, str]], int]
    Check = Callable[[Request, Config], None]
    ServeOwn = Callable[[Decision, str, Config, str, GateQuery], int]
    RunOthers = Callable[[str, bytes, dict[bytes, bytes], int], "tuple[int, str] | None"]


def _anyone(*_: object) -> None:
    """Where sshd started us its word is all there is, and nothing is kept from others."""


def _nobody(*_: object) -> int:
    raise Refusal("internal-error", "nobody does this here")


class Client:
    """The process that sshd or Git started: ourselves, or one that lent the agent its three streams.

    `pid` is the process's, `is_lent` whether it is another's than ours; `check` asks whether it is of the
    person whom its key line names, and raises Refusal. `become` has it become a program, and returns where
    that is done for another; raises OSError. `serve_own` runs a command of ours, `run_others` the
    repository's other hooks: what the first says that does not consent, None where the process runs them
    itself, later; `asks_again`: it has run them, so it waits for nobody any more. `rest`, while a push waits:
    what is kept open for it is let go.
    """

    __slots__ = ("asks_again", "become", "check", "is_lent", "pid", "rest", "run_others", "serve_own")

    def __init__(
        self,
        pid: int,
        *,
        become: "Become" = _nobody,
        serve_own: "ServeOwn" = _nobody,
        run_others: "RunOthers | None" = None,
        check: "Check" = _anyone,
        rest: "Callable[[], None]" = _anyone,
        is_lent: bool = False,
        asks_again: bool = False,
    ) -> None:
        self.pid = pid
        self.asks_again = asks_again
        self.is_lent = is_lent
        self.become = become
        self.check = check
        self.rest = rest
        self.serve_own = serve_own
        self.run_others = run_others
