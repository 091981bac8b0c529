"""The Git account's login shell: sshd runs every forced command through it."""

from __future__ import annotations

import os
import pwd
import subprocess

from gitguard.message.reasons import Refusal

_SECONDS = 10
_PROOF = 37  # an exit status that no shell gives by itself


def shell_fault(entry: pwd.struct_passwd) -> str:
    """Why the account's shell cannot run a forced command, "" if it can: it is tried as sshd would."""
    account = entry.pw_name
    shell = entry.pw_shell or "/bin/sh"

    def as_account() -> None:
        if os.geteuid() == 0:
            os.setgroups([entry.pw_gid])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)

    try:
        done = subprocess.run(
            [shell, "-c", f"exit {_PROOF}"], stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=_SECONDS, preexec_fn=as_account, start_new_session=True, cwd="/", env={"PATH": "/usr/bin:/bin", "HOME": entry.pw_dir},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return f"the login shell of {account}, {shell}, cannot be run ({error})"
    if done.returncode != _PROOF:
        return f"the login shell of {account}, {shell}, cannot run a forced command"
    return ""


def set_shell(account: str) -> None:
    """Make /bin/sh the account's login shell. Raises Refusal("usage")."""
    done = subprocess.run(
        ["usermod", "--shell", "/bin/sh", account], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Refusal(
            "usage",
            text=f"the keys are gated, but the shell could not be changed: {done.stderr.strip()}",
            hint=f"until it is, nobody gets in: usermod --shell /bin/sh {account}",
        )
