"""A whole server of its own, for what needs root: an account, Debian's sshd configuration with
PAM, the system's own places.

Everything happens in a private mount namespace: `/etc`, `/home`, `/srv`, `/opt`, `/var/lib`, `/var/log` and
`/usr/local/lib` are copies or empty there, so nothing of the machine is changed. A program that uses this
calls `inside()` first, which starts it again below `unshare`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path

from lab.quick import Quick
from lab.run import typed
from lab.server import Done, Person, enroll_by, run

ACCOUNT = "git"
SOURCE = Path(__file__).resolve().parent.parent
MARK = "GITGUARD_LAB_HOST"
CAN = os.geteuid() == 0 and shutil.which("unshare") is not None and subprocess.run(
    ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True
).returncode == 0  # fmt: skip


def inside(module: str) -> None:
    """Go on only in a private mount namespace: start `python -m module` there and leave with its status."""
    if MARK in os.environ:
        return
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--mount-proc",
        sys.executable,
        "-m",
        module,
        *sys.argv[1:],
    ]
    sys.exit(subprocess.run(command, check=False, cwd=SOURCE, env={**os.environ, MARK: "1"}).returncode)


class Host:
    """The server. `folder` is for people's keys and clones."""

    def __init__(self, *, empty: bool = False) -> None:
        """`empty`: no account and no gitguard yet, for those who type the install."""
        if MARK not in os.environ:
            raise RuntimeError("only in a private mount namespace: call inside() first")
        self.folder = Path(tempfile.mkdtemp(prefix="gitguard-host-"))
        run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", str(self.folder)])
        self.people: dict[str, Person] = {}
        self.port = _free_port()
        self._sshd: subprocess.Popen[bytes] | None = None
        copy = self.folder / "etc"
        run(["cp", "-a", "/etc", str(copy)])
        run(["mount", "--bind", str(copy), "/etc"])
        for path in ("/home", "/srv", "/opt", "/var/lib", "/var/log", "/usr/local/lib"):
            run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", path])
        copied = self.folder / "bin"  # init may put its link there
        run(["cp", "-a", "/usr/local/bin", str(copied)])
        run(["mount", "--bind", str(copied), "/usr/local/bin"])
        reload = Path("/usr/local/bin/systemctl")
        pid = f"{self.folder}/sshd.pid"  # written again once sshd listens again
        reload.write_text(
            "#!/bin/sh\ncase $1 in reload|restart) ;; *) exit 0 ;; esac\n"
            f"p=$(cat {pid}); rm {pid}; kill -HUP $p; until [ -s {pid} ]; do :; done\n"
        )
        reload.chmod(0o755)
        if not empty:
            # A uid of its own: limits count the processes of a uid, whatever namespace they are in.
            run(["useradd", "--create-home", "--uid", str(self.port), "--shell", "/bin/sh", ACCOUNT])
            run(["usermod", "-p", "*", ACCOUNT])
            self.copy_package()
        self.home = Path(f"/home/{ACCOUNT}")
        self.repositories = self.home / "repositories"
        self.key_file = self.home / ".ssh" / "authorized_keys"
        self.config = Path("/etc/gitguard/gitguard.toml")
        self.state = Path("/var/lib/gitguard")
        self.log = Path("/var/log/gitguard/access.log")
        drop_ins = Path("/etc/ssh/sshd_config.d")
        for drop_in in drop_ins.glob("*"):
            drop_in.unlink()
        if not list(Path("/etc/ssh").glob("ssh_host_*_key")):
            run(["ssh-keygen", "-A"])
        (drop_ins / "50-lab.conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nPidFile {self.folder}/sshd.pid\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\nAcceptEnv GIT_PROTOCOL\n"
        )
        config = Path("/etc/ssh/sshd_config")
        kept = [
            line for line in config.read_text().splitlines() if not line.startswith(("AcceptEnv", "Port"))
        ]
        config.write_text("\n".join(kept) + "\n")

    def copy_package(self) -> None:
        """The package and its libraries where the account can read them."""
        site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
        target = Path("/opt/gitguard/lib")
        target.mkdir(parents=True)
        copy = ["cp", "-r", "--preserve=timestamps"]  # or what Python compiled would not fit
        run([*copy, str(SOURCE / "gitguard"), str(target)])
        for name in (
            "click",
            "cryptography",
            "msgspec",
            "pyotp",
            "segno",
            "tomli_w",
            "cffi",
            "_cffi_backend*",
            "*.libs",
        ):
            for path in site.glob(name):
                run([*copy, str(path), str(target)])
        run(["chown", "-R", "root:root", "/opt/gitguard"])
        run(["chmod", "-R", "go+rX,go-w", "/opt/gitguard"])

    @property
    def env(self) -> dict[str, str]:
        """What root has at the prompt."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
            "PYTHONPATH": "/opt/gitguard/lib", "USER": "root",
        }  # fmt: skip

    def gitguard(self, *words: str, status: int | None = 0, stdin: str = "") -> Done:
        """`gitguard ...` typed by root."""
        return typed(self._kept_ready, words, status=status, stdin=stdin, environ=self.env, cwd="/")

    def program(self, path: Path) -> None:
        """`gitguard` at `path`, for lines that are typed in a shell."""
        self._kept_ready.program(path)

    @cached_property
    def _kept_ready(self) -> Quick:
        return Quick("/opt/gitguard/lib", str(Path(sys.executable).resolve()))

    def admin(self, *words: str, status: int | None = 0, stdin: str = "") -> Done:
        """`gitguard admin ...` typed by root."""
        return self.gitguard("admin", *words, status=status, stdin=stdin)

    def install(self, *words: str) -> Done:
        """`admin init` as the page of operations says."""
        return self.admin("init", "--host", "127.0.0.1", "--port", str(self.port), *words)

    def start(self) -> None:
        """Start the distribution's sshd with its own configuration, and wait until it answers."""
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = open(self.folder / "sshd.log", "ab")  # noqa: SIM115 - as long as sshd
        self._sshd = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e"], stderr=log, stdin=subprocess.DEVNULL, env=self.env
        )
        log.close()
        self._wait()

    def _wait(self) -> None:
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0 and (self.folder / "sshd.pid").exists():
                    return
            time.sleep(0.02)
        raise RuntimeError((self.folder / "sshd.log").read_text())

    def reload(self) -> None:
        """`systemctl reload ssh`."""
        if self._sshd is not None:
            (self.folder / "sshd.pid").unlink(missing_ok=True)
            self._sshd.send_signal(signal.SIGHUP)
            self._wait()

    def stop(self) -> None:
        """Stop sshd by its pid, and leave nothing behind."""
        if self._sshd is not None:
            self._sshd.terminate()
            self._sshd.wait(20)
        for path in ("/etc", "/usr/local/bin", self.folder):
            subprocess.run(["umount", "--lazy", path], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- people -----------------------------------------------------------------------------------

    def key(self, name: str, kind: str = "ed25519") -> Person:
        """A person with a key pair that nobody knows yet."""
        folder = self.folder / "people"
        folder.mkdir(exist_ok=True)
        path = folder / name
        size = ["-b", "2048"] if kind == "rsa" else []  # the longer, the slower to make
        run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", f"{name}@laptop", "-f", str(path)])
        return Person(name, path, run(["ssh-keygen", "-lf", str(path)]).out.split()[1])

    def add_user(self, name: str) -> Person:
        """A user with a key and an invite."""
        person = self.key(name)
        done = self.admin("user", "add", name, "--key", f"{person.key}.pub")
        person.invite = done.out.split()[-1]
        self.people[name] = person
        return person

    def options(self, person: Person) -> list[str]:
        """Options that pin ssh to this server and this key."""
        return [
            "-F", "none", "-i", str(person.key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
            "-o", "KexAlgorithms=curve25519-sha256",  # the quickest: a third of a connection is the handshake
        ]  # fmt: skip

    def ssh_command(self, person: Person, *words: str) -> list[str]:
        """`ssh -T -p PORT git@127.0.0.1 words`."""
        return ["ssh", "-T", *self.options(person), "-p", str(self.port), f"{ACCOUNT}@127.0.0.1", *words]

    def ssh(self, person: Person, *words: str, stdin: str = "", status: int | None = None) -> Done:
        """Run `words` on the server as `person`."""
        return run(self.ssh_command(person, *words), stdin=stdin, status=status)

    def enroll(self, person: Person) -> Done:
        """Enrol over ssh as a person would; opens a session."""
        done, person.secret, person.recovery_codes = enroll_by(self.ssh_command, person, person.invite)
        return done

    def verify_by_recovery_code(self, person: Person) -> Done:
        """A session, with a code that no clock refuses."""
        return self.ssh(person, "2fa verify", stdin=person.recovery_codes.pop() + "\n", status=0)

    def url(self, name: str) -> str:
        """The clone URL of a repository."""
        return f"ssh://{ACCOUNT}@127.0.0.1:{self.port}/{name}"

    def git(self, person: Person, *words: str, cwd: Path | None = None, status: int | None = None) -> Done:
        """Run git as `person`."""
        return run(["git", *words], cwd=cwd or self.folder, status=status, env=self.git_env(person))

    def git_env(self, person: Person) -> dict[str, str]:
        """The environment of `person`'s git."""
        return {
            "PATH": self.env["PATH"], "HOME": str(self.folder), "GIT_SSH_COMMAND": " ".join(["ssh", *self.options(person)]),
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@x",
            "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@x", "LC_ALL": "C",
        }  # fmt: skip

    def as_account(self, *words: str, status: int | None = 0) -> Done:
        """A command in the account's own shell."""
        return run(
            [
                "setpriv",
                f"--reuid={ACCOUNT}",
                f"--regid={ACCOUNT}",
                "--init-groups",
                "env",
                f"HOME={self.home}",
                *words,
            ],
            status=status,
            env=self.env,
            cwd=self.home,
        )

    def bare(self, name: str) -> Path:
        """A bare repository that the account made."""
        path = self.repositories / f"{name}.git"
        self.as_account("git", "init", "-q", "--bare", str(path))
        return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
