"""A real agent beside an installation: started, stopped, killed by its pid; and every story through one.

`GITGUARD_LAB_AGENT=compiled` (or `python`) puts an agent beside each server of the lab, and its client into
the places of gate and hook, so that the stories of the suite run through it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gitguard.agent.look import fault_of_agent
from gitguard.host import launcher
from gitguard.host.places import places_of
from gitguard.machine.process import parent_and_start
from lab.run import GITGUARD

if TYPE_CHECKING:
    from lab.installation import Installation

WAIT_SECONDS = 20
WAY = os.environ.get("GITGUARD_LAB_AGENT", "")
if WAY == "python":
    launcher.CLIENT = ""


class Agent:
    """`gitguard admin agent` for one installation; as a context manager it stops at the end."""

    def __init__(self, server: Installation, *, workers: int = 2, client: str = "compiled") -> None:
        self.server = server
        self.workers = workers
        self.client = client
        # A Unix socket's address is short; folders of tests are not.
        self.folder = Path(tempfile.mkdtemp(prefix="gg-"))
        self.socket = self.folder / "agent.socket"
        self.log = self.folder / "log"
        self.environment: dict[str, str] = {}
        self.before: list[str] = []  # what it is started by
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Agent:
        self.install()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def install(self) -> None:
        """Name the socket in the configuration, and put the clients into the places of gate and hook."""
        if self.client == "compiled" and not os.path.exists(launcher.CLIENT):
            raise RuntimeError("the client is not built: make client")
        self.server.configure(agent={"socket": str(self.socket)})
        self.server.admin("init")
        if self.client == "python" and launcher.CLIENT:
            with without_compiled_client():
                places = places_of(str(self.server.config))
                for path, data in launcher.launchers(places, self._asked()).items():
                    Path(path).write_bytes(data)
                hook = Path(places.hook).read_bytes()
            for directory in self.server.repositories.glob("*.git"):
                (directory / "hooks" / "pre-receive").write_bytes(hook)
            Path(places.compiled).unlink(missing_ok=True)

    def _asked(self) -> launcher.AgentPlace:
        return launcher.AgentPlace(str(self.socket), os.geteuid())

    def start(self, *, wait: bool = True, command: tuple[str, ...] = ("admin", "agent")) -> None:
        """Start it, and wait until it answers."""
        words = [
            *self.before,
            *GITGUARD,
            "--config",
            str(self.server.config),
            *command,
            "--workers",
            str(self.workers),
        ]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until it answers."""
        ends = time.monotonic() + WAIT_SECONDS
        while fault := fault_of_agent(str(self.socket)):
            if time.monotonic() > ends or (self._process is not None and self._process.poll() is not None):
                raise RuntimeError(f"the agent does not answer: {fault}\n{self.log.read_text()}")
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        """The first process."""
        assert self._process is not None
        return self._process.pid

    @property
    def workers_of(self) -> list[int]:
        """The workers' pids."""
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and parent_and_start(name)[0] == self.pid:
                    found.append(int(name))
            except (OSError, ValueError):
                continue
        return found

    def tell(self, number: signal.Signals, *, workers: bool = False) -> None:
        """Tell the first process, or each worker."""
        for pid in self.workers_of if workers else [self.pid]:
            os.kill(pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        return process.wait(WAIT_SECONDS)


@contextmanager
def without_compiled_client() -> Iterator[None]:
    """As on a machine where none was built."""
    before, launcher.CLIENT = launcher.CLIENT, ""
    try:
        yield
    finally:
        launcher.CLIENT = before


def beside(server: Installation) -> Agent | None:
    """Where the stories are to run through an agent: one beside `server`, as long as that is there."""
    if not WAY:
        return None
    agent = Agent(server, client=WAY)
    agent.server = weakref.proxy(server)
    agent.install()
    agent.start()
    weakref.finalize(server, agent.__exit__)
    return agent
