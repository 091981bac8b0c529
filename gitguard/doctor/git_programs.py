"""Which files Git reads for the account and its repositories, and which programs
they name: asked of Git itself.

A repository is asked about only where its own file has a word of one that runs something: ten thousand are
looked at in a second. Source: git-config(1), `--show-origin`; githooks(5).
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator

from gitguard.doctor.dependencies import Lean, program_leans
from gitguard.machine.environment import PATH

# Settings whose value is a program, or a line for the shell.
_RUNS = re.compile(
    r"core\.(hookspath|fsmonitor|sshcommand|gitproxy|askpass|alternaterefscommand|pager|editor)"
    r"|uploadpack\.packobjectshook|gpg(\..+)?\.program|tar\..+\.command|filter\..+\.(clean|smudge|process)"
    r"|diff\.external|diff\..+\.(command|textconv)|merge\..+\.driver|credential(\..+)?\.helper"
    r"|remote\..+\.(uploadpack|receivepack|vcs)"
)
_WORDS = re.compile(
    rb"hookspath|fsmonitor|command|gitproxy|askpass|pager|editor|packobjectshook|program|clean|smudge|process"
    rb"|external|textconv|driver|helper|vcs|include|uploadpack|receivepack",
    re.IGNORECASE,
)


def system_leans(home: str) -> Iterator[Lean]:
    """Of the system and the account: every file that Git reads, and every program that they name."""
    for path in ("/etc/gitconfig", f"{home}/.gitconfig", f"{home}/.config/git/config"):
        yield Lean(path, "git-file", "Git reads it for every repository")
    yield from _asked([], home, "Git reads it for every repository", "Git runs it for every repository")
    for program in ("/usr/bin/git", "/usr/lib/git-core"):
        yield Lean(program, "code", "it is Git")


def repository_leans(home: str, repositories: Iterable[tuple[str, str]]) -> Iterator[Lean]:
    """Of each (name, directory): what its own files name, and where the links among its hooks lead."""
    for name, directory in repositories:
        if any(_WORDS.search(_bytes(f"{directory}/{file}")) for file in ("config", "config.worktree")):
            words = ["--git-dir", directory]
            yield from _asked(words, home, f"Git reads it for {name}", f"Git runs it for {name}")
        yield Lean(directory, "repository-open", f"{name} lies there")
        try:
            with os.scandir(f"{directory}/hooks") as found:
                links = [
                    entry.path for entry in found if entry.is_symlink() and not entry.name.endswith(".sample")
                ]
        except OSError:
            continue
        for link in links:
            yield Lean(
                os.path.realpath(link), "hook-file", f"it is a hook of {name}", f"rm {shlex.quote(link)}"
            )


def _asked(words: list[str], home: str, reads: str, runs: str) -> Iterator[Lean]:
    """What `git config --list` says, each value with the file that it stands in."""
    done = subprocess.run(
        ["git", *words, "config", "--list", "--show-origin", "-z"],
        capture_output=True,
        check=False,
        cwd="/",
        env={"PATH": PATH, "HOME": home, "LANG": "C.UTF-8"},
    )
    fields = done.stdout.decode("utf-8", "replace").split("\0")
    for origin, setting in zip(fields[::2], fields[1::2], strict=False):
        path = origin.removeprefix("file:")
        if path.startswith("/"):
            yield Lean(path, "git-file", reads)
        key, _, value = setting.partition("\n")
        if _RUNS.fullmatch(key.lower()):
            undo = f"git config --file {shlex.quote(path)} --unset-all {shlex.quote(key)}"
            yield from program_leans(value.lstrip("!"), "git-program", f"{runs} ({key})", undo)


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""
