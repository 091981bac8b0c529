"""Who besides root and the Git account may write a path, or read it: by owner, mode, group
members and ACLs, all the way up.

machine/ownership.py asks the same of what the gate itself trusts, more strictly and in its plain
dialect; this one is for what belongs to the system, where a group that has no member is no gap.
Source: acl(5), path_resolution(7).
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterator

from gitguard.message.reasons import readable

_USER, _GROUP_OBJ, _GROUP, _MASK = 0x02, 0x04, 0x08, 0x10  # tags of an ACL's entries
_MOST_LINKS = 8
READ, WRITE, ENTER = 4, 2, 1


class Reach:
    """One look at the machine: what was asked once is not asked again. `uid` is the Git
    account's; 0 and it are trusted.
    """

    def __init__(self, uid: int) -> None:
        self._trusted = {0, uid}
        self._entries: dict[str, os.stat_result | None] = {}
        self._said: dict[tuple[str, int], str] = {}
        self._members = self._all_members()  # at once: while we are root, who may change a group is known too

    def _all_members(self) -> dict[int, list[str]]:
        """Group -> anyone who is in it, or may put themselves in, and is neither root nor the account."""
        found: dict[int, set[str]] = {}
        uids: dict[str, int] = {}
        for entry in pwd.getpwall():
            uids[entry.pw_name] = entry.pw_uid
            found.setdefault(entry.pw_gid, set()).add(entry.pw_name)
        numbers = {}
        for group in grp.getgrall():
            numbers[group.gr_name] = group.gr_gid
            found.setdefault(group.gr_gid, set()).update(group.gr_mem)
        for name, admins in _group_admins():
            if name in numbers:
                found.setdefault(numbers[name], set()).update(admins)
        return {
            gid: sorted(name for name in names if uids.get(name, -1) not in self._trusted)
            for gid, names in found.items()
        }

    def members(self, gid: int) -> list[str]:
        """Who is in the group and is neither root nor the account."""
        return self._members.get(gid, [])

    def entry(self, path: str) -> os.stat_result | None:
        """What lstat says, None where there is nothing."""
        if path not in self._entries:
            try:
                self._entries[path] = os.lstat(path)
            except OSError:
                self._entries[path] = None
        return self._entries[path]

    def writer(self, path: str) -> str:
        """Who else may change the file or folder at `path` itself, as a sentence; "" for nobody."""
        return self._who(path, WRITE)

    def writer_on_the_way(self, path: str, links: int = 0) -> str:
        """Who else may change `path`, a folder above it, or a link that leads to it; "" for
        nobody, and for what is not there.

        A folder of root's with the sticky bit passes: nobody renames another's files there.
        """
        current = ""
        for part in [part for part in path.split("/") if part]:
            current += "/" + part
            entry = self.entry(current)
            if entry is None:
                return ""
            if stat.S_ISLNK(entry.st_mode):
                if links >= _MOST_LINKS:
                    return f"{current} is a chain of links"
                rest = path[len(current) :]
                return self.writer_on_the_way(os.path.normpath(_target(current)) + rest, links + 1)
            sticky = stat.S_ISDIR(entry.st_mode) and entry.st_mode & stat.S_ISVTX and entry.st_uid == 0
            if not sticky and (who := self.writer(current)):
                return who
        return ""

    def reader_on_the_way(self, path: str) -> str:
        """Who else may read the file or list the folder at `path`, since every folder above lets
        them through; "" for nobody.
        """
        current = ""
        parts = [part for part in path.split("/") if part]
        for part in parts[:-1]:
            current += "/" + part
            entry = self.entry(current)
            if entry is not None and stat.S_ISLNK(entry.st_mode):
                return self.reader_on_the_way(os.path.realpath(path))
            if not self._who(current, ENTER):
                return ""
        return self._who("/" + "/".join(parts), READ)

    def _who(self, path: str, wanted: int) -> str:
        key = (path, wanted)
        if key not in self._said:
            self._said[key] = self._asked(path, wanted)
        return self._said[key]

    def _asked(self, path: str, wanted: int) -> str:
        entry = self.entry(path)
        if entry is None or stat.S_ISLNK(entry.st_mode):
            return ""
        if entry.st_uid not in self._trusted:
            return f"{path} belongs to {_name(entry.st_uid)}"
        mode = entry.st_mode
        if mode & wanted:
            return f"{path} is {_verb(wanted)} by everybody (mode {mode & 0o7777:04o})"
        if who := self._by_acl(path, wanted):
            return who
        if mode >> 3 & wanted and not self._has_acl(path) and (members := self.members(entry.st_gid)):
            named = readable(", ".join(members[:3]), 100)
            return f"{path} is {_verb(wanted)} by {named}, in the group {_group(entry.st_gid)} (mode {mode & 0o7777:04o})"
        return ""

    def _has_acl(self, path: str) -> bool:
        return bool(_acl(path, "access"))

    def _by_acl(self, path: str, wanted: int) -> str:
        for kind in ("access", "default") if wanted == WRITE else ("access",):
            entries = _acl(path, kind)
            mask = next((bits for tag, bits, _ in entries if tag == _MASK), 7)
            for tag, bits, number in entries:
                if not bits & mask & wanted:
                    continue
                what = "what is made in it is" if kind == "default" else "is"
                if tag == _USER and number not in self._trusted:
                    return f"{path}: {what} {_verb(wanted)} by {_name(number)}, by an ACL"
                gid = number
                if tag == _GROUP_OBJ:
                    entry = self.entry(path)
                    gid = entry.st_gid if entry is not None else -1
                if tag in (_GROUP_OBJ, _GROUP) and (members := self.members(gid)):
                    return f"{path}: {what} {_verb(wanted)} by {members[0]}, in the group {_group(gid)}, by an ACL"
        return ""


def way_back(said: str, account: str) -> str:
    """The line that heals what `Reach` said of a path of the system's or of the account's."""
    import shlex

    path = (
        said.partition(": ")[0]
        if ", by an ACL" in said
        else said.partition(" is ")[0].partition(" belongs to ")[0]
    )
    quoted = shlex.quote(path)
    if ", by an ACL" in said:
        return f"setfacl -b {quoted}"
    if " belongs to " in said:
        return f"chown {account} {quoted}"
    return (
        f"chmod {'o' if ' by everybody ' in said else 'g'}-{'w' if ' writable ' in said else 'rx'} {quoted}"
    )


def _verb(wanted: int) -> str:
    return {WRITE: "writable", READ: "readable", ENTER: "open"}[wanted]


def _target(link: str) -> str:
    target = os.readlink(link)
    return target if target.startswith("/") else f"{os.path.dirname(link)}/{target}"


def _acl(path: str, kind: str) -> list[tuple[int, int, int]]:
    """(tag, permissions, id) of each entry; none where there is no ACL, or none can be."""
    try:
        data = os.getxattr(path, f"system.posix_acl_{kind}", follow_symlinks=False)
    except OSError:
        return []
    return [struct.unpack_from("<HHI", data, at) for at in range(4, len(data) - 7, 8)]


def _group_admins() -> Iterator[tuple[str, list[str]]]:
    """(group, anyone who may change its members), as /etc/gshadow has it, where we may read that."""
    try:
        with open("/etc/gshadow", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split(":")
        if len(fields) > 2 and fields[2]:
            yield fields[0], fields[2].split(",")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
