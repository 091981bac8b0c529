"""One server below one folder: sshd on a free port, an installation of gitguard, people with keys."""

from __future__ import annotations

from lab.clock import step
from lab.installation import ACCOUNT
from lab.people import People, enroll, enroll_by
from lab.person import Person
from lab.quick import QUICK
from lab.run import GITGUARD, Done, gitguard, run
from lab.sshd import SSHD, WAIT_SECONDS, Sshd

__all__ = [
    "ACCOUNT", "GITGUARD", "SSHD", "WAIT_SECONDS", "Direct", "Done", "Person", "Server", "enroll", "enroll_by", "gitguard",
    "run", "step",
]  # fmt: skip


class Server(Sshd, People):
    """The whole: installed, listening, used."""


class Direct(Server):
    """The same installation without sshd: the gate is started as sshd would start it. Quicker,
    for what sshd cannot change.
    """

    def start(self) -> None:
        """Nothing listens."""

    def stop(self) -> None:
        """Nothing to stop."""

    def ssh(
        self,
        person: Person,
        *words: str,
        stdin: str = "",
        status: int | None = None,
        host: str = "127.0.0.1",
        options: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> Done:
        """Run `words` on the server as `person`; our own commands in a fork of
        what has their libraries loaded.
        """
        if not words or not words[0].startswith("2fa") or env is not None:
            return super().ssh(
                person, *words, stdin=stdin, status=status, host=host, options=options, env=env
            )
        state = self.home / "state"
        gate = (
            self.launcher,
            str(self.config),
            str(state / "config.compiled"),
            str(self.home / "hooks" / "pre-receive"),
        )
        line = ["--user", person.name, "--key", person.fingerprint]
        got, out, err = QUICK.run(
            line, stdin.encode("utf-8", "surrogateescape"), self._as_sshd(host, words), gate=gate
        )
        done = Done(got, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
        if status is not None and got != status:
            raise AssertionError(f"{words} exited {got}, not {status}\n{done.text}")
        return done

    @property
    def launcher(self) -> str:
        """The forced command."""
        return str(self.home / "bin" / "gitguard-shell")

    def _as_sshd(self, host: str, words: tuple[str, ...]) -> dict[str, str]:
        """The environment that sshd gives a command."""
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "SSH_CONNECTION": f"{host} 1 127.0.0.1 22",
        }
        if words:
            environment["SSH_ORIGINAL_COMMAND"] = " ".join(words)
        return environment

    def ssh_command(
        self, person: Person, *words: str, host: str = "127.0.0.1", options: tuple[str, ...] = ()
    ) -> list[str]:
        """The gate with the environment that sshd gives it."""
        del options
        pairs = [f"{name}={value}" for name, value in self._as_sshd(host, words).items()]
        return ["env", "-i", *pairs, self.launcher, "--user", person.name, "--key", person.fingerprint]
