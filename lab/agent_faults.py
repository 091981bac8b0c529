"""What can happen to an agent x what someone does: decided all the same, within two seconds, and never a yes
that the launcher would not have said. `make faults` prints it; tests/agent/test_faults.py holds every row.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.agent import Agent
from lab.hostile_agent import ANSWERS, HostileAgent, OfAnotherAccount, frame
from lab.run import run
from lab.server import Direct, Person

SLOWEST_SECONDS = 2.0
AS = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
Fault = Callable[[Agent], Iterator[None]]
FAULTS: dict[str, Fault] = {}
YES = frame(b"x", b"/bin/echo\x002\x00echo\x00pwned\x00")


def fault(name: str) -> Callable[[Fault], Fault]:
    """Put a fault into the table."""

    def add(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return add


@fault("healthy")
def _healthy(agent: Agent) -> Iterator[None]:
    agent.wait()
    yield


@fault("never started")
def _never(agent: Agent) -> Iterator[None]:
    agent.stop()
    yield
    agent.start()


@fault("killed")
def _killed(agent: Agent) -> Iterator[None]:
    agent.stop(signal.SIGKILL)
    yield
    agent.start()


@fault("its workers stopped")
def _stopped(agent: Agent) -> Iterator[None]:
    agent.tell(signal.SIGSTOP, workers=True)
    yield
    agent.tell(signal.SIGCONT, workers=True)


@fault("its workers killed, and the first process stopped")
def _no_workers(agent: Agent) -> Iterator[None]:
    agent.tell(signal.SIGSTOP)
    agent.tell(signal.SIGKILL, workers=True)
    yield
    agent.tell(signal.SIGCONT)
    agent.wait()


@fault("socket gone")
def _gone(agent: Agent) -> Iterator[None]:
    agent.stop(signal.SIGKILL)
    agent.socket.unlink()
    yield
    agent.start()


@fault("a file in the socket's place")
def _file(agent: Agent) -> Iterator[None]:
    agent.stop()
    agent.socket.write_text("no socket")
    yield
    agent.socket.unlink()
    agent.start()


@fault("the socket's folder gone")
def _folder(agent: Agent) -> Iterator[None]:
    agent.stop()
    agent.folder.rename(f"{agent.folder}.away")
    yield
    Path(f"{agent.folder}.away").rename(agent.folder)
    agent.start()


@fault("a socket of another account, which says yes")
def _other(agent: Agent) -> Iterator[None]:
    agent.stop()
    with OfAnotherAccount(agent.socket, YES):
        yield
    agent.start()


@fault("backlog full")
def _full(agent: Agent) -> Iterator[None]:
    agent.stop()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(agent.socket))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        one = socket.socket(socket.AF_UNIX)
        one.setblocking(False)  # noqa: FBT003
        one.connect_ex(str(agent.socket))
        waiting.append(one)
    yield
    for one in (*waiting, listener):
        one.close()
    agent.socket.unlink()
    agent.start()


@fault("no answer, ever")
def _silent(agent: Agent) -> Iterator[None]:
    agent.stop()
    with HostileAgent(agent.socket, None):
        yield
    agent.start()


def _answering(answer: bytes) -> Fault:
    def says(agent: Agent) -> Iterator[None]:
        agent.stop()
        with HostileAgent(agent.socket, answer):
            yield
        agent.start()

    return says


for _name, _answer in ANSWERS.items():
    FAULTS[f"it says: {_name}"] = _answering(_answer)


@dataclass
class Asked:
    """An installation with an agent: alice is verified, bob is not; `app` requires 2FA."""

    server: Direct
    agent: Agent
    alice: Person
    bob: Person
    tree: Path
    count: int = 0

    @classmethod
    @contextmanager
    def make(cls, folder: Path, client: str) -> Iterator[Asked]:
        """Install below `folder`; the agent runs."""
        with ExitStack() as stack:
            server = Direct(folder)
            server.install()
            alice = server.new_user("alice")
            bob = server.add_user("bob")
            server.admin("repo", "create", "app", "--admin", "alice")
            server.admin("repo", "require", "app", "all")
            agent = stack.enter_context(Agent(server, client=client))
            site = cls(server, agent, alice, bob, folder / "tree")
            site.prepare()
            yield site

    def prepare(self) -> None:
        """A work tree, and what stands in ssh's place: the gate, as sshd starts it."""
        run(["git", "init", "-q", "-b", "main", str(self.tree)])
        run(["git", *AS, "commit", "-q", "--allow-empty", "-m", "one"], cwd=self.tree)
        command = self.server.ssh_command(self.alice, "LINE")
        words = [shlex.quote(word) for word in command]
        line = " ".join(words).replace("SSH_ORIGINAL_COMMAND=LINE", 'SSH_ORIGINAL_COMMAND="$line"')
        program = self.tree / "ssh"
        program.write_text(f"#!/bin/sh\nfor line; do :; done\nexec {line}\n")
        program.chmod(0o755)

    def push(self, *refs: str) -> subprocess.CompletedProcess[bytes]:
        """A whole push of alice's: the gate, receive-pack, the hook."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.tree), "GIT_SSH": str(self.tree / "ssh")}
        command = ["git", "push", "-q", "git@host:app", *refs]
        return subprocess.run(
            command, cwd=self.tree, env=environment, capture_output=True, timeout=30, check=False
        )

    def act(self, action: str) -> tuple[str, int, float]:
        """(reason or `allowed`, exit status, seconds) of one action: read, refused, push, status."""
        if action == "whole push":
            return self._whole_push()
        person = self.bob if action == "refused" else self.alice
        line = {"push": "git-receive-pack 'app'", "status": "2fa status"}.get(action, "git-upload-pack 'app'")
        began = time.monotonic()
        done = subprocess.run(
            self.server.ssh_command(person, line),
            input=b"0000" if line.startswith("git") else b"",
            capture_output=True,
            timeout=30,
            check=False,
        )
        seconds = time.monotonic() - began
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        reason = text.rpartition("[")[2].partition("]")[0] if "gitguard: " in text and "[" in text else ""
        if "Traceback" in text or "pwned" in text:
            reason = "BROKEN"
        return (
            reason or ("allowed" if done.returncode == 0 else f"silent {done.returncode}"),
            done.returncode,
            seconds,
        )

    def _whole_push(self) -> tuple[str, int, float]:
        self.count += 1
        began = time.monotonic()
        done = self.push(f"HEAD:refs/heads/b{self.count}")
        seconds = time.monotonic() - began
        there = (self.server.directory("app") / "refs" / "heads" / f"b{self.count}").exists()
        said = done.stderr.decode("utf-8", "replace")
        reason = "allowed" if done.returncode == 0 and there else said.strip()[-80:]
        return ("BROKEN" if "Traceback" in said or "pwned" in said else reason), done.returncode, seconds


EXPECTED = {
    "read": ("allowed", 0),
    "push": ("allowed", 0),
    "status": ("allowed", 0),
    "refused": ("enrolment-required", 11),
    "whole push": ("allowed", 0),
}
SECONDS_OF = {"whole push": 2 * SLOWEST_SECONDS}  # two of ours are asked, one after the other


@contextmanager
def broken(agent: Agent, name: str) -> Iterator[None]:
    """`agent` with the fault of this name, and healthy again behind it."""
    with contextmanager(FAULTS[name])(agent):
        yield
