"""One real login over loopback, by a key that is gated for as long as the look takes: in,
refused by the gate, out again.

Whatever shuts people out before the gate, or lets them past it, is seen by its effect,
whoever thought of its cause.

MUST: the line carries our forced command and the name of nobody, so that even its holder is refused; the key
file is what it was afterwards, also where someone else wrote it meanwhile. What the other side may do in
between: another command of ours waits for the lock; a kill leaves a gated line of a key that nobody has,
which the next change of any key takes away.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator

from gitguard.action.effects import write_keys
from gitguard.action.installation import Installation
from gitguard.agent.connection import DOCTORS_KEY
from gitguard.doctor.finding import Finding, gap, note, ok
from gitguard.doctor.sshd import Sshd
from gitguard.host.key_file import put_in, take_out
from gitguard.machine.environment import PATH
from gitguard.machine.files import locked, replace
from gitguard.message.reasons import readable

NOBODY = "gitguard-doctor"  # the user of the line: no store knows it, and the access log names it
_SECONDS = 20
_KINDS = {"ssh-rsa": "rsa", "ecdsa-sha2-nistp256": "ecdsa"}


def login_findings(
    installation: Installation, sshd: Sshd, types: list[str], suspects: list[str], *, only_others: bool
) -> Iterator[Finding]:
    """`types`: of people's keys, the most usual first; `suspects`: files that may be why nobody gets in.

    `only_others`: this machine may be kept out on purpose (hosts.allow, AllowUsers with an
    address); then that is no gap.
    """
    for finding in _looked(installation, sshd, types, suspects):
        if only_others and finding.name == "login" and finding.level == "gap":
            yield note(
                "login", f"no login was seen: {finding.what}; sshd is told to allow certain addresses alone"
            )
        else:
            yield finding


def _looked(
    installation: Installation, sshd: Sshd, types: list[str], suspects: list[str]
) -> Iterator[Finding]:
    where = _address(sshd, installation.settings.host.port)
    account = str(installation.settings.host.account)
    try:
        with socket.create_connection(where, timeout=5) as probe:
            probe.settimeout(5)
            banner = probe.recv(64)
    except OSError as error:
        yield gap(
            "login",
            f"nobody answers at {where[0]} port {where[1]}: {error.strerror or error}",
            "systemctl status ssh; systemctl restart ssh",
        )
        return
    if not banner.startswith(b"SSH-"):
        why = f" ({', '.join(suspects[:3])} may say why)" if suspects else ""
        yield gap(
            "login", f"sshd lets nobody in from {where[0]}: it hangs up at once{why}", _look_at(suspects)
        )
        return
    with tempfile.TemporaryDirectory(prefix="gitguard-login-") as folder:
        kind = next((_KINDS[one] for one in types[:1] if one in _KINDS), "ed25519")
        key = f"{folder}/key"
        made = subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "doctor's, for a moment", "-f", key],
            capture_output=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            yield gap(
                "login",
                "ssh-keygen could not make a key to try a login with",
                "apt-get install openssh-client",
            )
            return
        client = _client(key, account, where)
        with _gated(installation, f"{key}.pub"):
            inside = _run([*client, "-T", f"{account}@{where[0]}", "2fa status"])
            terminal = _run([*client, "-tt", f"{account}@{where[0]}", "2fa status"])
            forward = _run([*client, "-W", f"127.0.0.1:{where[1]}", f"{account}@{where[0]}"])
        after = _run([*client, "-T", f"{account}@{where[0]}", "2fa status"])
    yield from _judged(inside, terminal, forward, after, suspects)


def _judged(
    inside: subprocess.CompletedProcess[str],
    terminal: subprocess.CompletedProcess[str],
    forward: subprocess.CompletedProcess[str],
    after: subprocess.CompletedProcess[str],
    suspects: list[str],
) -> Iterator[Finding]:
    said = readable(" ".join((inside.stderr + inside.stdout).split()), 200)
    if inside.returncode == 255:
        why = f"; what may say why: {', '.join(suspects[:3])}" if suspects else ""
        yield gap("login", f"a gated key does not get in: {said}{why}", _look_at(suspects))
    elif not re.search(r"gitguard: .*\[user-unknown\]", said):
        yield gap(
            "login",
            f"someone who logs in does not meet the gate, or meets something before it: {said or 'nothing was said'}",
            "sshd -T -C user=ACCOUNT,host=localhost,addr=127.0.0.1; what keeps people out is in what that shows, in PAM, or in the login shell",
        )
    else:
        yield ok("login", "a gated key gets in over loopback and meets the gate")
        if "PTY allocation request failed" not in terminal.stderr:
            yield gap(
                "login-terminal",
                "sshd gives a terminal to a key line without `restrict`",
                "gitguard admin init --drop-in --reload",
            )
        if forward.returncode == 0 or "SSH-" in forward.stdout:
            yield gap(
                "login-forwarding",
                "sshd forwards ports for a key line without `restrict`",
                "gitguard admin init --drop-in --reload",
            )
    if after.returncode != 255:
        yield gap(
            "login-after",
            "a key whose line is gone still gets in: sshd takes keys from elsewhere too",
            "sshd -T -C user=ACCOUNT,host=localhost,addr=127.0.0.1 | grep -i authorized",
        )


def _look_at(suspects: list[str]) -> str:
    return f"look at {suspects[0]}; sshd's own log has the reason" if suspects else "journalctl -u ssh -n 20"


def _address(sshd: Sshd, port: int) -> tuple[str, int]:
    """Where sshd listens, as seen from this machine."""
    for word in sshd.values.get("listenaddress", []):
        host, _, number = word.rpartition(":")
        if number == str(port) and host.strip("[]") not in ("0.0.0.0", "::"):  # noqa: S104 - compared
            return host.strip("[]"), port
    return "127.0.0.1", port


def _client(key: str, account: str, where: tuple[str, int]) -> list[str]:
    options = {
        "IdentitiesOnly": "yes", "IdentityAgent": "none", "BatchMode": "yes", "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null", "GlobalKnownHostsFile": "/dev/null", "ConnectTimeout": "10", "LogLevel": "ERROR",
        "PreferredAuthentications": "publickey",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "none", "-i", key, *words, "-p", str(where[1]), "-l", account]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    home = pwd.getpwuid(os.geteuid()).pw_dir
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            timeout=_SECONDS, cwd="/", env={"PATH": PATH, "HOME": home, "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 255, "", f"no answer within {_SECONDS} seconds")


@contextlib.contextmanager
def _gated(installation: Installation, public: str) -> Iterator[None]:
    """The key's line stands in our block, without `restrict`, so that what sshd itself forbids is seen."""
    with open(public, encoding="ascii") as file:
        kind, blob = file.read().split()[:2]
    gate = f'command="{installation.places.gate} --user {NOBODY} --key SHA256:{"0" * 43}"'
    line = f"{gate} {kind} {blob} for as long as doctor looks\n".encode()
    path = installation.key_file
    if installation.settings.paths.asks_for_keys:
        marked = f"{installation.settings.paths.state}/{DOCTORS_KEY}"
        replace(marked, f"{NOBODY} SHA256:{'0' * 43} {kind} {blob}\n".encode(), 0o600)
        try:
            yield
        finally:
            os.unlink(marked)
        return
    with locked(installation.lock):
        before = put_in(path, line)
        try:
            yield
        finally:
            now = take_out(path, line)
    if now != before:
        write_keys(installation)  # someone wrote it who takes no lock
