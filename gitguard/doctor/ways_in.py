"""Other ways into the account: a second name for its uid, sudo, groups, a locked or expired entry.

Looked at by rule over the whole of passwd, group, shadow and sudoers, as root; what cannot be read is said.
"""

from __future__ import annotations

import grp
import os
import pwd
import time
from collections.abc import Iterator

from gitguard.doctor.finding import Finding, gap, note, ok
from gitguard.doctor.programs import group_findings, su_findings
from gitguard.doctor.reach import Reach
from gitguard.doctor.shut_out import shut_out_findings
from gitguard.doctor.sudo import sudo_findings
from gitguard.message.numbers import number

SHADOW = "/etc/shadow"
NOLOGIN = ("/etc/nologin", "/run/nologin", "/var/run/nologin")
# Anyone who is in one of these reads or becomes anything on the machine.
_MIGHTY = ("root", "sudo", "wheel", "adm", "disk", "shadow", "docker", "lxd", "libvirt", "kvm")


def read_as_root(account: str) -> list[Finding]:
    """What only root can read: shadow, sudoers, PAM. Called before the uid is given up."""
    entry = pwd.getpwnam(account)
    groups = [
        (g.gr_name, g.gr_gid) for g in grp.getgrall() if account in g.gr_mem or g.gr_gid == entry.pw_gid
    ]
    return [
        *_shadow_findings(account),
        *sudo_findings(account, entry.pw_uid, groups),
        *su_findings(account),
        *group_findings(),
        *shut_out_findings(account, [name for name, _ in groups]),
    ]


def account_findings(entry: pwd.struct_passwd, reach: Reach) -> Iterator[Finding]:
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
            rf"sed -i 's/^{twins[0]}:\([^:]*\):{entry.pw_uid}:/{twins[0]}:\1:{_free_uid()}:/' /etc/passwd",
        )
    group = grp.getgrgid(entry.pw_gid) if _has_group(entry.pw_gid) else None
    members = set(reach.members(entry.pw_gid))
    if group is not None and members:
        yield gap(
            "account-group",
            f"the group {group.gr_name} owns what {entry.pw_name} makes, and these are in it, or may put themselves in: {', '.join(sorted(members))}",
            f"gpasswd -d {min(members)} {group.gr_name}",
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


def _free_uid() -> int:
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    return next(uid for uid in range(1000, 60000) if uid not in taken)


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
