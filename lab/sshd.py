"""A real sshd on a free port of the loopback, for one installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

from lab.installation import Installation
from lab.people import keygen

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
WAIT_SECONDS = 20


class Sshd(Installation):
    """An installation that can be reached over SSH."""

    handshake = "KexAlgorithms curve25519-sha256"  # the quickest: a third of a connection is the handshake
    _sshd: subprocess.Popen[bytes] | None = None

    def prepare_sshd(self) -> Path:
        """Write sshd's host key and configuration; the folder they lie in."""
        ssh = self.folder / "sshd"
        ssh.mkdir(exist_ok=True)
        host_key = ssh / "host_key"
        if not host_key.exists():
            for path, text in zip((host_key, host_key.with_suffix(".pub")), _host_key(), strict=True):
                path.touch(0o600)
                path.write_text(text)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        (ssh / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nListenAddress ::1\nHostKey {host_key}\nPidFile {ssh}/pid\n"
            "UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\nMaxStartups 200\nLogLevel VERBOSE\nMaxSessions 200\n"
            # The start-up files of anyone who runs this are not part of it: bash reads ~/.bashrc below sshd,
            # and some take long.
            f"SetEnv HOME={ssh}/home\n"
            f"{self.handshake}\nAcceptEnv {self.accept_env}\n{self.sshd_lines}\nAuthorizedKeysFile {self.key_file}\n"
        )
        (ssh / "home").mkdir(exist_ok=True)
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
        listens = ssh / "pid"  # written once it listens
        listens.unlink(missing_ok=True)
        with open(ssh / "log", "ab") as log:
            self._sshd = subprocess.Popen(
                # -r: a connection is a fork alone; to start sshd again for it takes a tenth of the whole
                # connection
                [SSHD, "-D", "-e", "-r", "-f", str(ssh / "config")],
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        ends = time.monotonic() + WAIT_SECONDS
        while not listens.exists() and time.monotonic() < ends:
            if self._sshd.poll() is not None:
                raise RuntimeError(f"sshd did not start: {(ssh / 'log').read_text()}")
            time.sleep(0.005)
        if not listens.exists():
            raise RuntimeError(f"sshd does not listen after {WAIT_SECONDS} s: {(ssh / 'log').read_text()}")

    def stop(self) -> None:
        """Stop sshd, by its pid."""
        if self._sshd is not None:
            self._sshd.terminate()
            self._sshd.wait(WAIT_SECONDS)
            self._sshd = None


@cache
def _host_key() -> tuple[str, str]:
    """A host key, private and public, for every sshd of this process: none of them has another's clients."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "host_key")
        keygen(path, "host")
        return path.read_text(), path.with_suffix(".pub").read_text()
