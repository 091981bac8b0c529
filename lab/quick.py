"""`gitguard ...` in a process of its own, without waiting for Python and its libraries to load each time.

One process per test worker (and per server of its own) has everything loaded; for each command it forks, and
the child has the command's arguments, environment, folder and streams. What runs is the same code in a new
process with a new pid; only the start of the interpreter is saved, a quarter of a second of each of some
three thousand commands.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType

from lab.asking import WAIT_SECONDS, ask

ROOT = Path(__file__).resolve().parents[1]


class Quick:
    """The process that forks, started by the first command."""

    def __init__(self, library: str = str(ROOT), python: str = sys.executable) -> None:
        self._library, self._python = library, python
        self._process: subprocess.Popen[bytes] | None = None
        self._address = ""
        self._owner = 0

    def run(
        self,
        words: list[str],
        stdin: bytes,
        environ: dict[str, str] | None = None,
        cwd: str = "",
        gate: tuple[str, ...] = (),
    ) -> tuple[int, bytes, bytes]:
        """(exit status, stdout, stderr) of `gitguard WORDS`; a negative status is the signal it died of.

        `gate`: the launcher and its three places, for what sshd starts with WORDS
        as the key line's arguments.
        """
        self._start()
        with contextlib.ExitStack() as files:
            streams = [files.enter_context(open(os.memfd_create("stream"), "w+b")) for _ in range(3)]
            streams[0].write(stdin)
            streams[0].seek(0)
            status = ask(self._address, words, [stream.fileno() for stream in streams], environ, cwd, gate)
            for stream in streams[1:]:
                stream.seek(0)
            return status, streams[1].read(), streams[2].read()

    def program(self, path: Path) -> None:
        """Put a `gitguard` at `path` that asks this process. For this process's user
        alone: commands run as that user.
        """
        self._start()
        path.write_text(
            f"#!{self._python} -ISB\nimport sys\nsys.path.append({str(ROOT)!r})\nfrom lab.asking import stand_in\n"
            f"sys.exit(stand_in({self._address!r}, sys.argv[1:]))\n"
        )
        path.chmod(0o755)

    def _start(self) -> None:
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return
        folder = tempfile.mkdtemp(prefix="gitguard-lab-")
        self._address, self._owner = f"{folder}/socket", os.getpid()
        paths = [self._library, str(ROOT)]  # the package may be another copy than the lab's
        code = f"import sys; sys.path[:0] = {paths!r}; from lab.quick import serve; serve({self._address!r})"
        self._process = subprocess.Popen(
            [self._python, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        atexit.register(self._stop)

    def _stop(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(WAIT_SECONDS)


def serve(address: str) -> None:
    """Fork a child for each connection until stdin ends."""
    import gc
    import select

    import gitguard.__main__
    import gitguard.cli.over_ssh
    import gitguard.gate.main
    from gitguard.cli.admin import NOUNS
    from gitguard.host import launcher
    from gitguard.host.places import SYSTEM_CONFIG, places_of

    for place in NOUNS.values():
        import_module(f"gitguard.cli.admin.{place.partition('.')[0]}")
    if os.environ.get("GITGUARD_LAB_AGENT") == "python":  # as lab/agent.py
        launcher.CLIENT = ""
    launcher.bundles(
        places_of(SYSTEM_CONFIG), launcher.AgentPlace("none")
    )  # compiled once here, for every `init` and `doctor`
    gc.collect()
    gc.freeze()  # or each child would copy the pages of all that is loaded, to look whether it is garbage
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are the kernel's to bury
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(64)
    os.write(1, b"ready\n")
    while True:
        ready, _, _ = select.select([listener.fileno(), 0], [], [])
        if 0 in ready:
            break
        channel, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _serve_one(channel, gitguard.__main__)
        channel.close()
    os.unlink(address)
    os.rmdir(os.path.dirname(address))


def _serve_one(channel: socket.socket, program: ModuleType) -> None:
    """Be the command that the channel describes, then say its status; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, handles, _, _ = socket.recv_fds(channel, 8, 3)
    asked = b""
    while len(asked) < int.from_bytes(length, "big"):
        asked += channel.recv(1 << 16)
    wanted = json.loads(asked.decode("utf-8", "surrogateescape"))
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)
    os.environ.clear()
    os.environ.update(wanted["environ"])
    os.chdir(wanted["cwd"])
    os.umask(wanted["umask"])
    sys.argv = [wanted["gate"][0] if wanted["gate"] else str(program.__file__), *wanted["words"]]
    status, ours = 1, os.getpid()
    try:
        if wanted["gate"]:
            status = _gate(wanted["gate"][1:], wanted["environ"])
        else:
            program.main()
            status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    if os.getpid() == ours:  # a command that forked comes here twice
        with contextlib.suppress(OSError):
            channel.sendall(str(status).encode())
    os._exit(status & 0xFF)


def _gate(places: list[str], environ: dict[str, str]) -> int:
    """What the launcher does: the gate's main, with what it reads of its
    environment as a new process finds it.
    """
    import posix

    from gitguard.gate.main import main

    posix.environ.clear()
    posix.environ.update({os.fsencode(name): os.fsencode(value) for name, value in environ.items()})
    return main(*places)


QUICK = Quick()
