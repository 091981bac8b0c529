"""What the gate leans on and does not own: sshd's files and PAM's, the loader's, Git's, Python's. One
question of each: who may write it?

Each source gives paths with the reason why they count; nothing here knows a gap by its name. It is asked as
root, before the uid is given up, since some of it only root may see.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gitguard.doctor.finding import Finding, gap, ok, without
from gitguard.doctor.reach import Reach, way_back
from gitguard.machine.environment import PATH

SHOWN = 8  # of one name; the rest is a count


class Lean(NamedTuple):
    """`name` of the finding if someone else may write `path`; `why` it counts, as the end of a sentence.

    `undo`: the line after which nothing leans on it any more, "" where that cannot be.
    """

    path: str
    name: str
    why: str
    undo: str = ""


def leaning_findings(
    leans: Iterable[Lean], reach: Reach, about: str = "what sshd, PAM, Git, Python and the loader read"
) -> Iterator[Finding]:
    """Each cause once, with the first of what leans on it."""
    causes: dict[str, list[Lean]] = {}
    count = 0
    for lean in leans:
        count += 1
        if said := reach.writer_on_the_way(lean.path):
            causes.setdefault(said, []).append(lean)
    shown: dict[str, int] = {}
    for said, leaning in causes.items():
        name = leaning[0].name
        shown[name] = shown.get(name, 0) + 1
        if shown[name] > SHOWN:
            continue
        more = f", and {len(leaning) - 1} more lean on it" if len(leaning) > 1 else ""
        yield gap(name, f"{said}: {leaning[0].why}{more}", _way_back(said, leaning[0]))
    for name, number in shown.items():
        if number > SHOWN:
            yield gap(name, f"{number - SHOWN} more of the kind", "mend those above, and look again")
    if not causes:
        yield ok("leaning", f"{about}: {count} files are closed to others")


def _way_back(said: str, lean: Lean) -> str:
    """What is someone's own stays theirs, and is leant on no more; what is the system's is closed."""
    return lean.undo if lean.undo and " belongs to " in said else way_back(said, "root")


def loader_leans() -> Iterator[Lean]:
    """What every program is loaded by, and who everyone is."""
    for path in (
        "/etc/ld.so.conf",
        "/etc/ld.so.cache",
        "/etc/ld.so.preload",
        *glob.glob("/etc/ld.so.conf.d/*.conf"),
    ):
        yield Lean(path, "loader", "every program is loaded by it")
    for path in ("/etc/ld.so.conf", *glob.glob("/etc/ld.so.conf.d/*.conf")):
        for line in lines_of(path):
            if line.startswith("/"):
                yield Lean(
                    line,
                    "loader",
                    f"{path} lets every program load libraries from there",
                    f"{without(path, line)} && ldconfig",
                )
    for path in ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/nsswitch.conf"):
        yield Lean(path, "accounts", "it says who is who on this machine")
    for path in ("/etc/sudoers", "/etc/doas.conf", *glob.glob("/etc/sudoers.d/*")):
        yield Lean(path, "sudo", "it says who may become the account")
    for folder in ("/etc/tmpfiles.d", "/etc/systemd/system", "/etc/pam.d", "/etc/cron.d"):
        yield Lean(folder, "system-file", "what lies there acts as root")


def pam_leans() -> Iterator[Lean]:
    """The files by which PAM lets people in, the modules that they name, and the programs of pam_exec."""
    for path, line in pam_lines("sshd"):
        yield Lean(path, "pam", "PAM reads it at each login")
        if program := re.search(r"pam_exec\.so\s+(?:\S+\s+)*?(/\S+)", line):
            yield Lean(program[1], "pam", f"{path} runs it at each login", without(path, line))
        if found := re.search(r"(\S*pam_\w+\.so)", line):
            for folder in _pam_folders(found[1]):
                yield Lean(folder, "pam", f"{path} loads it at each login")
    for path in (
        *glob.glob("/etc/security/*.conf"),
        *glob.glob("/etc/security/limits.d/*.conf"),
        "/etc/environment",
    ):
        yield Lean(path, "pam", "PAM's modules read it at each login")
    for path in glob.glob("/etc/pam.d/su*"):
        yield Lean(path, "pam", "it says who may become the account")


def pam_lines(service: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """(file, line) of a service's rules, and of what it includes."""
    path = service if service.startswith("/") else f"/etc/pam.d/{service}"
    for line in lines_of(path):
        yield path, line
        included = re.match(r"@include\s+(\S+)|\S+\s+(?:include|substack)\s+(\S+)", line)
        if included and depth < 8:
            yield from pam_lines(included[1] or included[2], depth + 1)


def _pam_folders(module: str) -> list[str]:
    if module.startswith("/"):
        return [module]
    return [
        path
        for path in glob.glob(f"/lib/*/security/{module}") + glob.glob(f"/usr/lib*/security/{module}")
        if path
    ]


def wrapper_leans() -> Iterator[Lean]:
    """The files of TCP wrappers, and the programs that they start."""
    for path in ("/etc/hosts.allow", "/etc/hosts.deny"):
        yield Lean(path, "hosts-allow", "sshd asks it about each connection")
        for line in lines_of(path):
            for started in re.findall(r"(?:spawn|twist)[\s(]+(/[^\s)&;|]+)", line):
                yield Lean(
                    started, "hosts-allow", f"{path} runs it as root at each connection", without(path, line)
                )


def program_leans(line: str, name: str, why: str, undo: str = "") -> Iterator[Lean]:
    """The program that a line of shell words starts, and every absolute path in it."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    for place, word in enumerate(words):
        if word.startswith("/"):
            yield Lean(word, name, why, undo)
        elif place == 0 and (found := shutil.which(word, path=PATH)):
            yield Lean(found, name, why, undo)


def lines_of(path: str) -> list[str]:
    """A file's lines without remarks, continued ones joined; none if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 20).replace("\\\n", " ")
    except OSError:
        return []
    return [line for raw in text.splitlines() if (line := raw.partition("#")[0].strip())]


def walked(folder: str) -> Iterator[str]:
    """Every file and folder below, without following links."""
    for inside, folders, names in os.walk(folder):
        yield inside
        for name in (*names, *folders):
            yield f"{inside}/{name}"
