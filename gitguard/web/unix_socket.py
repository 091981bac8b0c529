"""A Unix socket for the web server in front: the account's, for one group to connect to.

As root, the socket is made with the account's own power and the group's, so that root follows nothing that
the account put in its way; whoever serves afterwards is not in that group.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterator, Sequence

from gitguard.message.reasons import Refusal

MODE = 0o660


def group_of(name: str, proxies: Sequence[str], account: pwd.struct_passwd) -> int:
    """The group that `--socket-group` names, else the one of the first `unix:ACCOUNT` among the trusted
    proxies, else the account's own. Raises Refusal.
    """
    if name:
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            raise Refusal("usage", text=f"no group {name} on this machine") from None
    for proxy in proxies:
        with contextlib.suppress(KeyError):
            if proxy.startswith("unix:"):
                return pwd.getpwnam(proxy.removeprefix("unix:")).pw_gid
    return account.pw_gid


def listening_on(path: str, account: pwd.struct_passwd, group: int) -> socket.socket:
    """A socket at `path`, of `account` and `group`, 0660. Raises
    Refusal("usage") naming what is in the way.
    """
    with _as_account(account, group):
        _make_room(path)
        made = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)  # until its group is right, it is the account's alone
        try:
            made.bind(path)
            if group != os.getegid():
                os.chown(path, -1, group)
            os.chmod(path, MODE)
        except OSError as error:
            made.close()
            raise _cannot(path, account, group, error) from None
        finally:
            os.umask(before)
    made.listen(64)
    return made


def _make_room(path: str) -> None:
    """Take away a socket that nobody listens on any more."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Refusal("usage", text=f"{path} is there, and is no socket; it was left as it is")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                raise Refusal("usage", text=f"someone already serves on {path} already")
        os.unlink(path)
    except OSError:
        return  # not there, or not to be taken away: binding says why


def _cannot(path: str, account: pwd.struct_passwd, group: int, error: OSError) -> Refusal:
    folder = os.path.dirname(path)
    if isinstance(error, PermissionError) and os.path.exists(path):
        os.unlink(path)
        name = _group_name(group)
        return Refusal(
            "usage",
            text=f"{account.pw_name} is not in the group {name}, so it cannot give it the socket",
            hint=f"start it as root, or run: usermod -a -G {name} {account.pw_name}",
        )
    hint = f"install -d -o {account.pw_name} -m 755 {folder}"
    return Refusal(
        "usage", text=f"cannot listen on {path}: {error.strerror or error}", hint=f"its folder: {hint}"
    )


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


@contextlib.contextmanager
def _as_account(account: pwd.struct_passwd, group: int) -> Iterator[None]:
    """With the account's rights and the group's, where we are root; as we are, where we are not."""
    if os.geteuid() != 0 or account.pw_uid == 0:
        yield
        return
    groups, primary = os.getgroups(), os.getegid()
    os.setgroups([account.pw_gid, group])
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(primary)
        os.setgroups(groups)
