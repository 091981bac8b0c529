"""Becoming the Git account: admin commands run as root take its uid before they touch anything of its."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import shlex
import sys
import termios

from gitguard.machine.python import PACKAGE, interpreter
from gitguard.message.reasons import Refusal

MAKE_GIT = "make it first: useradd --system --create-home --shell /bin/sh {name} && usermod -p '*' {name}"
MAKE_KEEPER = "make it first: useradd --system --no-create-home --shell /usr/sbin/nologin {name}"


def account(name: str, hint: str = MAKE_GIT) -> pwd.struct_passwd:
    """The account's entry. Raises Refusal("usage") if there is none, with `hint`."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise Refusal(
            "usage", text=f"no account {name} on this machine", hint=hint.format(name=name)
        ) from None


def uid_of(name: str, hint: str = MAKE_GIT) -> int:
    """The account's uid. Raises as `account`."""
    return account(name, hint).pw_uid


def is_account(name: str) -> bool:
    """Whether we are the account `name`."""
    try:
        return pwd.getpwnam(name).pw_uid == os.geteuid()
    except KeyError:
        return False


def become(name: str, command_line: str) -> None:
    """Go on as the account `name`: a no-op if we are it, a change of uid for root.

    Raises Refusal("forbidden") for anyone else, with the line to type.
    """
    entry = account(name)
    if os.geteuid() == entry.pw_uid:
        return
    if os.geteuid() != 0:
        line = "sudo " + command_line
        raise Refusal("forbidden", text=f"run this as root or as {name}", hint=f"type: {line}")
    check_reachable(entry)
    leave_terminal()
    os.setgroups([g.gr_gid for g in grp.getgrall() if name in g.gr_mem] + [entry.pw_gid])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir
    os.environ["USER"] = os.environ["LOGNAME"] = name
    try:
        os.chdir(os.getcwd())
    except OSError:
        os.chdir(
            "/"
        )  # below /root, say: what we start could not enter it, and Git and editors refuse to work there


def leave_terminal() -> None:
    """Have no controlling terminal from here on, nor whoever we start.

    MUST: nothing that runs as another account shares root's terminal: whoever traces such a process could
    type there (TIOCSTI), and root's shell would run it. What is open stays open, and Ctrl-C arrives as
    before. A session's leader keeps its own: behind it no shell reads. Source: ioctl_tty(2), TIOCNOTTY.
    """
    if os.getsid(0) == os.getpid():
        return
    try:
        handle = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return  # there is none
    try:
        fcntl.ioctl(handle, termios.TIOCNOTTY)
    finally:
        os.close(handle)


def check_reachable(entry: pwd.struct_passwd) -> None:
    """The account can run the interpreter and read the package: both may lie below someone's home.

    Raises Refusal("usage") naming the folder that stops it.
    """
    for path in (interpreter(), os.path.join(PACKAGE, "gitguard", "__init__.py")):
        stop = _first_closed(path, entry)
        if stop:
            hint = (
                "install gitguard anew where the account can read it, in a new folder: /usr/bin/python3 -m venv "
                "/opt/gitguard, then its pip install; do not run venv over the one that is there"
            )
            raise Refusal(
                "usage",
                text=f"the account {entry.pw_name} cannot reach {path}: {stop} is closed to it",
                hint=hint,
            )


def _first_closed(path: str, entry: pwd.struct_passwd) -> str:
    """The first folder on the way to `path` that `entry` may not enter, or `path` itself if unreadable."""
    current = ""
    parts = [part for part in os.path.realpath(path).split("/") if part]
    for position, part in enumerate(parts):
        current += "/" + part
        found = os.stat(current)
        shift = 6 if found.st_uid == entry.pw_uid else 3 if found.st_gid == entry.pw_gid else 0
        needed = 0o1 if position < len(parts) - 1 else 0o4
        if entry.pw_uid != 0 and not found.st_mode >> shift & needed:
            return current
    return ""


def check_owner(config: str, name: str) -> None:
    """A configuration that is not root's speaks for its owner alone: or root would act as whom it names.

    Raises Refusal("config-invalid").
    """
    entry = account(name)
    owner = os.stat(config).st_uid
    if os.geteuid() == 0 and owner not in (0, entry.pw_uid):
        raise Refusal(
            "config-invalid",
            text=f"{config} belongs to uid {owner}, but names the account {name}; it must belong to root or to {name}",
        )


def account_fault(name: str, state: str, before: str = "") -> str:
    """Why `name` cannot be the account that keeps the state folder `state`; "" if it can. What belongs to the
    account `before` may be handed over.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return f"no account {name!r} on this machine"
    try:
        owner = os.stat(state).st_uid
        given = bool(before) and owner == pwd.getpwnam(before).pw_uid
    except (OSError, KeyError):
        return ""  # not installed yet, or not for us to see
    return (
        ""
        if given or owner == entry.pw_uid
        else f"{name!r} would not own {state}, which belongs to uid {owner}"
    )


def own_command_line() -> str:
    """How this command was called, quoted for a shell, for a hint."""
    return shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
