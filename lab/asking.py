"""How a process that keeps gitguard loaded (lab/quick.py) is asked to be one command. Imports little, because
it may stand in for `gitguard` on the PATH.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Sequence

WAIT_SECONDS = 60


def ask(
    address: str,
    words: list[str],
    streams: Sequence[int],
    environ: dict[str, str] | None = None,
    cwd: str = "",
    gate: tuple[str, ...] = (),
    timeout: float | None = WAIT_SECONDS,
) -> int:
    """The exit status of `gitguard WORDS` with the handles `streams` as its three;
    negative: the signal it died of.

    With the environment and the folder of this moment, unless others are given.
    """
    umask = os.umask(0)
    os.umask(umask)
    asked = json.dumps({
        "words": words, "environ": dict(os.environ) if environ is None else environ, "cwd": cwd or os.getcwd(), "umask": umask,
        "gate": gate,
    }).encode("utf-8", "surrogateescape")  # fmt: skip
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(timeout)
        channel.connect(address)
        socket.send_fds(channel, [len(asked).to_bytes(8, "big")], streams)
        channel.sendall(asked)
        said = channel.recv(16)
    return int(said) if said else -signal.SIGKILL


def stand_in(address: str, words: list[str]) -> int:
    """Be `gitguard WORDS` with this process's own streams, for as long as it takes; its
    exit status as a shell has it.
    """
    status = ask(address, words, (0, 1, 2), timeout=None)
    return status if status >= 0 else 128 - status
