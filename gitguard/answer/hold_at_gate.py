"""The gate's side of a push that waits (answer/hold.py): its own question again, and a client
that may hang up. Plain dialect.
"""

import errno
import posix
import select
import sys
from fcntl import ioctl
from termios import FIONREAD

from gitguard.answer.client import Client
from gitguard.answer.hold import hold, is_current, is_heavy, load_lightly
from gitguard.config.compiled import Config
from gitguard.config.load import load
from gitguard.decision.command import read_command
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now
from gitguard.store.gate_opening import query_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gitguard.answer.client import Places


def wait(
    decision: Decision, id_: str, config: Config, places: "Places", client: Client
) -> "tuple[Decision, Config]":
    """The answer after at most `config.wait_seconds`, an allowed one or the refusal that stands
    then; and by which configuration.

    `places`: configuration, compiled form and hook, as the launcher names them.
    """
    if not client.is_lent and is_heavy() and is_current(places):
        # Begin again, nothing was said or logged yet: what compiling takes stays with a process while it
        # waits. Only where the compiled form is there now, or this would have no end.
        posix.execv(sys.executable, sys.orig_argv)

    def ask() -> Decision:
        try:
            return _ask(decision, config, places, load_lightly)[0]
        finally:
            client.rest()

    client.rest()
    if not hold(decision, id_, config, ask, _client(), client.pid):
        return decision, config
    return _ask(decision, config, places, lambda places: load(*places))


def _client() -> "Callable[[float], None]":
    """What takes a while, and raises OSError when the client has hung up."""
    client = select.poll()
    client.register(0, select.POLLIN)

    def sleep(seconds: float) -> None:
        for _, event in client.poll(int(seconds * 1000) + 1):
            if event & ~select.POLLIN or _unread() == 0:
                raise OSError(errno.EPIPE, "the client hung up")
            client.register(0, 0)  # it speaks before it is its turn: what it says is Git's to read

    return sleep


def _unread() -> int:
    """How many bytes the client has sent that nobody has read."""
    return int.from_bytes(ioctl(0, FIONREAD, b"\0\0\0\0"), sys.byteorder)


def _ask(
    decision: Decision, config: Config, places: "Places", loading: "Callable[[Places], Config]"
) -> "tuple[Decision, Config]":
    """The gate's own question, asked now, and the configuration that answered."""
    try:
        config = loading(places)
        request = decision.request.at(now())
        with query_of(config) as store:
            return decide(request, read_command(request.line, config.pass_commands), config, store), config
    except Refusal as refusal:
        return decision.refused(refusal), config
