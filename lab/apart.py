"""A whole server whose agent has an account of its own: who may open what, and everything that people do.

`python -m lab.apart` tells the story; tests/agent/test_apart.py holds it.
"""

from __future__ import annotations

import signal
import subprocess
import time
import tomllib
from pathlib import Path

import tomli_w

from gitguard.agent.look import fault_of_agent
from lab.host import Host
from lab.run import run

KEEPER = "gitguard"
WAIT_SECONDS = 30


class ApartHost(Host):
    """A host with both accounts, the agent and the Git account's helper."""

    def __init__(self) -> None:
        super().__init__()
        run(
            [
                "useradd",
                "--system",
                "--uid",
                str(self.port + 1),
                "--shell",
                "/usr/sbin/nologin",
                "--home-dir",
                "/nonexistent",
                KEEPER,
            ]
        )
        self.socket = self.folder / "run" / "agent.socket"
        self.socket.parent.mkdir()
        self._running: list[subprocess.Popen[bytes]] = []

    def configure(self, **tables: dict[str, object]) -> None:
        """Change keys of the configuration, and have init put it into force."""
        data = tomllib.loads(self.config.read_text())
        for table, values in tables.items():
            data.setdefault(table, {}).update(values)
        self.config.write_text(tomli_w.dumps(data))
        self.admin("config", "check")
        self.admin("init")

    def part(self) -> None:
        """Give the store to its own account, and start both processes."""
        self.configure(agent={"socket": str(self.socket), "account": KEEPER})
        self.start_agent()

    def start_agent(self) -> None:
        """The helper and the agent, as root starts them by hand; wait until the agent answers."""
        for words in (["admin", "helper"], ["admin", "agent"]):
            with open(self.folder / "agent.log", "ab") as log:
                self._running.append(
                    subprocess.Popen(
                        [self.python, "-m", "gitguard", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        env=self.env, cwd="/", start_new_session=True,
                    )
                )  # fmt: skip
        ends = time.monotonic() + WAIT_SECONDS
        while fault := fault_of_agent(str(self.socket)):
            if time.monotonic() > ends or any(one.poll() is not None for one in self._running):
                raise RuntimeError(f"{fault}\n{(self.folder / 'agent.log').read_text()}")
            time.sleep(0.02)

    @property
    def python(self) -> str:
        """The interpreter that every account can run."""
        import sys

        return str(Path(sys.executable).resolve())

    def stop_agent(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End both."""
        for process in self._running:
            process.send_signal(number)
        for process in self._running:
            process.wait(20)
        self._running.clear()

    def stop(self) -> None:
        """Stop everything by its pid."""
        self.stop_agent(signal.SIGKILL)
        super().stop()
