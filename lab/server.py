"""One server below one folder: sshd on a free port, an installation of gitguard, people with keys."""

from __future__ import annotations

from lab.clock import step
from lab.installation import ACCOUNT
from lab.people import People, enroll, enroll_by
from lab.person import Person
from lab.run import GITGUARD, Done, gitguard, run
from lab.sshd import SSHD, WAIT_SECONDS, Sshd

__all__ = [
    "ACCOUNT", "GITGUARD", "SSHD", "WAIT_SECONDS", "Direct", "Done", "Person", "Server", "enroll", "enroll_by", "gitguard",
    "run", "step",
]  # fmt: skip


class Server(Sshd, People):
    """The whole: installed, listening, used."""


class Direct(Server):
    """The same installation without sshd: the gate is started as sshd would start it. Quicker, for what sshd cannot change."""

    def start(self) -> None:
        """Nothing listens."""

    def stop(self) -> None:
        """Nothing to stop."""

    def ssh_command(
        self, person: Person, *words: str, host: str = "127.0.0.1", options: tuple[str, ...] = ()
    ) -> list[str]:
        """The gate with the environment that sshd gives it."""
        del options
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "SSH_CONNECTION": f"{host} 1 127.0.0.1 22",
        }
        if words:
            environment["SSH_ORIGINAL_COMMAND"] = " ".join(words)
        launcher = str(self.home / "bin" / "gitguard-shell")
        pairs = [f"{name}={value}" for name, value in environment.items()]
        return ["env", "-i", *pairs, launcher, "--user", person.name, "--key", person.fingerprint]
