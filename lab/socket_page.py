"""The page on a Unix socket, served by root's command from a folder that the account cannot enter; who may
connect, asked of the kernel.

`python -m lab.socket_page`, as root. Prints a line for each thing that is so.
"""

from __future__ import annotations

import grp
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from lab.host import ACCOUNT, Host, inside
from lab.server import Done, run

WEB = (
    "flask",
    "flask_wtf",
    "werkzeug",
    "jinja2",
    "markupsafe",
    "itsdangerous",
    "blinker",
    "wtforms",
    "gunicorn",
    "packaging",
)
SOCKET = Path("/run/gitguard-lab/web.socket")
ASK = f"""
import http.client, socket
c = http.client.HTTPConnection("git.example.com"); c.sock = socket.socket(socket.AF_UNIX); c.sock.connect({str(SOCKET)!r})
c.request("GET", "/2fa/sign-in", headers={{"Host": "git.example.com"}}); print(c.getresponse().status)
"""


class Serving:
    """`gitguard admin serve --socket ...`, typed by root below /root, from start to stop."""

    def __init__(self, host: Host, *words: str) -> None:
        self.desk = Path("/root/gitguard-lab")
        self.desk.mkdir(mode=0o755, exist_ok=True)
        command = [sys.executable, "-m", "gitguard", "admin", "serve", "--socket", str(SOCKET), *words]
        self._process = subprocess.Popen(
            command, cwd=self.desk, env=host.env, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        self.said = self._process.stderr.readline()
        assert "serving" in self.said, self.said + self._process.stderr.read()

    def stop(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=30)


def asked_by(account: str) -> Done:
    """What the page answers to a process of `account`."""
    return run(
        [
            "setpriv",
            f"--reuid={account}",
            f"--regid={account}",
            "--init-groups",
            "/usr/bin/python3",
            "-c",
            ASK,
        ],
        status=None,
    )


def seen() -> tuple[str, str, int]:
    """Owner, group and mode of the socket."""
    entry = SOCKET.stat()
    return SOCKET.owner(), grp.getgrgid(entry.st_gid).gr_name, entry.st_mode & 0o777


def main() -> None:
    """Try it all."""
    inside("lab.socket_page")
    host = Host()
    run(["mount", "-t", "tmpfs", "-o", "mode=700", "none", "/root"])
    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    for name in WEB:
        run(["cp", "-r", "--preserve=timestamps", str(site / name), "/opt/gitguard/lib"])
    try:
        host.install()
        text = host.config.read_text().replace(
            "[host]\n", '[host]\nweb_url = "https://git.example.com/2fa"\n', 1
        )
        host.config.write_text(text + '\n[web]\ntrusted_proxies = ["unix:www-data"]\n')
        host.gitguard("admin", "config", "check")
        shutil.rmtree(SOCKET.parent, ignore_errors=True)
        done = host.gitguard("admin", "serve", "--socket", str(SOCKET), status=2)
        assert f"install -d -o {ACCOUNT}" in done.err, done.text
        run(["install", "-d", "-o", ACCOUNT, "-m", "755", str(SOCKET.parent)])
        print("ok: a folder that is missing is named, with the line that makes it")
        by_default(host)
        by_name(host)
        in_the_way(host)
        in_that_folder(host)
    finally:
        shutil.rmtree(SOCKET.parent, ignore_errors=True)
        host.stop()


def by_default(host: Host) -> None:
    """Nothing said: the web server that is trusted may connect, and nobody else."""
    serving = Serving(host)
    try:
        assert seen() == (ACCOUNT, "www-data", 0o660), seen()
        answer = asked_by("www-data")
        assert answer.out.strip() == "200", answer.text
        assert "PermissionError" in asked_by("daemon").err
        print("ok: the trusted web server's group may connect, nobody else; served below /root")
        again = host.gitguard("admin", "serve", "--socket", str(SOCKET), status=2)
        assert "serves on" in again.err, again.text
        print("ok: a second one says that somebody serves there")
    finally:
        serving.stop()


def by_name(host: Host) -> None:
    """`--socket-group`."""
    serving = Serving(host, "--socket-group", "daemon")
    try:
        assert seen() == (ACCOUNT, "daemon", 0o660), seen()
        assert asked_by("daemon").out.strip() == "200"
        assert "PermissionError" in asked_by("www-data").err
    finally:
        serving.stop()
    print("ok: --socket-group says who else")


def in_the_way(host: Host) -> None:
    """ATTACK: the account leaves a link where root is about to make the socket.
    EXPECTED: root gives nothing away.
    """
    victim = Path("/root/victim")
    victim.write_text("root's")
    SOCKET.unlink(missing_ok=True)
    SOCKET.symlink_to(victim)
    done = host.gitguard("admin", "serve", "--socket", str(SOCKET), status=2)
    assert "is no socket" in done.err, done.text
    assert (victim.read_text(), victim.owner(), victim.stat().st_mode & 0o777) == ("root's", "root", 0o644)
    SOCKET.unlink()
    print("ok: what lies in the way is left as it is")


def in_that_folder(host: Host) -> None:
    """What is started for the account from there can work: Git refuses in a folder that it cannot enter."""
    bare = host.bare("app")
    command = [
        sys.executable,
        "-m",
        "gitguard",
        "admin",
        "break-glass",
        "--reason",
        "x",
        "--",
        "git",
        "-C",
        str(bare),
        "count-objects",
    ]
    done = run(command, cwd=Path("/root/gitguard-lab"), env=host.env, status=None)
    assert done.status == 0, done.text
    assert "0 objects" in done.out
    plain = [*command[:-4], "sh", "-c", "pwd && git --version"]
    done = run(plain, cwd=Path("/root/gitguard-lab"), env=host.env, status=None)
    assert done.out.splitlines()[0] == "/", done.text
    print("ok: what is started for the account begins where it can be")


if __name__ == "__main__":
    main()
