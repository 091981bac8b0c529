"""The process that hands notices to the admin's program: started apart from whoever made the change, and left alone.

    python3 -IS notifier.py STATE PROGRAM [ARG...]

It works through STATE/notices, one JSON object a line, and runs PROGRAM for each with the line on stdin, for at most
ten seconds. One such process works at a time; what is added meanwhile is its work too. How the last one went is in
STATE/notices.failed, which doctor reads; the file is away when it went well. A notice is tried once: the audit trail
has everything anyway. It imports nothing of gitguard's, so that it starts in a moment and needs no path.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

SECONDS = 10
LONGEST_BYTES = 1 << 20  # of what waits; a program that hangs for hours must not fill the disk
SAID_BYTES = 300


def main(state: str, command: "list[str]") -> int:
    """Work until nothing waits; 0, or 1 where another process does it."""
    while True:
        handle = os.open(f"{state}/notices.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _locked(handle):
                return 1
            while lines := _taken(state):
                for line in lines:
                    _hand_over(state, command, line)
                os.unlink(f"{state}/notices.work")
        finally:
            os.close(handle)
        if not _waits(state):  # else somebody added a line when we had looked, and found us still at work
            return 0


def _locked(handle: int) -> bool:
    """Whether the turn is ours; those who only look whether somebody works hold it for a moment."""
    for _ in range(5):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def _waits(state: str) -> bool:
    return any(os.path.exists(f"{state}/notices{suffix}") for suffix in ("", ".work"))


def _taken(state: str) -> "list[bytes]":
    """The lines to work on: those that a process before us left half way, else those that wait."""
    work = f"{state}/notices.work"
    if not os.path.exists(work):
        try:
            os.rename(f"{state}/notices", work)
        except FileNotFoundError:
            return []
    with open(work, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the last to add a line may still be at it
        return file.read(2 * LONGEST_BYTES).splitlines()


def _hand_over(state: str, command: "list[str]", line: bytes) -> None:
    fault = _run(command, line + b"\n")
    path = f"{state}/notices.failed"
    if not fault:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    try:
        event = json.loads(line)["event"]
    except (ValueError, KeyError, TypeError):
        event = "?"
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump({"at": int(time.time()), "event": event, "fault": fault}, file)
    os.replace(path + ".new", path)


def _run(command: "list[str]", line: bytes) -> str:
    """What went wrong, "" if nothing did. Whatever the program started ends with it."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", start_new_session=True
        )  # fmt: skip
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    try:
        _, said = process.communicate(line, SECONDS)
    except subprocess.TimeoutExpired:
        return f"{command[0]} took longer than {SECONDS} seconds, and was ended"
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode:
        words = said[:SAID_BYTES].decode("utf-8", "replace").strip()
        return f"{command[0]} exited {process.returncode}" + (f": {words}" if words else "")
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
