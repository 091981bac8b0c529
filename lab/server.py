"""One server below one folder: sshd on a free port, an installation of gitguard, people with keys."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyotp

from lab.quick import QUICK

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
ACCOUNT = pwd.getpwuid(os.geteuid()).pw_name
WAIT_SECONDS = 20


@dataclass
class Done:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Everything it printed."""
        return self.out + self.err


@dataclass
class Person:
    """Somebody with an SSH key, and an authenticator app once enrolled."""

    name: str
    key: Path
    fingerprint: str
    invite: str = ""
    secret: str = ""
    recovery_codes: list[str] = field(default_factory=list)
    last_step: int = 0

    @property
    def public_line(self) -> str:
        """The public key, as the line that people send."""
        return Path(f"{self.key}.pub").read_text()


class Server:
    """`folder` must not be there yet or be empty; everything lies below it and goes with it."""

    def __init__(self, folder: Path, *, sshd_lines: str = "", accept_env: str = "GIT_PROTOCOL") -> None:
        self.folder = folder
        self.home = folder / "gitguard"
        self.repositories = folder / "repositories"
        self.key_file = folder / "keys" / "authorized_keys"
        self.sshd_lines = sshd_lines
        self.accept_env = accept_env
        self.handshake = (
            "KexAlgorithms curve25519-sha256"  # the quickest: a third of a connection is the handshake
        )
        self.account = ACCOUNT
        self.people: dict[str, Person] = {}
        self.port = _free_port()
        self._sshd: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    # -- the server's side ------------------------------------------------------------------------

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.home / "gitguard.toml"

    @property
    def store(self) -> Path:
        """The SQLite file."""
        return self.home / "state" / "gitguard.db"

    @property
    def access_log(self) -> Path:
        """The access log."""
        return self.home / "log" / "access.log"

    def install(self) -> None:
        """`gitguard admin init` with everything below `folder`."""
        self.raw_admin(
            "init", "--home", str(self.home), "--account", ACCOUNT, "--repositories", str(self.repositories),
            "--host", "127.0.0.1", "--port", str(self.port), "--authorized-keys", str(self.key_file),
        )  # fmt: skip

    def prepare_sshd(self) -> Path:
        """Write sshd's host key and configuration; the folder they lie in."""
        ssh = self.folder / "sshd"
        ssh.mkdir(exist_ok=True)
        host_key = ssh / "host_key"
        if not host_key.exists():
            _keygen(host_key, "host")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        (ssh / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nListenAddress ::1\nHostKey {host_key}\nPidFile {ssh}/pid\n"
            "UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\nMaxStartups 200\nLogLevel VERBOSE\nMaxSessions 200\n"
            f"{self.handshake}\nAcceptEnv {self.accept_env}\n{self.sshd_lines}\nAuthorizedKeysFile {self.key_file}\n"
        )
        known = " ".join((host_key.with_suffix(".pub")).read_text().split()[:2])
        hosts = (f"[127.0.0.1]:{self.port}", f"[::1]:{self.port}", f"[localhost]:{self.port}")
        (self.folder / "known_hosts").write_text("".join(f"{host} {known}\n" for host in hosts))
        return ssh

    def start(self) -> None:
        """Configure and start sshd, and wait until it answers."""
        self.prepare_sshd()
        self.start_prepared()

    def start_prepared(self) -> None:
        """Start sshd with the configuration as it stands, and wait until it answers."""
        if SSHD is None:
            raise RuntimeError("sshd is not installed (Debian: apt-get install openssh-server)")
        ssh = self.folder / "sshd"
        with open(ssh / "log", "ab") as log:
            self._sshd = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(ssh / "config")], stderr=log, stdin=subprocess.DEVNULL
            )
        ends = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            if self._sshd.poll() is not None:
                raise RuntimeError(f"sshd did not start: {(ssh / 'log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop sshd, by its pid."""
        if self._sshd is not None:
            self._sshd.terminate()
            self._sshd.wait(WAIT_SECONDS)
            self._sshd = None

    def raw_admin(self, *words: str, status: int | None = 0, stdin: str = "") -> Done:
        """`gitguard admin ...` with the default configuration; fails unless it exits with `status`."""
        return gitguard("admin", *words, status=status, stdin=stdin)

    def admin(self, *words: str, status: int | None = 0, stdin: str = "") -> Done:
        """`gitguard --config ... admin ...`."""
        return gitguard("--config", str(self.config), "admin", *words, status=status, stdin=stdin)

    def configure(self, **tables: dict[str, object]) -> None:
        """Change keys of the configuration: `configure(git={"enforcement": "enforced"})`."""
        import tomllib

        import tomli_w

        data = tomllib.loads(self.config.read_text())
        for table, values in tables.items():
            data.setdefault(table, {}).update(values)
        self.config.write_text(tomli_w.dumps(data))

    def directory(self, name: str) -> Path:
        """Where the repository `name` lies."""
        return self.repositories / f"{name}.git"

    def log(self) -> list[dict[str, object]]:
        """The access log."""
        import json

        if not self.access_log.exists():
            return []
        return [json.loads(line) for line in self.access_log.read_text().splitlines()]

    # -- people -----------------------------------------------------------------------------------

    def new_key(self, name: str) -> Person:
        """A person with a key pair, not known to the server."""
        folder = self.folder / "people"
        folder.mkdir(exist_ok=True)
        key = folder / name
        _keygen(key, f"{name}@laptop")
        line = run(["ssh-keygen", "-lf", str(key)]).out
        return Person(name, key, line.split()[1])

    def add_user(self, name: str) -> Person:
        """`admin user add NAME --key ...`; the invite is kept."""
        person = self.new_key(name)
        done = self.admin("user", "add", name, "--key", f"{person.key}.pub")
        person.invite = done.out.split()[-1]
        self.people[name] = person
        return person

    def add_key(self, owner: Person, name: str) -> Person:
        """A second key of `owner`, as a person of its own who shares the authenticator."""
        other = self.new_key(name)
        self.admin("key", "add", owner.name, f"{other.key}.pub")
        return Person(
            owner.name, other.key, other.fingerprint, owner.invite, owner.secret, owner.recovery_codes
        )

    def enroll(self, person: Person) -> Done:
        """Enrol over ssh as a person would, and keep secret and recovery codes. Opens a session."""
        done, person.secret, person.recovery_codes = enroll(self, person, person.invite)
        person.last_step = step()
        return done

    def new_user(self, name: str) -> Person:
        """A user who is added and enrolled (and so verified from 127.0.0.1)."""
        person = self.add_user(name)
        self.enroll(person)
        return person

    def ssh_options(self, person: Person) -> list[str]:
        """Options that pin everything to this server and this key."""
        return [
            "-F", "none", "-i", str(person.key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={self.folder}/known_hosts", "-o", "StrictHostKeyChecking=yes",
            "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10",
        ]  # fmt: skip

    def ssh_command(
        self, person: Person, *words: str, host: str = "127.0.0.1", options: tuple[str, ...] = ()
    ) -> list[str]:
        """`ssh -T -p PORT ... account@host words`."""
        return [
            "ssh",
            "-T",
            *self.ssh_options(person),
            *options,
            "-p",
            str(self.port),
            f"{ACCOUNT}@{host}",
            *words,
        ]

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
        """Run `words` on the server as `person`."""
        command = self.ssh_command(person, *words, host=host, options=options)
        return run(command, stdin=stdin, status=status, env=env)

    def url(self, name: str) -> str:
        """The clone URL of a repository."""
        return f"ssh://{ACCOUNT}@127.0.0.1:{self.port}/{name}.git"

    def git_env(self, person: Person, *options: str) -> dict[str, str]:
        """An environment in which git reaches this server with this person's key, and knows no other settings."""
        return {
            **os.environ,
            "GIT_SSH_COMMAND": " ".join(["ssh", *self.ssh_options(person), *options]),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_AUTHOR_NAME": person.name, "GIT_AUTHOR_EMAIL": f"{person.name}@example.com",
            "GIT_COMMITTER_NAME": person.name, "GIT_COMMITTER_EMAIL": f"{person.name}@example.com",
            "GIT_TERMINAL_PROMPT": "0", "HOME": str(self.folder), "LC_ALL": "C",
        }  # fmt: skip

    def git(
        self,
        person: Person,
        *words: str,
        cwd: Path | None = None,
        status: int | None = None,
        env: dict[str, str] | None = None,
    ) -> Done:
        """Run git as `person`."""
        return run(["git", *words], cwd=cwd, status=status, env={**self.git_env(person), **(env or {})})

    def work_tree(self, person: Person, name: str, label: str = "") -> Path:
        """A fresh work tree with one commit and `origin` set to the repository `name`; nothing is fetched."""
        tree = self.folder / "trees" / f"{person.key.name}-{label or name.replace('/', '-')}"
        tree.mkdir(parents=True)
        self.git(person, "init", "--quiet", "--initial-branch=main", cwd=tree, status=0)
        (tree / "file").write_text(f"{person.name} {label}\n")
        self.git(person, "add", "file", cwd=tree, status=0)
        self.git(person, "commit", "--quiet", "-m", "first", cwd=tree, status=0)
        self.git(person, "remote", "add", "origin", self.url(name), cwd=tree, status=0)
        return tree

    def fresh_code(self, person: Person) -> str:
        """A code that was not used yet: the present step's, or the next one's, which the window allows."""
        wanted = max(step(), person.last_step + 1)
        if wanted > step() + 1:
            raise AssertionError(
                f"no unused code of {person.name} is left in the window; clear_watermark first"
            )
        person.last_step = wanted
        return pyotp.TOTP(person.secret).generate_otp(wanted)

    def clear_watermark(self, person: Person) -> None:
        """Pretend that earlier codes were used long ago, so that a test need not wait half a minute."""
        import sqlite3

        with sqlite3.connect(self.store, timeout=5) as store:
            store.execute("UPDATE factors SET last_step = ? WHERE user_name = ?", (step() - 5, person.name))
        store.close()
        person.last_step = 0

    def age_sessions(self, seconds: int) -> None:
        """Make every session `seconds` older, by both clocks."""
        import sqlite3

        with sqlite3.connect(self.store, timeout=5) as store:
            store.execute(
                "UPDATE sessions SET verified_at = verified_at - ?, boot_seconds = boot_seconds - ?",
                (seconds, seconds),
            )
        store.close()

    def end_sessions(self) -> None:
        """Forget every session, as if nobody had verified."""
        import sqlite3

        with sqlite3.connect(self.store, timeout=5) as store:
            store.execute("DELETE FROM sessions")
        store.close()

    def verify(self, person: Person, status: int | None = 0) -> Done:
        """`2fa verify` with a fresh code."""
        return self.ssh(person, "2fa", "verify", stdin=self.fresh_code(person) + "\n", status=status)


GITGUARD = [sys.executable, "-m", "gitguard"]


def step() -> int:
    """The present time step."""
    return int(time.time()) // 30


def run(
    command: list[str],
    *,
    stdin: str = "",
    status: int | None = 0,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    timeout: int = 60,
) -> Done:
    """Run a command to its end; raises AssertionError with all it said unless it exits with `status`."""
    # stdin of "" is an empty input, not a terminal: nothing here may hang.
    done = subprocess.run(
        command,
        input=stdin.encode("utf-8", "surrogateescape"),
        capture_output=True,
        cwd=cwd,
        env=env,
        timeout=timeout,
        check=False,
    )
    result = Done(
        done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )
    if status is not None and done.returncode != status:
        raise AssertionError(f"{command} exited {done.returncode}, not {status}\n{result.out}\n{result.err}")
    return result


def gitguard(*words: str, status: int | None = 0, stdin: str = "") -> Done:
    """`gitguard WORDS` in a process of its own; raises AssertionError unless it exits with `status`."""
    got, out, err = QUICK.run(list(words), stdin.encode("utf-8", "surrogateescape"))
    result = Done(got, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
    if status is not None and got != status:
        raise AssertionError(f"gitguard {words} exited {got}, not {status}\n{result.out}\n{result.err}")
    return result


def enroll(server: Server, person: Person, invite: str = "", first: str = "") -> tuple[Done, str, list[str]]:
    """Talk through `2fa enroll`: read the secret as an app would, answer with its code.

    `first` answers the question that comes before anything is shown. Returns (what was said, secret, codes).
    """
    return enroll_by(server.ssh_command, person, invite, first)


def enroll_by(
    ssh_command: Callable[..., list[str]], person: Person, invite: str = "", first: str = ""
) -> tuple[Done, str, list[str]]:
    """The same over any `ssh_command(person, words)`."""
    words = ["2fa", "enroll", *([invite] if invite else []), "--qr", "none"]
    process = subprocess.Popen(
        ssh_command(person, " ".join(words)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    if first:
        process.stdin.write(first.encode() + b"\n")
    said = b""
    while b"digits): " not in said.rpartition(b"4. code")[2]:
        part = process.stdout.read(4096)
        if not part:
            break
        said += part
    found = re.search(r"secret=([A-Z2-7]+)", said.decode())
    secret = found[1] if found else ""
    if secret:
        process.stdin.write(pyotp.TOTP(secret).now().encode() + b"\n")
    process.stdin.close()
    said += process.stdout.read()
    process.stdout.close()
    status = process.wait(30)
    codes = re.findall(r"^ {4}((?:[A-Z2-9]{4}-){3}[A-Z2-9]{4})$", said.decode(), re.MULTILINE)
    return Done(status, said.decode(), ""), secret, codes


def _keygen(path: Path, comment: str) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], check=True
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
