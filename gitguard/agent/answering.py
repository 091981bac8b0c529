"""One question, one answer: the very decision that gate and hook would come to, or "decide yourself".

MUST: only a plain yes is answered here. A refusal, a wait, an announcement, another hook, break-glass,
whatever is odd or fails: the launcher decides it again, says it and logs it; or, where the agent decides
alone, a process of the agent's that does the same (apart.py). So there is one place that speaks, and an agent
that is wrong about anything opens nothing that the launcher would not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from gitguard.agent.connection import check_connection, key_line_for
from gitguard.agent.deadline import disarm
from gitguard.agent.frame import (
    BECOME,
    DECIDE_YOURSELF,
    GATE,
    HERE,
    HOOK,
    KEYS,
    LEND_STREAMS,
    LET_IN,
    PING,
    Frame,
)
from gitguard.agent.lent import become_fields
from gitguard.agent.resident import Resident
from gitguard.answer.access_log import append, line_of, new_id
from gitguard.answer.git_process import program
from gitguard.decision.command import read_command
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision
from gitguard.decision.edge import request_of
from gitguard.decision.push import decide_push
from gitguard.decision.received import received
from gitguard.machine.environment import early_variable
from gitguard.machine.process import parent_and_start
from gitguard.machine.whereabouts import resolved
from gitguard.message.reasons import Refusal
from gitguard.repository.chained_hooks import others_fault, to_run
from gitguard.repository.hook_file import runs_for
from gitguard.session.grant import PUSH
from gitguard.session.leaders import Place
from gitguard.session.moment import now

OTHERS = "--others"  # as in gate/apart.py: the hook ran the other hooks, and says what they said
LONGEST_PUSH_BYTES = 1 << 20  # some thousand refs; the launcher takes more

Answer = tuple[str, tuple[bytes, ...]]
YOURSELF: Answer = (DECIDE_YOURSELF, ())


class OwnCommand(Exception):  # noqa: N818 - it is raised, and it is no error
    """A command of ours is allowed: it runs in a process of its own, on the client's streams."""

    def __init__(self, decision: Decision, id_: str, environ: dict[bytes, bytes]) -> None:
        super().__init__(LEND_STREAMS)
        self.decision = decision
        self.id = id_
        self.environ = environ


def answer_of(
    question: Frame, asker: Place | None, resident: Resident, is_gone: Callable[[], bool]
) -> Answer:
    """The answer to what `asker` asks, None for who may only know that we are here. Raises OwnCommand.
    `is_gone`: whether it has given us up.
    """
    try:
        if question.letter == PING:
            return HERE, (b"%d" % os.getpid(),)
        if asker is None:
            return YOURSELF
        words, environ = read_question(question.fields)
        if question.letter == GATE:
            return _of_gate(words, environ, asker, resident, is_gone)
        if question.letter == HOOK and words[:1] != [OTHERS]:
            return _of_hook(environ, question.handles, asker.pid, resident)
    except (Refusal, OSError, ValueError, RecursionError, MemoryError):
        pass  # the launcher finds it too, and says it
    return YOURSELF


def answer_of_keys(question: Frame, process: int, resident: Resident) -> Answer:
    """The line of the key that sshd, whose child `process` is, has been offered."""
    try:
        words, _ = read_question(question.fields)
        config = resident.config()
        line = key_line_for(words, process, config, resident.store(config), resident.places.gate)
    except (Refusal, OSError, ValueError):
        return YOURSELF
    return KEYS, (line.rstrip(b"\n"),)


def read_question(fields: tuple[bytes, ...]) -> tuple[list[str], dict[bytes, bytes]]:
    """(words, environment) of a question. The first of two variables of one name counts, as for the gate."""
    count = int(fields[0]) if fields else -1
    if not 0 <= count < len(fields):
        raise ValueError("fewer words than were announced")
    environ: dict[bytes, bytes] = {}
    for pair in fields[1 + count :]:
        name, equals, value = pair.partition(b"=")
        if equals:
            environ.setdefault(name, value)
    return [_text(word) for word in fields[1 : 1 + count]], environ


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _of_gate(
    words: list[str],
    environ: dict[bytes, bytes],
    asker: Place,
    resident: Resident,
    is_gone: Callable[[], bool],
) -> Answer:
    process = asker.pid
    config = resident.config()
    variables = {_text(name): _text(value) for name, value in environ.items()}
    if early_variable(variables):
        return YOURSELF
    request = request_of(words, variables, now(), process)
    check_connection(request, asker, config)
    command = read_command(request.line, config.pass_commands)
    decision = decide(request, command, config, resident.store(config))
    if decision.refusal is not None or decision.command is None:
        return YOURSELF
    id_ = new_id()
    if decision.command.kind == "own":
        raise OwnCommand(decision, id_, environ)
    if decision.says_refs_ahead(config.lifetime_seconds):
        return YOURSELF
    directory = decision.directory
    if decision.command.verb == "git-receive-pack" and directory and not runs_for(directory, process):
        return YOURSELF
    file, argv, environment = program(decision, config, id_, process)
    fields = become_fields(file, argv, environment)
    if is_gone():
        return YOURSELF  # its launcher decides already, and has a line of its own
    disarm()  # what is written down is said, however late it is by then
    append(config, line_of(decision, id_))  # even where it may pass unlogged: its launcher may be able to
    return BECOME, fields


def _of_hook(
    environ: dict[bytes, bytes], handles: tuple[int, ...], process: int, resident: Resident
) -> Answer:
    data = read_push(handles[1], LONGEST_PUSH_BYTES)
    config = resident.config()
    parent = parent_and_start(process)[0]
    directory = directory_of(handles[0], environ)
    request, push = received(data, environ, directory, config, now(), parent)
    if push.grant is None or push.grant.kind != PUSH:
        return YOURSELF
    decision = decide_push(request, push, config, resident.store(config))
    others = others_fault(directory, config.uid) or to_run(directory)
    begins_soon = config.policy.rules.last_since > request.moment.at
    said = decision.refusal is not None or decision.verdict is None or not decision.verdict.allowed
    return YOURSELF if said or others or begins_soon else (LET_IN, ())


def read_push(handle: int, most: int) -> bytes:
    """All that Git says, which the hook has put into the file `handle`. Raises Refusal, OSError."""
    entry = os.fstat(handle)
    if not stat.S_ISREG(entry.st_mode) or entry.st_size > most:
        raise Refusal("malformed-command", "the hook's input is too long")
    return os.pread(handle, most + 1, 0)


def directory_of(folder: int, environ: dict[bytes, bytes]) -> str:
    """The repository of a hook that was started in `folder`. Raises OSError, Refusal.

    MUST: it is not entered. The folder is another account's, perhaps, and closed to ours.
    """
    started_in = os.readlink(f"/proc/self/fd/{folder}")
    below = environ.get(b"GIT_DIR", b".").decode("utf-8", "surrogateescape")
    return resolved([os.path.join(started_in, below)])[0]
