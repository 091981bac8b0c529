"""What acts before the gate's first instruction: variables that the server itself
sets, and sshd's own scripts.

The gate refuses such a variable by the very same list; here their sources are read, so it is known before.
"""

from __future__ import annotations

import glob
import os
import pwd
import re
import subprocess
from collections.abc import Iterator

from gitguard.doctor.dependencies import pam_lines
from gitguard.doctor.finding import Finding, gap, note, ok
from gitguard.doctor.sshd import Sshd, line_out
from gitguard.machine.environment import is_early

PAM_ENVIRONMENT = ("/etc/environment", "/etc/security/pam_env.conf", "/etc/default/locale")
PAM_SSHD = "/etc/pam.d/sshd"
SSHRC = "/etc/ssh/sshrc"
PRELOAD = "/etc/ld.so.preload"
SETENV = "SetEnv in sshd's configuration"
_SECONDS = 10


def server_variables(sshd: Sshd, entry: pwd.struct_passwd) -> dict[str, str]:
    """Name -> source of every variable that the server sets for the account's sessions."""
    found: dict[str, str] = {}
    for value in sshd.values.get("setenv", []):
        for name in re.findall(r"([A-Za-z_][A-Za-z0-9_]*)=", value):
            found[name] = SETENV
    sources = list(PAM_ENVIRONMENT) if sshd.one("usepam", "no") == "yes" else []
    sources += _pam_files()
    if any("pam_env.so" in line and "user_readenv=1" in line for _, line in pam_lines("sshd")):
        sources.append(f"{entry.pw_dir}/.pam_environment")
    if sshd.one("permituserenvironment", "no") != "no":
        sources.append(f"{entry.pw_dir}/.ssh/environment")
    for path in dict.fromkeys(sources):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = file.read(1 << 20).splitlines()
        except OSError:
            continue
        for line in lines:
            if match := re.match(
                r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)(?:\s*=|\s+(?:DEFAULT|OVERRIDE)=)", line
            ):
                found[match[1]] = path
    return found


def _out_of(name: str, source: str, sshd: Sshd) -> str:
    if source == SETENV:
        return line_out(sshd, "setenv")
    return rf"sed -i '/^[[:space:]]*\(export[[:space:]]\+\)\?{name}\b/d' {source}"


def _pam_files() -> list[str]:
    """The files that sshd's PAM configuration names for pam_env."""
    found = []
    for path in (PAM_SSHD, *glob.glob("/etc/pam.d/common-*")):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found += re.findall(r"pam_env\.so.*?(?:envfile|conffile)=(\S+)", file.read())
        except OSError:
            continue
    return found


def environment_findings(sshd: Sshd, entry: pwd.struct_passwd) -> Iterator[Finding]:
    """Every variable that the gate would refuse, with where it comes from; and what else runs first."""
    early = {name: source for name, source in server_variables(sshd, entry).items() if is_early(name)}
    for name, source in early.items():
        yield gap(
            "early-variable",
            f"{source} sets {name}, which acts before the gate: every command is refused as config-invalid",
            _out_of(name, source, sshd),
        )
    if not early:
        yield ok("environment", "the server sets no variable that acts before the gate")
    if os.path.exists(PRELOAD) and os.path.getsize(PRELOAD):
        yield gap(
            "ld-preload",
            f"{PRELOAD} names libraries that every program loads, the gate too",
            f"mv {PRELOAD} {PRELOAD}.off",
        )


def sshrc_findings(account: str) -> Iterator[Finding]:
    """/etc/ssh/sshrc runs before every command, and what it prints breaks Git's protocol: it is tried."""
    if not os.path.exists(SSHRC):
        return
    try:
        done = subprocess.run(
            ["/bin/sh", SSHRC], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS,
            cwd="/", env={"PATH": "/usr/bin:/bin", "HOME": pwd.getpwnam(account).pw_dir, "USER": account},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        yield gap(
            "sshrc",
            f"{SSHRC} runs before every command and does not end well ({error})",
            f"mv {SSHRC} {SSHRC}.off",
        )
        return
    if done.stdout or done.stderr:
        yield gap(
            "sshrc", f"{SSHRC} prints, which breaks Git and what people read", f"mv {SSHRC} {SSHRC}.off"
        )
    else:
        yield note("sshrc", f"{SSHRC} runs before every command; it prints nothing")
