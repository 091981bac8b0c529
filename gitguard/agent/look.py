"""Does the agent answer? For doctor, and for whoever starts one."""

from __future__ import annotations

import os
import socket
import stat

from gitguard.agent.frame import HERE, PING, FrameError, packed, receive
from gitguard.machine.ownership import fault_on_the_way

ANSWER_SECONDS = 1.0  # as long as gate and hook wait


def fault_of_agent(path: str) -> str:
    """What is wrong with the agent at `path`, as our own account finds it; "" if it answers."""
    if fault := fault_on_the_way(os.path.dirname(path), os.geteuid()):
        return fault
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return f"{path} is no socket"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(path)
            connection.sendall(packed(PING))
            answer = receive(connection)
    except TimeoutError:
        return f"{path}: no answer within {ANSWER_SECONDS:g} s"
    except (OSError, FrameError) as error:
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    return "" if answer.letter == HERE else f"{path}: it runs what was installed before"
