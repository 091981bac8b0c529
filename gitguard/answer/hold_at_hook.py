"""The hook's side of a push that waits (answer/hold.py), where a rule for refs alone refuses it.

Git has received everything by now and holds it in quarantine; no ref is locked, and nothing of it is taken
yet. A client that hung up is noticed in three ways, one of which holds for each git and each connection: sshd
ends, so that what the gate became has another parent; Git says something to the client every five seconds
(receive.keepAlive), and the thread of it that does so dies of a connection that is gone (git's run-command.c,
async_exit); or all of it dies. Plain dialect.
"""

import errno
import select

from gitguard.answer.client import Client
from gitguard.answer.hold import hold, load_lightly
from gitguard.config.compiled import Config
from gitguard.config.load import load
from gitguard.decision.decision import Decision
from gitguard.decision.push import Push, decide_push
from gitguard.machine.process import parent_and_start, threads_of
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment, now
from gitguard.store.gate_opening import query_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gitguard.answer.client import Places


def wait(
    decision: Decision, id_: str, config: Config, push: Push, places: "Places", client: Client
) -> "tuple[Decision, Config]":
    """The answer after at most `config.wait_seconds`: by what was verified since the gate looked, or
    the refusal that stands then.
    """
    push.waits_since = Moment(push.grant.at) if push.grant is not None else decision.request.moment
    latest = [config]

    def answer(loading: "Callable[[Places], Config]") -> Decision:
        request = decision.request.at(now())
        try:
            latest[0] = loading(places)
            with query_of(latest[0]) as store:
                return decide_push(request, push, latest[0], store)
        except Refusal as refusal:
            return decision.refused(refusal)
        finally:
            client.rest()

    began = push.grant.pid if push.grant is not None else 0
    if (at_once := answer(load_lightly)).refusal is None:
        return at_once, latest[0]  # verified while it uploaded
    if not hold(decision, id_, config, lambda: answer(load_lightly), _client(client.pid, began), client.pid):
        return decision, config
    return answer(lambda places: load(*places)), latest[0]


def _client(process: int, began: int) -> "Callable[[float], None]":
    """What takes a while, and raises OSError when the client of the gate `began` has hung up."""
    parent = parent_and_start(process)[0]
    above = parent_and_start(began)[0] if began else 0
    threads = threads_of(parent)
    said = select.poll()
    said.register(2, 0)  # an error alone: nobody reads any more

    def sleep(seconds: float) -> None:
        gone = (
            said.poll(int(seconds * 1000) + 1)
            or parent_and_start(process)[0] != parent
            or threads_of(parent) < threads
            or (began and parent_and_start(began)[0] != above)
        )
        if gone:
            raise OSError(errno.EPIPE, "the client hung up")

    return sleep
