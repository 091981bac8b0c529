"""Other ways into the account: a second name for its uid, sudo, groups, a locked or expired entry.

Looked at by rule over the whole of passwd, group, shadow and sudoers, as root; what cannot be read is said.
"""

from __future__ import annotations

import glob
import grp
import os
import pwd
import re
import time
from collections.abc import Iterator

from gitguard.doctor.finding import Finding, gap, note, ok
from gitguard.message.numbers import number

SUDOERS = ("/etc/sudoers", "/etc/sudoers.d/*", "/etc/doas.conf")
SHADOW = "/etc/shadow"
NOLOGIN = ("/etc/nologin", "/run/nologin", "/var/run/nologin")
# Whoever is in one of these reads or becomes anything on the machine.
_MIGHTY = ("root", "sudo", "wheel", "adm", "disk", "shadow", "docker", "lxd", "libvirt", "kvm")


def read_as_root(account: str) -> list[Finding]:
    """What only root can read: shadow and sudoers. Called before the uid is given up."""
    return [*_shadow_findings(account), *_sudo_findings(account)]


def account_findings(entry: pwd.struct_passwd) -> Iterator[Finding]:
    """Who else is the account, or stands in its group."""
    if entry.pw_uid == 0:
        return  # said by shell_findings; everything leads in to root
    twins = [
        other.pw_name
        for other in pwd.getpwall()
        if other.pw_uid == entry.pw_uid and other.pw_name != entry.pw_name
    ]
    if twins:
        yield gap(
            "account-shared",
            f"{', '.join(twins)} has the uid of {entry.pw_name}, and so all its rights",
            f"give it a uid of its own: usermod -u NUMBER {twins[0]}",
        )
    group = grp.getgrgid(entry.pw_gid) if _has_group(entry.pw_gid) else None
    members = {name for name in (group.gr_mem if group else []) if name != entry.pw_name}
    members |= {
        other.pw_name
        for other in pwd.getpwall()
        if other.pw_gid == entry.pw_gid and other.pw_uid != entry.pw_uid
    }
    if group is not None and members:
        yield gap(
            "account-group",
            f"the group {group.gr_name} owns what {entry.pw_name} makes, and these are in it: {', '.join(sorted(members))}",
            f"gpasswd -d {min(members)} {group.gr_name}, or give {entry.pw_name} a group of its own",
        )
    mighty = [
        g.gr_name
        for g in grp.getgrall()
        if g.gr_name in _MIGHTY and (entry.pw_name in g.gr_mem or g.gr_gid == entry.pw_gid)
    ]
    if mighty:
        yield gap(
            "account-mighty",
            f"{entry.pw_name} is in {', '.join(mighty)}, as which it can do more than its own: whoever gets behind the gate gets the machine",
            f"gpasswd -d {entry.pw_name} {mighty[0]}",
        )
    if not twins and not members and not mighty:
        yield ok("account", f"nobody else has the uid or the group of {entry.pw_name}")
    for path in NOLOGIN:
        if os.path.exists(path):
            yield gap("nologin", f"{path} is there: sshd lets nobody in", f"rm {path}")
            break


def _has_group(gid: int) -> bool:
    try:
        grp.getgrgid(gid)
    except KeyError:
        return False
    return True


def _shadow_findings(account: str) -> Iterator[Finding]:
    try:
        with open(SHADOW, encoding="utf-8", errors="replace") as file:
            fields = next(
                (line.rstrip("\n").split(":") for line in file if line.startswith(account + ":")), None
            )
    except OSError:
        yield note(
            "shadow",
            f"{SHADOW} was not read, so passwords and expiry of {account} are not known",
            "run doctor as root",
        )
        return
    if fields is None or len(fields) < 8:
        return
    if fields[1][:1] not in ("!", "*") and account != "root":
        yield gap(
            "account-password",
            f"{account} has a password{' (an empty one)' if not fields[1] else ''}: su and the console lead in without any key",
            f"usermod -p '*' {account}",
        )
    if fields[1].startswith("!") and account != "root":
        yield note(
            "account-locked",
            f"the password of {account} is locked with `!`: sshd without PAM refuses the account",
            f"usermod -p '*' {account}",
        )
    today = int(time.time()) // 86400
    if number(fields[7], today) is not None:
        yield gap(
            "account-expired",
            f"the account {account} has expired, so nobody gets in",
            f"chage -E -1 {account}",
        )


def _sudo_findings(account: str) -> Iterator[Finding]:
    """Rules that let somebody run commands as the account, or the account as somebody else."""
    lines: list[tuple[str, str]] = []
    for pattern in SUDOERS:
        for path in sorted(glob.glob(pattern)):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    lines += [(path, line.strip()) for line in file.read().replace("\\\n", " ").splitlines()]
            except OSError:
                yield note("sudoers", f"{path} was not read", "run doctor as root")
    word = re.compile(rf"(^|[\s(,=:%#]){re.escape(account)}($|[\s),:=!])")
    for path, line in lines:
        if line and not line.startswith(("#", "Defaults")) and account != "root" and word.search(line):
            yield gap(
                "sudo",
                f"{path} has a rule about {account}: {line[:120]}",
                "take it out, or see to it that nobody becomes the account, or the account anybody, by it",
            )
