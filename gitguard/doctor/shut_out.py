"""What shuts everyone out before the gate is asked, each cause by name: TCP wrappers, PAM's limits and times.

Source: hosts_access(5), limits.conf(5), time.conf(5), access.conf(5).
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator

from gitguard.doctor.dependencies import lines_of, pam_lines
from gitguard.doctor.finding import Finding, gap, without

ALLOW, DENY = "/etc/hosts.allow", "/etc/hosts.deny"
LIMITS = ("/etc/security/limits.conf", "/etc/security/limits.d/*.conf")
_TABLES = {
    "pam_time": "/etc/security/time.conf",
    "pam_access": "/etc/security/access.conf",
    "pam_group": "/etc/security/group.conf",
}


def shut_out_findings(account: str, groups: list[str]) -> Iterator[Finding]:
    """Each rule that keeps the account out, whatever key it comes with."""
    if not let_in_by_wrappers():
        for line in lines_of(DENY):
            daemons, clients = _parts(line)
            if daemons & {"sshd", "ALL"} and "ALL" in clients:
                yield gap("hosts-deny", f"{DENY} keeps everybody from sshd: {line[:80]}", without(DENY, line))
                break
    for pattern in LIMITS:
        for path in sorted(glob.glob(pattern)):
            for line in lines_of(path):
                words = line.split()
                if (
                    len(words) < 4
                    or words[2] not in ("maxlogins", "maxsyslogins", "nproc")
                    or words[3] != "0"
                ):
                    continue
                if words[0] in (account, "*", *(f"@{group}" for group in groups)):
                    yield gap(
                        "pam-limits",
                        f"{path} lets {account} have no {words[2]}: {line[:80]}",
                        without(path, line),
                    )


def let_in_by_wrappers() -> bool:
    """Whether hosts.allow names someone who may reach sshd: then others are kept out on
    purpose, perhaps this machine too.
    """
    return any(_parts(line)[0] & {"sshd", "ALL"} for line in lines_of(ALLOW))


def suspects(home: str) -> list[str]:
    """Files that may be why nobody gets in, where they say anything at all."""
    found = [
        path for path in (DENY, "/etc/nologin", "/run/nologin", f"{home}/.pam_environment") if _says(path)
    ]
    modules = " ".join(line for _, line in pam_lines("sshd"))
    found += [path for module, path in _TABLES.items() if module in modules and _says(path)]
    found += [path for pattern in LIMITS for path in sorted(glob.glob(pattern)) if _says(path)]
    return found


def _says(path: str) -> bool:
    return bool(lines_of(path)) or (os.path.exists(path) and "nologin" in path)


def _parts(line: str) -> tuple[set[str], set[str]]:
    """(daemons, clients) of a line of TCP wrappers."""
    fields = line.split(":")
    daemons = set(re.split(r"[\s,]+", fields[0].strip()))
    clients = set(re.split(r"[\s,]+", fields[1].strip())) if len(fields) > 1 else set()
    return daemons, clients
