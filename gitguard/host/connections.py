"""The connections that the gate let in, by their processes: Git that it became, gates
that decide, commands that wait.

The gate leaves its decision in Git's environment; the kernel shows it to the same account. Which of them
are still allowed is asked in decision/still.py. Source: proc(5), /proc/PID/environ and /proc/PID/io.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import time

from msgspec import Struct

from gitguard.host.places import PYTHON
from gitguard.machine.errand import errand
from gitguard.machine.process import parent_and_start
from gitguard.session.credential import Credential, credential_of
from gitguard.session.request_notes import Notes

_HOOK = re.compile(
    rb"(^|/)hooks(\.kept|/pre-receive\.d)?/(pre-receive|update|post-receive|post-update|proc-receive|reference-transaction)$"
    rb"|(^|/)hooks/pre-receive\.d/[^/]+$"
)
LOOK = "riders.seen"  # below the state folder: what the last look at connections saw
# below the state folder: its time tells doctor that someone sweeps, whoever else looked meanwhile
SWEPT = "swept"
LOOK_SECONDS = 600  # a sweep runs once a minute; ten in a row that did not are no accident
STOPPED = (
    "gitguard: stopped, because the session, key or rule that allowed this has ended; "
    "try again, and you are told what is needed"
)
GIT, GATE, HELD = "git", "gate", "held"


class GateProcess(Struct, frozen=True):
    """A process begun by the gate.

    `began` is the process that the gate was: processes that share it are one connection. `kind` is `git` (it
    became Git, or a program behind the gate) or `gate` (still the gate: it decides, or serves a command of
    our own, perhaps at its prompt) or `held` (a gate, or a hook of ours, whose push waits for its person).
    `session` is the one that let it in, 0 for none, BY_KEY for a hardware key's login; `login_counts`: its
    key line requires user verification of a hardware key. `repository` and `directory` are empty where the
    gate knew none; `line` is the client's command.
    """

    pid: int
    started: int
    began: int
    kind: str
    user: str
    credential: Credential
    address: str = ""
    session: int = 0
    repository: str = ""
    directory: str = ""
    operation: str = ""
    line: str = ""
    downstream: tuple[str, ...] = ()
    login_counts: bool = False


class RunningConnections(Struct, frozen=True):
    """The connections of one installation, known by its state folder and its gate's launcher.

    `process` is ours: its connection is left out.
    """

    state: str
    gate: str
    process: int

    def processes(self) -> list[GateProcess]:
        """Every process of the Git account that this gate began, our own and its ancestors left out."""
        return running(self, {request.pid for request in Notes(self.state).held_here()})

    def process_of(
        self, pid: int, parents: dict[int, tuple[int, int]], holding: set[int]
    ) -> GateProcess | None:
        """What the process `pid` is to this gate, None if nothing."""
        try:
            environment = _environment(pid)
            if environment.get("GITGUARD_STATE") == self.state:
                # A job that a hook left behind inherits the environment, but not the process that was let in.
                began = int(environment.get("GITGUARD_PID", "0"))
                inside = began in _way_up(pid, parents)
                kind = HELD if pid in holding else GIT
                return _begun(pid, parents[pid][1], began, environment, kind) if inside else None
            return self._gate(pid, parents[pid][1], environment, HELD if pid in holding else GATE)
        except (OSError, ValueError):
            return None  # gone meanwhile, or not ours to read

    def _gate(self, pid: int, started: int, environment: dict[str, str], kind: str) -> GateProcess | None:
        """A gate that has not become Git: known by its command line."""
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode("utf-8", "replace").split("\0")
        began = next((word for word in words if word in (self.gate, self.gate + PYTHON)), None)
        if began is None:
            return None
        arguments = words[words.index(began) + 1 :]
        if arguments[:1] == ["--hook"]:
            return None  # the client as a hook: Git below it, or its own push, is what counts
        if arguments[4:5] == ["--token"]:
            del arguments[4:6]
        login_counts = arguments[4:5] == ["--verify-required"]
        arguments = [*arguments[:4], *arguments[4 + login_counts :], "", "", "", "", ""]
        line = environment.get("SSH_ORIGINAL_COMMAND", "")
        address = environment.get("SSH_CONNECTION", "").partition(" ")[0]
        downstream = tuple(word for word in arguments[5:] if word) if arguments[4] == "--" else ()
        return GateProcess(
            pid,
            started,
            pid,
            kind,
            arguments[1],
            credential_of(arguments[3]),
            address,
            line=line,
            downstream=downstream,
            login_counts=login_counts,
        )

    def settled(self, deciding: list[GateProcess], seconds: float) -> list[GateProcess]:
        """Of gates that decide, those that are there when each has come to its end, or after `seconds`: what
        has become Git meanwhile, or hangs. A gate whose refusal is on its way says it, and is gone.
        """
        return settled_of(self.state, deciding, seconds) if deciding else []


@errand
def running(connections: RunningConnections, holding: set[int]) -> list[GateProcess]:
    """The processes of `connections`; `holding`: the pids of those whose push waits for its person."""
    parents = _parents()
    ours = set(_way_up(connections.process, parents))
    found = (connections.process_of(pid, parents, holding) for pid in parents if pid not in ours)
    return [process for process in found if process is not None]


@errand
def settled_of(state: str, deciding: list[GateProcess], seconds: float) -> list[GateProcess]:
    """As `RunningConnections.settled`, for the installation with this state folder."""
    there: list[GateProcess] = []
    ends = time.monotonic() + seconds
    while deciding:
        left: list[GateProcess] = []
        for process in deciding:
            try:
                if parent_and_start(process.pid)[1] != process.started:
                    continue
                has_become_git = _environment(process.pid).get("GITGUARD_STATE") == state
            except (OSError, ValueError):
                continue  # gone
            (there if has_become_git else left).append(process)
        if left and time.monotonic() >= ends:
            return [*there, *left]
        deciding = left
        if left:
            time.sleep(0.005)
    return there


@errand
def end(processes: list[GateProcess]) -> int:
    """End (SIGTERM) these, and tell anyone who is connected; how many there were. One that is
    gone already is not counted.
    """
    count = 0
    told: set[int] = set()
    for process in sorted(
        processes, key=lambda process: process.pid != process.began
    ):  # what the gate was speaks for the rest
        try:
            if parent_and_start(process.pid)[1] != process.started:
                continue  # the number names another process by now
            if process.began not in told and process.kind != HELD:  # one that is held has words of its own
                told.add(process.began)
                _tell(process.pid)
            os.kill(process.pid, signal.SIGTERM)
        except (OSError, ValueError):
            continue
        count += 1
    return count


def _tell(pid: int) -> None:
    """Say `STOPPED` on the process's stderr, a pipe of sshd's: everything else belongs to Git's protocol."""
    try:
        handle = os.open(f"/proc/{pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return  # closed, a socket, or gone: it ends without words
    try:
        if stat.S_ISFIFO(os.fstat(handle).st_mode):
            os.write(handle, f"{STOPPED}\n".encode())
    except OSError:
        return  # nobody reads
    finally:
        os.close(handle)


@errand
def bytes_moved(processes: list[GateProcess]) -> dict[str, int]:
    """How far each connection has come: bytes read and written by its processes, by pid and start of each.

    What cannot be read is left out, and so counts as standing still.
    """
    counters = {}
    for process in processes:
        try:
            with open(f"/proc/{process.pid}/io", "rb") as file:
                fields = dict(line.split(b": ") for line in file.read().splitlines())
            # A read flows by what the server sends: what the client dribbles in is not progress.
            read = 0 if process.operation == "read" else int(fields[b"rchar"])
            counters[f"{process.pid}:{process.started}"] = read + int(fields[b"wchar"])
        except (OSError, ValueError, KeyError):
            continue
    return counters


@errand
def still_moving(processes: list[GateProcess], before: dict[str, int], seconds: float) -> set[int]:
    """The connections (by `began`) that move bytes: since `before` (an earlier
    `moved`), else within `seconds`.

    One that runs a hook counts as moving: then it waits for the server, and no client can draw that out.
    """
    flows = {process.began for process in processes if _is_hook(process.pid)}
    now = bytes_moved(processes)
    compared = {process.began for process in processes if _name(process) in before}
    flows |= {p.began for p in processes if _name(p) in before and now.get(_name(p), 0) > before[_name(p)]}
    open_ = [process for process in processes if process.began not in flows | compared]
    ends = time.monotonic() + seconds
    while open_ and time.monotonic() < ends:
        time.sleep(0.05)
        later = bytes_moved(open_)
        flows |= {p.began for p in open_ if later.get(_name(p), 0) > now.get(_name(p), 0)}
        open_ = [process for process in open_ if process.began not in flows]
    return flows


def _name(process: GateProcess) -> str:
    return f"{process.pid}:{process.started}"


def _is_hook(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(65536).split(b"\0")
    except OSError:
        return False
    git = words[0].rpartition(b"/")[2].startswith(b"git")  # a repository may be called hooks/update
    return not git and any(_HOOK.search(word) for word in words)


def _begun(pid: int, started: int, began: int, environment: dict[str, str], kind: str) -> GateProcess:
    return GateProcess(
        pid,
        started,
        began,
        kind,
        environment.get("GITGUARD_USER", ""),
        credential_of(environment.get("GITGUARD_KEY", "")),
        environment.get("SSH_CONNECTION", "").partition(" ")[0],
        int(environment.get("GITGUARD_SESSION", "0")),
        environment.get("GITGUARD_REPOSITORY", ""),
        environment.get("GITGUARD_DIRECTORY", ""),
        environment.get("GITGUARD_OPERATION", ""),
    )


def _environment(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        pairs = [entry.partition(b"=") for entry in file.read().split(b"\0")]
    return {
        name.decode("ascii", "replace"): value.decode("utf-8", "surrogateescape") for name, _, value in pairs
    }


def _parents() -> dict[int, tuple[int, int]]:
    """Every process: its parent and its start time."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found[int(name)] = parent_and_start(name)
            except (OSError, ValueError):
                continue  # gone meanwhile
    return found


def _way_up(pid: int, parents: dict[int, tuple[int, int]]) -> list[int]:
    """`pid` and its ancestors, without the first process."""
    way = []
    while pid > 1 and pid not in way:
        way.append(pid)
        pid = parents.get(pid, (0, 0))[0]
    return way
