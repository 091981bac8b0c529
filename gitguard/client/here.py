"""The verbs in a shell of the server itself, for people with an account of their own there.

Who they are the kernel tells the agent; nothing is sent over ssh, and no key is asked for.
"""

from __future__ import annotations

import os
import socket
import stat
import struct

from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.reasons import Refusal

SOCKET = "/run/gitguard/accounts.socket"
ENVIRONMENT = "GITGUARD_ACCOUNTS"  # another place for it
ANSWER_SECONDS = 5.0
_TOLD = ("TERM", "TZ", "COLUMNS")


def place() -> str:
    """The socket by which this server's agent is asked; "" where there is none."""
    path = os.environ.get(ENVIRONMENT, SOCKET)
    try:
        return path if stat.S_ISSOCK(os.stat(path).st_mode) else ""
    except OSError:
        return ""


def run(words: list[str]) -> int:
    """Have the agent run `2fa WORDS` on our streams; its exit status. Raises Refusal."""
    from gitguard.agent.frame import ACCOUNT, BEGUN, ENDED, LEND_STREAMS, FrameError, answer_on, packed

    path = place()
    if not path:
        text = "no agent of this server answers people's accounts"
        raise Refusal("agent-unavailable", text=text, hint="over ssh: gitguard verify git@HOST")
    # A code is typed to who listens there: root's folder alone says who that is.
    if fault := fault_on_the_way(os.path.dirname(path), 0):
        raise Refusal("agent-unavailable", text=f"nothing was sent: {fault}")
    fields = [
        str(len(words)),
        *words,
        *(f"{name}={os.environ[name]}" for name in _TOLD if name in os.environ),
    ]
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(path)
            connection.sendall(
                packed(ACCOUNT, tuple(field.encode("utf-8", "surrogateescape") for field in fields))
            )
            if answer_on(connection).letter != LEND_STREAMS:
                raise Refusal("agent-unavailable")
            streams = struct.pack("3i", 0, 1, 2)
            connection.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
            if answer_on(connection).letter != BEGUN:
                raise Refusal("agent-unavailable")
            connection.settimeout(None)
            ended = answer_on(connection)
            if ended.letter == ENDED and ended.fields and ended.fields[0].isdigit():
                return int(ended.fields[0])
    except TimeoutError:
        raise Refusal("agent-unavailable") from None
    except (OSError, FrameError):
        text = "the server's agent stopped in the middle of this; see what was done: gitguard status"
        raise Refusal("agent-unavailable", text=text) from None
    raise Refusal("agent-unavailable")
