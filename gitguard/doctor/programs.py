"""Programs that make anyone the Git account, or that read past all modes: setuid, setgid, capabilities;
and su that asks for nothing.

A bounded walk: what was not reached is said. Source: capabilities(7), xattr(7), pam.conf(5).
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
import stat
import struct
import time
from collections.abc import Iterator

from gitguard.doctor.dependencies import pam_lines
from gitguard.doctor.finding import Finding, gap, ok, without
from gitguard.message.reasons import readable

PLACES = (
    "/tmp",
    "/var/tmp",
    "/root",
    "/home",
    "/usr/libexec",
    "/usr/lib/git-core",
    "/usr/sbin",
    "/usr/bin",
    "/srv",
    "/opt",
    "/usr/local",
)  # fmt: skip - the last is looked at first
SECONDS, MOST = 0.5, 150_000  # of the walk: time and entries
# Capabilities by which a program reads, writes or becomes what it likes.
_MIGHTY = {
    0: "chown", 1: "dac_override", 2: "dac_read_search", 3: "fowner", 6: "setgid", 7: "setuid", 16: "sys_module",
    19: "sys_ptrace", 21: "sys_admin", 27: "mknod",
}  # fmt: skip
_SU = ("su", "su-l", "runuser", "runuser-l", "sudo", "sudo-i", "login")
_HARMLESS = re.compile(
    r"pam_(rootok|unix|cap|faildelay|securetty|nologin|env|sss|winbind|ldap|krb5|u2f|google_authenticator)\.so"
)


def program_findings(entry: pwd.struct_passwd, passed_over: list[str]) -> Iterator[Finding]:
    """`passed_over`: folders that are looked at elsewhere, or hold nothing but data, however much of it."""
    ends = time.monotonic() + SECONDS
    count = 0
    stack = [place for place in PLACES if os.path.isdir(place) and not os.path.islink(place)]
    seen = set(passed_over)
    while stack:
        folder = stack.pop()
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except OSError:
            continue
        count += len(entries)
        if count > MOST or time.monotonic() > ends:
            yield ok(
                "programs",
                f"setuid programs and capabilities were looked for in {count} files, which are not all",
            )
            return
        for one in entries:
            try:
                if one.is_symlink():
                    continue
                status = one.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    # What others cannot enter, they cannot run.
                    if status.st_mode & 0o011 and one.path not in seen:
                        stack.append(one.path)
                    continue
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_mode & 0o111:
                yield from _of_program(one.path, status, entry)


def _of_program(path: str, status: os.stat_result, entry: pwd.struct_passwd) -> Iterator[Finding]:
    mode = status.st_mode
    by_user = mode & stat.S_ISUID and status.st_uid == entry.pw_uid and entry.pw_uid != 0
    by_group = mode & stat.S_ISGID and status.st_gid == entry.pw_gid and entry.pw_gid != 0
    if by_user or by_group:
        what = f"{entry.pw_name}" if by_user else f"the group of {entry.pw_name}"
        yield gap(
            "setuid",
            f"{path} makes whoever runs it {what} (mode {mode & 0o7777:04o})",
            f"chmod ug-s {shlex.quote(path)}",
        )
    if names := _capabilities(path):
        yield gap(
            "capability",
            f"{path} has cap_{', cap_'.join(names)}: whoever runs it is past all modes of files",
            f"setcap -r {shlex.quote(path)}",
        )


def _capabilities(path: str) -> list[str]:
    try:
        data = os.getxattr(path, "security.capability", follow_symlinks=False)
    except OSError:
        return []
    permitted = struct.unpack_from("<I", data, 4)[0] if len(data) >= 12 else 0
    return [name for number, name in _MIGHTY.items() if permitted >> number & 1]


def su_findings(account: str) -> Iterator[Finding]:
    """Rules by which `su` and its like let someone become the account without a secret of their own."""
    for service in _SU:
        for path, line in pam_lines(service):
            words = line.split()
            lets_in = words[:1] == ["auth"] and (
                "sufficient" in words[1:2] or re.search(r"success=(done|ok|\d)", line) is not None
            )
            trusts = "pam_wheel.so" in line and "trust" in words
            if lets_in and (trusts or not _HARMLESS.search(line)) and not _is_a_step(line):
                yield gap(
                    "su",
                    f"{path} lets people become {account}, or anybody, without a password: {readable(line, 100)}",
                    without(path, line),
                )


def _is_a_step(line: str) -> bool:
    """A module whose success alone lets nobody in: it only says how many lines are passed over."""
    return re.search(r"\[[^\]]*success=(ok|ignore)", line) is not None or "pam_permit.so" in line


def group_findings() -> Iterator[Finding]:
    """Who is in a group that reads the disks themselves, or everyone's passwords."""
    for name in ("disk", "shadow", "kmem"):
        try:
            group = grp.getgrnam(name)
        except KeyError:
            continue
        members = {one for one in group.gr_mem if one != "root"}
        members |= {one.pw_name for one in pwd.getpwall() if one.pw_gid == group.gr_gid and one.pw_uid != 0}
        if members:
            yield gap(
                "account-mighty",
                f"{', '.join(sorted(members))} is in the group {name}, and so reads every secret and repository of this machine",
                f"gpasswd -d {min(members)} {name}",
            )
