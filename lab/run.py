"""Running a command to its end, and what it did."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.quick import QUICK, Quick

GITGUARD = [sys.executable, "-m", "gitguard"]


@dataclass
class Done:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Everything it printed."""
        return self.out + self.err


def run(
    command: list[str],
    *,
    stdin: str = "",
    status: int | None = 0,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    timeout: int = 60,
) -> Done:
    """Run a command to its end; raises AssertionError with all it said unless it exits with `status`."""
    # stdin of "" is an empty input, not a terminal: nothing here may hang.
    done = subprocess.run(
        command,
        input=stdin.encode("utf-8", "surrogateescape"),
        capture_output=True,
        cwd=cwd,
        env=env,
        timeout=timeout,
        check=False,
    )
    result = Done(
        done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )
    if status is not None and done.returncode != status:
        raise AssertionError(f"{command} exited {done.returncode}, not {status}\n{result.out}\n{result.err}")
    return result


def gitguard(*words: str, status: int | None = 0, stdin: str = "") -> Done:
    """`gitguard WORDS` in a process of its own; raises AssertionError unless it exits with `status`."""
    return typed(QUICK, words, status=status, stdin=stdin)


def typed(
    quick: Quick,
    words: tuple[str, ...],
    *,
    status: int | None,
    stdin: str,
    environ: dict[str, str] | None = None,
    cwd: str = "",
) -> Done:
    """The same by the process that `quick` keeps ready."""
    got, out, err = quick.run(list(words), stdin.encode("utf-8", "surrogateescape"), environ, cwd)
    result = Done(got, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
    if status is not None and got != status:
        raise AssertionError(f"gitguard {words} exited {got}, not {status}\n{result.out}\n{result.err}")
    return result
