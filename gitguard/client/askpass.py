"""Asking the person for a code from inside a Git command, whose own streams belong to Git.

At the terminal, else by the program that Git or ssh would ask for a password. MUST: with neither, nobody is
asked and nothing waits: that is a job in the background.
"""

from __future__ import annotations

import getpass
import os
import subprocess

PROMPT_SECONDS = 120


def ask(question: str) -> str | None:
    """What was typed, stripped; None where nobody can be asked, or nothing was given."""
    if _has_terminal():
        try:
            return getpass.getpass(question).strip() or None
        except (EOFError, KeyboardInterrupt, OSError):
            return None
    program = _askpass()
    if not program:
        return None
    try:
        done = subprocess.run(
            [program, question], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False, timeout=PROMPT_SECONDS
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def can_ask() -> bool:
    """Whether anyone can be asked."""
    return _has_terminal() or bool(_askpass())


def _has_terminal() -> bool:
    """A terminal that is ours to use: Git may be told to leave it alone, and a job in the
    background would be stopped by it.
    """
    if os.environ.get("GIT_TERMINAL_PROMPT") in ("0", "false", "no", "off"):
        return False
    try:
        handle = os.open("CONIN$" if os.name == "nt" else "/dev/tty", os.O_RDWR)
    except OSError:
        return False
    try:
        return not hasattr(os, "tcgetpgrp") or os.tcgetpgrp(handle) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(handle)


def _askpass() -> str:
    """The program that asks with a window, in Git's own order. Source: git's prompt.c, git_prompt."""
    named = os.environ.get("GIT_ASKPASS")
    if not named:
        done = subprocess.run(
            ["git", "config", "--global", "--get", "core.askPass"],
            capture_output=True,
            text=True,
            check=False,
        )
        named = done.stdout.strip()
    return named or os.environ.get("SSH_ASKPASS", "")
