"""Doing what sshd does: the installed gate is run for a known user and repository, by the
login shell, in its environment.

And the sshd that really runs: is it the one that was asked, with the configuration as it is now?
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator

from gitguard.decision.command import quote
from gitguard.doctor.finding import Finding, gap, note, ok
from gitguard.doctor.sshd import Sshd
from gitguard.host.key_options import gate_line
from gitguard.machine.environment import PATH
from gitguard.store.rows import Key, Repository

_SECONDS = 20
_GOOD = (
    0,
    10,
    11,
    128,
)  # allowed, refused for want of a verification or enrolment; 128: Git, told nothing more


_NO_IDENTITY = 14


def gate_findings(
    gate: str, entry: pwd.struct_passwd, keys: list[Key], repositories: list[Repository], *, proves: bool
) -> Iterator[Finding]:
    """The gate answers as it should: one read of a known repository, which leaves one log line. `proves`: it
    must refuse us, who stand in no connection of sshd's.
    """
    if not keys:
        yield note("gate-run", "the gate was not run: no user has a key yet")
        return
    key = keys[0]
    environment = {
        "PATH": PATH,
        "HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "SHELL": entry.pw_shell,
        "SSH_CONNECTION": "127.0.0.1 0 127.0.0.1 22", "SSH_CLIENT": "127.0.0.1 0 22",
    }  # fmt: skip
    wanted = (
        "2fa status" if key.behind or not repositories else f"git-upload-pack {quote(repositories[0].name)}"
    )
    environment["SSH_ORIGINAL_COMMAND"] = wanted
    line = gate_line(key, gate)
    try:
        done = subprocess.run(
            [entry.pw_shell or "/bin/sh", "-c", line], env=environment, cwd="/", input=b"0000", capture_output=True,
            timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        yield gap(
            "gate-run",
            f"the gate could not be run as sshd would: {error}",
            "see the finding about the login shell",
        )
        return
    said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    first = next((text for text in said if "gitguard" in text), said[0] if said else "")
    suspended = done.returncode == 14 and "user-suspended" in first
    if proves:
        if done.returncode == _NO_IDENTITY and "no-identity" in first:
            yield ok("gate-run", f"started by no sshd, the gate refuses who says to be {key.user}")
        else:
            yield gap(
                "gate-run",
                f"started by no sshd, the gate believes who says to be {key.user} (exit {done.returncode}): {first[-200:]}",
                "gitguard admin init, then: systemctl restart gitguard-agent.service",
            )
    elif done.returncode not in _GOOD and not suspended:
        yield gap(
            "gate-run",
            f"run as sshd would for {key.user}, the gate exits {done.returncode}: {first[-200:]}",
            'gitguard admin log --since 1h; then see docs/operations.md, "The night it breaks"',
        )
    elif done.returncode == 0 and not wanted.startswith("2fa") and not done.stdout:
        yield gap("gate-run", "the gate exits 0 without becoming Git", "gitguard admin init")
    else:
        yield ok("gate-run", f"run as sshd would for {key.user}, the gate answers (exit {done.returncode})")


def daemon_findings(sshd: Sshd, uid: int) -> Iterator[Finding]:
    """The sshd that runs read its files after their last change."""
    if uid == 0:
        return  # the account is root: every sshd of the machine leads in, and that is said
    pidfile = sshd.one("pidfile", "/run/sshd.pid")
    try:
        began = os.stat(pidfile).st_mtime
    except OSError:
        return  # no sshd of this configuration runs just now
    changed = [path for path in sshd.files if os.path.exists(path) and os.stat(path).st_mtime > began + 1]
    if changed:
        yield gap(
            "sshd-not-reloaded",
            f"{changed[0]} was changed after sshd read it, so what runs is not what was looked at",
            "sshd -t && systemctl reload ssh",
        )
