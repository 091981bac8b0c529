"""The process that hands notices to the admin's program: started apart from whoever
made the change, and left alone.

    python3 -IS notifier.py STATE PROGRAM [ARG...]

It works through STATE/notices, one JSON object a line, and runs PROGRAM for each with the line on stdin, for
at most ten seconds. One such process works at a time; what is added meanwhile is its work too. How the last
one went is in STATE/notices.failed, which doctor reads; the file is away when it went well. A notice is tried
once, and one that a crash cut short at most twice: the audit trail has everything anyway. It imports nothing
of gitguard's, so that it starts in a moment and needs no path.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time

SECONDS = 10
LONGEST_BYTES = 1 << 20  # of what waits; a program that hangs for hours must not fill the disk
SAID_BYTES = 300
DONE = b"#"  # in the place of a line's first byte, which is a brace: someone has begun to hand it over


def main(state: str, command: "list[str]") -> int:
    """Work until nothing waits; 0, or 1 where another process does it."""
    while True:
        handle = os.open(f"{state}/notices.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _locked(handle):
                return 1
            while _take(state):
                _work(state, command)
                os.unlink(f"{state}/notices.work")
        finally:
            os.close(handle)
        if not _waits(state):  # else someone added a line when we had looked, and found us still at work
            return 0


def _locked(handle: int) -> bool:
    """Whether the turn is ours; those who only look whether someone works hold it for a moment."""
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


def _take(state: str) -> bool:
    """Make sure there is work: what an earlier process left half done, else what waits; False for nothing."""
    if not os.path.exists(f"{state}/notices.work"):
        try:
            os.rename(f"{state}/notices", f"{state}/notices.work")
        except FileNotFoundError:
            return False
    return True


def _work(state: str, command: "list[str]") -> None:
    """Hand over line by line. A line that is begun is marked in place, which needs no room on a full disk."""
    with open(f"{state}/notices.work", "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the last to add a line may still be at it
        while True:
            begins = file.tell()
            line = file.readline()
            if not line:
                return
            if line[:1] == DONE or not line.strip():
                continue
            after = file.tell()
            file.seek(begins)
            file.write(DONE)
            file.flush()
            file.seek(after)
            _hand_over(state, command, line)


def _hand_over(state: str, command: "list[str]", line: bytes) -> None:
    fault = _run(command, line)
    path = f"{state}/notices.failed"
    if not fault:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return
    try:
        event = json.loads(line)["event"]
    except (ValueError, KeyError, TypeError):
        event = "?"
    with contextlib.suppress(OSError):  # on a full disk the rest is told all the same
        note_failure(state, event, fault)


def note_failure(state: str, event: str, fault: str) -> None:
    """Leave word for doctor. Raises OSError."""
    path = f"{state}/notices.failed"
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
        said = _talk(process, line)
    except subprocess.TimeoutExpired:
        return f"{command[0]} took longer than {SECONDS} seconds, and was ended"
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    if process.returncode:
        words = said[:SAID_BYTES].decode("utf-8", "replace").strip()
        return f"{command[0]} exited {process.returncode}" + (f": {words}" if words else "")
    return ""


def _talk(process: "subprocess.Popen[bytes]", line: bytes) -> bytes:
    """Give it the line, and keep the first of its stderr until it ends. Raises TimeoutExpired."""
    assert process.stdin is not None  # noqa: S101 - both were asked for
    assert process.stderr is not None  # noqa: S101
    to, says = process.stdin.fileno(), process.stderr.fileno()
    os.set_blocking(to, False)
    os.set_blocking(says, False)
    ends = time.monotonic() + SECONDS
    said, open_ = b"", True
    while process.poll() is None:  # it ends when it ends, whoever else still holds its streams
        if time.monotonic() > ends:
            raise subprocess.TimeoutExpired(process.args, SECONDS)
        select.select([says] if open_ else [], [to] if line else [], [], 0.05)
        if line:
            with contextlib.suppress(BlockingIOError):
                try:
                    line = line[os.write(to, line) :]
                except BrokenPipeError:
                    line = b""
            if not line:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        said, open_ = _heard(says, said)
    return _heard(says, said)[0]


def _heard(handle: int, said: bytes) -> "tuple[bytes, bool]":
    """(what was said so far, at most so much; whether more may come)."""
    try:
        part = os.read(handle, 65536)
    except BlockingIOError:
        return said, True
    except OSError:
        return said, False
    return (said + part)[:SAID_BYTES], bool(part)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
