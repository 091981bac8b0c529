"""People with keys and authenticator apps, and what they type: ssh, git, codes."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyotp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gitguard.action import repositories, second_factor, toggles, users
from gitguard.action.installation import Installation, open_installation
from gitguard.factor.code import in_groups
from gitguard.factor.person import Person as Acting
from gitguard.host.key_options import NewKey
from gitguard.identity.public_key import parse_public_key
from gitguard.session.credential import ssh_key
from gitguard.session.moment import now
from lab.clock import Clock, step
from lab.installation import ACCOUNT
from lab.person import Person
from lab.run import Done, run

WAIT_SECONDS = 20


class People(Clock):
    """An installation that people use."""

    def new_key(self, name: str) -> Person:
        """A person with a key pair, not known to the server."""
        folder = self.folder / "people"
        folder.mkdir(exist_ok=True)
        key = folder / name
        keygen(key, f"{name}@laptop")
        return Person(name, key, fingerprint(key))

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

    def new_user(self, name: str, *, in_session: bool = True) -> Person:
        """A user who is added and enrolled, and in a session from 127.0.0.1 unless told otherwise.

        By the actions that `admin user add`, `2fa enroll` and `2fa leave` call, so that stories that start
        after those steps need not run the commands.
        """
        person = self.people[name] = self.new_key(name)
        key = parse_public_key(Path(f"{person.key}.pub").read_text())
        with self.acting() as site:
            person.invite = users.add(site, name, [NewKey(key)], now(), "lab", if_missing=False).token
            me = Acting(name, ssh_key(person.fingerprint), "127.0.0.1")
            pending = second_factor.begin_enrolment(site, me, person.invite.encode(), now())
            app = pending.parameters
            person.secret = app.secret
            person.recovery_codes = [in_groups(code) for code in pending.recovery_codes]
            moment = now()
            second_factor.confirm(site, me, pending, app.code(app.step(moment.at)).encode(), moment)
            person.last_step = step()
            if not in_session:
                second_factor.leave(site, me, now(), None)
        return person

    def new_repository(self, name: str, require: str = "none", *admins: str) -> None:
        """A new repository as `admin repo create` makes it and `admin repo require`
        leaves it, by their actions.
        """
        with self.acting() as site:
            repositories.create(site, name, admins, now(), "lab", if_missing=False)
            if require != "none":
                toggles.demand(site, name, require, now(), "lab")

    @contextmanager
    def acting(self) -> Iterator[Installation]:
        """The installation, opened for actions in this process, with the umask that our commands set."""
        site = open_installation(str(self.config), now(), "lab")
        before = os.umask(0o077)
        try:
            with closing(site.store):
                yield site
        finally:
            os.umask(before)

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
        """An environment in which git reaches this server with this person's key,
        and knows no other settings.
        """
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

    def verify(self, person: Person, status: int | None = 0) -> Done:
        """`2fa verify` with a fresh code."""
        return self.ssh(person, "2fa", "verify", stdin=self.fresh_code(person) + "\n", status=status)


def enroll(server: People, person: Person, invite: str = "", first: str = "") -> tuple[Done, str, list[str]]:
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


def keygen(path: Path, comment: str) -> None:
    """What `ssh-keygen -t ed25519 -N "" -C COMMENT -f PATH` writes, but for the
    comment inside the private key.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    path.touch(0o600)
    path.write_bytes(private)
    Path(f"{path}.pub").write_text(f"{public.decode()} {comment}\n")


def fingerprint(key: Path) -> str:
    """What `ssh-keygen -lf` says of it."""
    blob = base64.b64decode(Path(f"{key}.pub").read_text().split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
