"""A refused push that waits for its person, and goes on by itself when they have verified elsewhere.

Loaded only when a push is refused for want of a verification and `[session] wait` allows it. It holds no lock and
no transaction; it asks the very question of the gate again, once a second and when the store has changed. MUST:
the last answer before it goes on comes after the note is gone, so that a change which ends what rides meets either
a note (and a gate that will ask again) or a rider of its own. Plain dialect.
"""

import _signal  # type: ignore[import-not-found]
import errno
import posix
import select
import sys
import time
from fcntl import ioctl
from termios import FIONREAD

from gitguard.answer.telling import view_of
from gitguard.config.compiled import Config, read
from gitguard.config.load import load
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision
from gitguard.message.reasons import WANTING, Refusal
from gitguard.message.refusals import View, first_line
from gitguard.session.moment import now
from gitguard.session.waiting import Note, drop, put
from gitguard.store.gate_query import GateQuery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TICK_SECONDS = 0.5
ANEW_SECONDS = 5  # dates and lifetimes pass without anybody changing the store
NO_WAIT = "gitguard=no-wait"  # in GIT_PROTOCOL: the client asks for the refusal at once, to ask its person by itself


def may_wait(decision: Decision, config: Config) -> bool:
    """Whether `decision`, a refusal, is of a push that one more verification would let through."""
    command, refusal = decision.command, decision.refusal
    return (
        config.wait_seconds > 0
        and refusal is not None
        and refusal.reason in WANTING
        and not refusal.text  # what no verification mends says so in words of its own
        and command is not None
        and command.verb == "git-receive-pack"
        and NO_WAIT not in decision.request.protocol.split(":")
    )


def wait(
    decision: Decision, id_: str, config: Config, places: "tuple[str, str, str]"
) -> "tuple[Decision, Config]":
    """The answer after at most `config.wait_seconds`, an allowed one or the refusal that stands then; and by which configuration.

    `places`: configuration, compiled form and hook, as the launcher names them.
    """
    _lighter(places)
    request = decision.request
    stopped: list[int] = []  # SIGTERM: a revoked session, a suspended user, a server that goes down
    _signal.signal(_signal.SIGTERM, lambda number, _: stopped.append(number))
    view = _view(decision, id_, config)
    try:
        note = put(
            config.state,
            request.user,
            request.credential.text,
            request.address,
            decision.repository,
            request.moment.at,
            view.number,
        )
    except (OSError, ValueError):
        note = None  # what cannot be noted cannot be found and ended: refused at once
    try:
        if note is None:
            return decision, config
        _say(decision, view, config, note)
        if _watch(decision, config, places, stopped):
            _write("gitguard: verified; the push goes on\n")
    except OSError:
        pass  # the client is gone; asked once more below, for the log
    finally:
        if note is not None:
            drop(config.state, note.pid)
        _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
    return _ask(decision, config, places, lambda places: load(*places))


def _lighter(places: "tuple[str, str, str]") -> None:
    """Begin anew where this very process had to compile the configuration: what that takes stays with it as long as it waits.

    Nothing was said or logged yet. Only where the compiled form is there now, or this would have no end.
    """
    if "msgspec" in sys.modules and _is_current(places):
        posix.execv(sys.executable, sys.orig_argv)


def _load(places: "tuple[str, str, str]") -> Config:
    """The configuration; compiled, if it has to be, by a child, for the same reason. Raises Refusal("config-invalid")."""
    if not _is_current(places):
        child = posix.fork()
        if child == 0:
            try:
                load(*places)
            finally:
                posix._exit(0)  # noqa: SLF001 - its public name is in os, which the gate does not import
        posix.waitpid(child, 0)
        if not _is_current(places):
            raise Refusal("config-invalid", f"{places[0]} cannot be compiled just now")
    return load(*places)


def _is_current(places: "tuple[str, str, str]") -> bool:
    """Whether the compiled form describes the configuration that is there."""
    try:
        return read(places[1], places[0], posix.stat(places[0]), posix.geteuid()) is not None
    except OSError:
        return False


def _view(decision: Decision, id_: str, config: Config) -> View:
    store = GateQuery(config.store)
    try:
        return view_of(decision, id_, config, store)
    finally:
        store.close()


def _say(decision: Decision, view: View, config: Config, note: Note) -> None:
    """What to do, and by which number this push is known elsewhere."""
    if decision.refusal is not None:
        _write(first_line(decision.refusal, view).rpartition(" [")[0] + "\n")
    _write(
        f"gitguard: this push, number {note.number}, waits up to {config.wait_seconds} s, and goes on by itself "
        "once that is done elsewhere; Ctrl-C ends it\n"
    )


def _write(text: str) -> None:
    posix.write(2, text.encode("utf-8", "replace"))


def _watch(decision: Decision, config: Config, places: "tuple[str, str, str]", stopped: "list[int]") -> bool:
    """Wait until the answer is another, the client is gone (OSError) or the time is over; whether it is allowed now."""
    ends = time.monotonic() + config.wait_seconds
    client = select.poll()
    client.register(0, select.POLLIN)
    seen, asked = _versions(config), time.monotonic()
    while (left := ends - time.monotonic()) > 0 and not stopped:
        for _, event in client.poll(int(min(TICK_SECONDS, left) * 1000) + 1):
            if event & ~select.POLLIN or _unread() == 0:
                raise OSError(errno.EPIPE, "the client hung up")
            client.register(0, 0)  # it speaks before it is its turn: what it says is Git's to read
        versions = _versions(config)
        if versions == seen and time.monotonic() - asked < ANEW_SECONDS:
            continue
        seen, asked = versions, time.monotonic()
        answer, _ = _ask(decision, config, places, _load)
        if answer.refusal is None:
            return True
        if answer.refusal.reason not in WANTING and not answer.refusal.is_our_fault:
            return False  # a configuration that is half written, a store that is locked: asked again while there is time
    return False


def _unread() -> int:
    """How many bytes the client has sent that nobody has read."""
    return int.from_bytes(ioctl(0, FIONREAD, b"\0\0\0\0"), sys.byteorder)


def _versions(config: Config) -> "tuple[object, ...]":
    """What changes when the store or the configuration does."""
    found: list[object] = []
    for path in (config.store, config.store + "-wal", config.path):
        try:
            entry = posix.stat(path)
            found.append((entry.st_ino, entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


def _ask(
    decision: Decision,
    config: Config,
    places: "tuple[str, str, str]",
    loading: "Callable[[tuple[str, str, str]], Config]",
) -> "tuple[Decision, Config]":
    """The gate's own question, asked now, and the configuration that answered."""
    try:
        config = loading(places)
        store = GateQuery(config.store)
        try:
            return decide(decision.request.at(now()), config, store), config
        finally:
            store.close()
    except Refusal as refusal:
        return decision.refused(refusal), config
