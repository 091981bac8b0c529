"""The servers that a person has verified to from this machine: a code goes nowhere else unasked.

One line each in a file of the person's own configuration folder. A clone that brings its own ssh command is
another server in this sense: that command decides where the words really go.
"""

from __future__ import annotations

import contextlib
import os

from gitguard.client.remote import Server, SshCommand

_LONGEST = 1 << 20


def folder() -> str:
    """The person's own folder for what gitguard notes on a workstation."""
    if os.name == "nt":
        above = os.environ.get("APPDATA") or os.path.expanduser("~")
    else:
        above = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(above, "gitguard")


def _file() -> str:
    return os.path.join(folder(), "servers")


def _line(server: Server, ssh: SshCommand) -> str:
    parts = [server.destination, server.port or "-"]
    if ssh.local:
        parts.append(ssh.program)
    return " ".join(part.replace("\n", " ") for part in parts)


def is_known(server: Server, ssh: SshCommand) -> bool:
    """Whether the person has verified or enrolled there before, by this way."""
    try:
        with open(_file(), encoding="utf-8", errors="replace") as file:
            return _line(server, ssh) in file.read(_LONGEST).splitlines()
    except OSError:
        return False


def remember(server: Server, ssh: SshCommand) -> None:
    """Note a server after the first success there. If it cannot be noted, the person is asked again."""
    if is_known(server, ssh):
        return
    path = _file()
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(_line(server, ssh) + "\n")
