"""A refused push that waits for its person, and continues by itself when they have verified elsewhere.

The gate holds a push that is refused for its repository, the hook one that is refused for its refs. Loaded
only when a push is refused for want of a verification and `[session] wait` allows it. It holds no lock and no
transaction; it asks the very question of anyone who holds again, once in five seconds and when the store has
changed. MUST: the last answer before it goes on comes after the note is gone, so that a change which ends
connections meets either a note (and a push that will ask again) or a connection. MUST: what reads before it
writes meets no world that changes in between, so a push behind a read that was refused does not wait. Plain
dialect.
"""

import _signal  # type: ignore[import-not-found]
import posix
import sys
import time

from gitguard.answer.refuse import context_of, pending_request
from gitguard.config.compiled import Config, read
from gitguard.config.load import load
from gitguard.decision.decision import Decision
from gitguard.message.moments import duration
from gitguard.message.reasons import WANTING, Refusal
from gitguard.message.refusals import INVITE, RefusalContext, first_line
from gitguard.session.pending import hold as note_held
from gitguard.session.pending import release
from gitguard.session.refused_reads import was_refused
from gitguard.session.request_notes import PendingRequest
from gitguard.store.gate_opening import notes_of, query_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gitguard.answer.client import Places

TICK_SECONDS = 0.5
ANEW_SECONDS = 5  # dates and lifetimes pass without anyone changing the store
ANEW_OF_DATABASE_SECONDS = 1  # what is no file does not show that it has changed
# in GIT_PROTOCOL: the client asks for the refusal at once, to ask its person by itself
NO_WAIT = "gitguard=no-wait"


def may_wait(decision: Decision, config: Config, protocol: str) -> bool:
    """Whether `decision`, a refusal, is of a push that one more verification would let through; sets why
    not, where that is worth a word.
    """
    command, refusal = decision.command, decision.refusal
    wanting = (
        config.wait_seconds > 0
        and refusal is not None
        and refusal.reason in WANTING
        and not refusal.text  # what no verification mends says so in words of its own
        and command is not None
        and command.verb == "git-receive-pack"
        and NO_WAIT not in protocol.split(":")
    )
    if not wanting or refusal is None:
        return False
    request = decision.request
    if was_refused(
        config.state,
        request.user,
        request.credential.text,
        request.address,
        decision.repository,
        request.moment.at,
    ):
        why = "it does not wait, since a read of this repository was refused a moment ago; verify, then begin again with the read"
        decision.refusal = refusal.but(hint="; ".join([part for part in (refusal.hint, why) if part]))
        return False
    return True


def hold(
    decision: Decision,
    id_: str,
    config: Config,
    ask: "Callable[[], Decision]",
    sleep: "Callable[[float], None]",
    process: int,
) -> bool:
    """Wait at most `config.wait_seconds`; whether it came to wait at all. Anyone who calls asks again then.

    `ask` puts the question again; `sleep` takes at most so many seconds, and raises
    OSError when the client is gone. `process`: whose push it is.
    """
    request = decision.request
    stopped: list[int] = []  # SIGTERM: a revoked session, a suspended user, a server that goes down
    _signal.signal(_signal.SIGTERM, lambda number, _: stopped.append(number))
    held, notes = None, notes_of(config)
    try:
        context = _context(decision, id_, config)
        noted = pending_request(decision, config)
        held = note_held(notes, request, decision.repository, request.moment.at, process, noted)
        if held is None:
            return False
        _say(decision, context, config, held)
        began = time.monotonic()
        if _watch(config, ask, sleep, stopped):
            _write("gitguard: verified; continuing the push\n")
        elif time.monotonic() - began >= config.wait_seconds:
            _write(f"gitguard: not verified within {duration(config.wait_seconds)}; nothing was pushed\n")
    except (OSError, ValueError, Refusal):
        # the client is gone, or what cannot be noted cannot be found and ended: asked once more, for the log
        pass
    finally:
        if held is not None:
            release(notes, held)
        _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
    return held is not None


def load_lightly(places: "Places") -> Config:
    """The configuration; compiled, if it has to be, by a child: what that takes would stay with anyone who
    waits. Raises Refusal("config-invalid").
    """
    if not is_current(places):
        child = posix.fork()
        if child == 0:
            try:
                load(*places)
            finally:
                posix._exit(0)  # noqa: SLF001 - its public name is in os, which the gate does not import
        posix.waitpid(child, 0)
        if not is_current(places):
            raise Refusal("config-invalid", f"{places[0]} cannot be compiled just now")
    return load(*places)


def is_current(places: "Places") -> bool:
    """Whether the compiled form describes the configuration that is there."""
    try:
        return read(places[1], places[0], posix.stat(places[0]), posix.geteuid()) is not None
    except OSError:
        return False


def is_heavy() -> bool:
    """Whether this very process had to compile the configuration."""
    return "msgspec" in sys.modules


def _context(decision: Decision, id_: str, config: Config) -> RefusalContext:
    with query_of(config) as store:
        return context_of(decision, id_, config, store)


def _say(decision: Decision, context: RefusalContext, config: Config, held: PendingRequest) -> None:
    """What to do, and by which number this push is known elsewhere."""
    refusal = decision.refusal
    if refusal is not None:
        _write(first_line(refusal, context).rpartition(" [")[0] + "\n")
        if decision.updates and refusal.hint:
            _write(f"gitguard: {refusal.hint.partition(';')[0]}\n")
    if refusal is not None and refusal.reason == "enrolment-required" and context.needs_invite:
        _write(f"gitguard: {INVITE}\n")
    _write(
        f"gitguard: waiting up to {duration(config.wait_seconds)} for you to verify; "
        f"push number {held.number} continues by itself (Ctrl-C cancels)\n"
    )


def _write(text: str) -> None:
    posix.write(2, text.encode("utf-8", "replace"))


def _watch(
    config: Config, ask: "Callable[[], Decision]", sleep: "Callable[[float], None]", stopped: "list[int]"
) -> bool:
    """Wait until the answer changes, the client is gone (OSError) or time is
    up; whether it is allowed now.
    """
    ends = time.monotonic() + config.wait_seconds
    anew = ANEW_SECONDS if config.store[:1] == "/" else ANEW_OF_DATABASE_SECONDS
    seen, asked = _versions(config), time.monotonic()
    while (left := ends - time.monotonic()) > 0 and not stopped:
        sleep(min(TICK_SECONDS, left))
        versions = _versions(config)
        if versions == seen and time.monotonic() - asked < anew:
            continue
        seen, asked = versions, time.monotonic()
        refusal = ask().refusal
        if refusal is None:
            return True
        if refusal.reason not in WANTING and not refusal.is_our_fault:
            # a configuration that is half written, a store that is locked: asked again while there is time
            return False
    return False


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
