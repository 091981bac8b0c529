"""Gate and hook of a server whose agent alone opens the store, and decides.

Asked until it answers, for as long as a restart of it may take; then refused. What the agent leaves to the
hook's own process are the repository's other hooks, which are the Git account's to run. Plain dialect.
"""

import posix
import sys
from time import monotonic, sleep

from gitguard.gate.client import ANSWER_SECONDS, LONGEST_INPUT, RUN_OTHERS, ask

PATIENCE_SECONDS = 0.9  # beside the second that a compiled client has waited, less than two
_AGAIN_SECONDS = 0.05
OTHERS = "--others"  # the hook's own word: the repository's other hooks are to run now, or have run


def main(socket: str, owner: int, letter: str) -> int:
    """Serve one connection ("g") or one push ("h"): the exit status, which is 0 only by the agent's word.

    `socket`, `owner`: as for `gate.client.ask`.
    """
    if letter == "h" and sys.argv[1:2] == [OTHERS]:
        sys.argv[1:] = [OTHERS, *_ran_others()]
    ends = monotonic() + PATIENCE_SECONDS
    while (left := ends - monotonic()) > 0:
        try:
            status = ask(socket, letter, owner, min(left, ANSWER_SECONDS))
        except OSError as error:
            text = f"refused: the hook cannot keep what is pushed ({error}); tell your server admin"
            return _refused(letter, "hook-not-live", text)
        if status == RUN_OTHERS and sys.argv[1:2] != [OTHERS]:
            sys.argv[1:] = [OTHERS, *_ran_others()]
            ends = monotonic() + PATIENCE_SECONDS
            continue
        if status is not None:
            return abs(status)
        sleep(min(_AGAIN_SECONDS, max(ends - monotonic(), 0)))
    return _refused(letter, "agent-unavailable", "")


def _ran_others() -> "tuple[str, str]":
    """What the other hooks say: a status, and the hook that it is of, as the agent is told them."""
    from gitguard.answer.chained import run_others

    posix.chdir(posix.environ.get(b"GIT_DIR", b"."))
    data = b""
    while len(data) <= LONGEST_INPUT and (part := posix.read(0, 1 << 20)):
        data += part
    posix.lseek(0, 0, 0)  # a file of the client's: it is read again
    status, which = run_others(posix.getcwd(), data, posix.environ, posix.geteuid())
    return str(status), which


def _refused(letter: str, reason: str, text: str) -> int:
    from gitguard.answer.refuse import refuse_request
    from gitguard.decision.command import verb_of
    from gitguard.decision.decision import Decision
    from gitguard.decision.edge import request_of
    from gitguard.message.reasons import Refusal
    from gitguard.session.moment import now

    environ = {
        key.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for key, value in posix.environ.items()
    }
    request = request_of(sys.argv[1:], environ, now())
    refusal = Refusal(reason, text=text)
    verb = verb_of(request.line) if letter == "g" else ""
    return refuse_request(Decision(request).refused(refusal), "", verb, None, None)
