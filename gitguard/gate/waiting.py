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
from gitguard.config.compiled import Config
from gitguard.config.load import load
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision
from gitguard.message.reasons import WANTING, Refusal
from gitguard.message.refusals import first_line
from gitguard.session.moment import now
from gitguard.session.waiting import Note, drop, put
from gitguard.store.gate_query import GateQuery

TICK_SECONDS = 0.5
ANEW_SECONDS = 5  # dates and lifetimes pass without anybody changing the store
NO_WAIT = "gitguard=no-wait"  # in GIT_PROTOCOL: the client asks for the refusal at once, to ask its person by itself


class _Stopped(Exception):  # noqa: N818 - what SIGTERM says, not an error
    """Somebody ended what waits: a revoked session, a suspended user, the server's admin."""


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
    request = decision.request
    try:
        note = put(
            config.state,
            request.user,
            request.credential.text,
            request.address,
            decision.repository,
            request.moment.at,
        )
    except (OSError, ValueError):
        return decision, config  # what cannot be noted cannot be found and ended: refused at once
    if note is None:
        return decision, config
    try:
        _signal.signal(_signal.SIGTERM, _stop)
        _say(decision, id_, config, note)
        if _watch(decision, config, places):
            _write("gitguard: verified; the push goes on\n")
    except (_Stopped, OSError):
        pass  # asked once more below, whatever ended the wait
    finally:
        _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
        drop(config.state, note.pid)
    return _ask(decision, config, places)


def _stop(*_: object) -> None:
    raise _Stopped


def _say(decision: Decision, id_: str, config: Config, note: Note) -> None:
    """What to do, and by which number this push is known elsewhere."""
    store = GateQuery(config.store)
    try:
        view = view_of(decision, id_, config, store)
    finally:
        store.close()
    if decision.refusal is not None:
        _write(first_line(decision.refusal, view).rpartition(" [")[0] + "\n")
    _write(
        f"gitguard: this push, number {note.number}, waits up to {config.wait_seconds} s, and goes on by itself "
        "once that is done elsewhere; Ctrl-C ends it\n"
    )


def _write(text: str) -> None:
    posix.write(2, text.encode("utf-8", "replace"))


def _watch(decision: Decision, config: Config, places: "tuple[str, str, str]") -> bool:
    """Wait until the answer is another, the client is gone (OSError) or the time is over; whether it is allowed now."""
    ends = time.monotonic() + config.wait_seconds
    client = select.poll()
    client.register(0, select.POLLIN)
    seen, asked = _versions(config), time.monotonic()
    while (left := ends - time.monotonic()) > 0:
        for _, event in client.poll(int(min(TICK_SECONDS, left) * 1000) + 1):
            if event & ~select.POLLIN or _unread() == 0:
                raise OSError(errno.EPIPE, "the client hung up")
            client.register(0, 0)  # it speaks before it is its turn: what it says is Git's to read
        versions = _versions(config)
        if versions == seen and time.monotonic() - asked < ANEW_SECONDS:
            continue
        seen, asked = versions, time.monotonic()
        answer, _ = _ask(decision, config, places)
        if answer.refusal is None:
            return True
        if answer.refusal.reason not in WANTING:
            return False
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


def _ask(decision: Decision, config: Config, places: "tuple[str, str, str]") -> "tuple[Decision, Config]":
    """The gate's own question, asked now, and the configuration that answered."""
    try:
        config = load(*places)
        store = GateQuery(config.store)
        try:
            return decide(decision.request.at(now()), config, store), config
        finally:
            store.close()
    except Refusal as refusal:
        return decision.refused(refusal), config
