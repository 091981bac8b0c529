"""Every sshd that runs, and every one that would be started: which program, by which words, from which unit.

A process is an sshd by the file that it runs, not by its name; its words are taken apart as sshd's own getopt
does. Source: sshd(8), proc(5), systemd.unit(5), systemd.exec(5).
"""

from __future__ import annotations

import getopt
import glob
import os
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from gitguard.doctor.dependencies import Lean
from gitguard.doctor.finding import Finding, gap, without
from gitguard.machine.environment import is_early

_OPTIONS = "C:E:b:c:f:g:h:k:o:p:u:46DQRTdeiqrtVG"
UNITS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)
DEFAULTS = "/etc/default/ssh"
_OWN = ("ssh.service", "sshd.service", "ssh@.service", "sshd@.service")  # Debian's and others'


class Daemon(NamedTuple):
    """`where`: a process or a file, for people. `options`: what `sshd -T` is asked with, too.
    `stop`: the line that ends it.
    """

    where: str
    options: tuple[str, ...]
    stop: str


def daemons(program: str) -> list[Daemon]:
    """All of them, each set of words once; `program` is the machine's sshd."""
    found: dict[tuple[str, ...], Daemon] = {}
    for daemon in (*_running(program), *_started()):
        found.setdefault(daemon.options, daemon)
    return list(found.values())


def runs_with(program: str | None, config: str | None) -> bool:
    """Whether what listens runs with the file that was asked about; always so for sshd's own default."""
    if config is None or program is None:
        return program is not None
    return any(("-f", config) in zip(one.options, one.options[1:], strict=False) for one in _running(program))


def options_of(words: list[str]) -> tuple[str, ...]:
    """What decides who gets in: the file and each `-o`, in their order; `-f/x`, `-f /x` and `-oX=y` alike."""
    try:
        parsed, _ = getopt.getopt(words, _OPTIONS)
    except getopt.GetoptError:
        return ("-o", f"what is not understood: {' '.join(words)}")
    return tuple(word for name, value in parsed if name in ("-f", "-o") for word in (name, value))


def _running(program: str) -> Iterator[Daemon]:
    try:
        own = os.stat(program)
    except OSError:
        return
    for folder in glob.glob("/proc/[0-9]*"):
        pid = int(folder.rpartition("/")[2])
        try:
            runs = os.stat(f"{folder}/exe")
            named = os.readlink(f"{folder}/exe")
            with open(f"{folder}/cmdline", "rb") as file:
                line = file.read(65536).decode("utf-8", "replace")
        except OSError:
            continue
        if (runs.st_dev, runs.st_ino) != (own.st_dev, own.st_ino) and not re.search(
            r"/sshd( \(deleted\))?$", named
        ):
            continue
        if line.startswith("sshd: "):
            if "[listener]" not in line:
                continue  # a connection of one of them
            words = line.partition("[listener]")[0].replace("\0", " ").split()[2:]
        else:
            words = [word for word in line.split("\0") if word][1:]
        yield Daemon(f"process {pid}", options_of(words), f"kill {pid}")


def _started() -> Iterator[Daemon]:
    """By systemd, by inetd, by the init script."""
    defaults = _variables(DEFAULTS)
    if extra := defaults.get("SSHD_OPTS", "").split():
        yield Daemon(DEFAULTS, options_of(extra), f"sed -i 's/^SSHD_OPTS=.*/SSHD_OPTS=/' {DEFAULTS}")
    for name, files in unit_files().items():
        if not name.endswith(".service") or not _is_wanted(name, files):
            continue
        lines: list[str] = []
        variables = dict(defaults)
        for path in files:
            for key, value in unit_lines(path):
                if key == "ExecStart":
                    lines = [*lines, value] if value else []
                elif key == "EnvironmentFile":
                    variables.update(_variables(value.lstrip("-")))
                elif key == "Environment":
                    variables.update(_assigned(value))
        for line in lines:
            words = _filled_in(line.lstrip("@-:+!"), variables).split()
            if words and re.search(r"(^|/)sshd$", words[0]):
                yield Daemon(f"{name} ({files[0]})", options_of(words[1:]), _stopped(name, files))
    for path in ("/etc/inetd.conf", *glob.glob("/etc/xinetd.d/*")):
        for line in _text(path).splitlines():
            if not line.lstrip().startswith("#") and (found := re.search(r"\S*/sshd\b(.*)", line)):
                yield Daemon(
                    path,
                    options_of([word for word in found[1].split() if word != "sshd"]),
                    without(path, line),
                )


def environment_findings() -> Iterator[Finding]:
    """What a unit of sshd sets before sshd's first instruction."""
    for name, files in unit_files().items():
        if re.fullmatch(r"(ssh|sshd)(@)?\.service", name) is None:
            continue
        for path in files:
            for key, value in unit_lines(path):
                if key == "Environment":
                    for variable in _assigned(value):
                        if is_early(variable):
                            yield gap(
                                "early-variable",
                                f"{path} sets {variable} for sshd, which acts before any login",
                                f"{without(path, f'{key}={value}')} && systemctl daemon-reload && systemctl restart ssh",
                            )


def daemon_leans() -> Iterator[Lean]:
    """The files that say how sshd is started."""
    for name, files in unit_files().items():
        if re.match(r"sshd?[.@-]", name):
            for path in files:
                yield Lean(path, "sshd-file", "systemd starts sshd by it")
    yield Lean(DEFAULTS, "sshd-file", "sshd is started with its words")


def unit_files() -> dict[str, list[str]]:
    """Unit -> its file, and its drop-ins in their order."""
    found: dict[str, list[str]] = {}
    for folder in UNITS:
        for path in sorted(
            glob.glob(f"{folder}/*.service")
            + glob.glob(f"{folder}/*.socket")
            + glob.glob(f"{folder}/*.timer")
        ):
            found.setdefault(os.path.basename(path), [path])
    for folder in UNITS:
        for path in sorted(glob.glob(f"{folder}/*.d/*.conf")):
            name = os.path.basename(os.path.dirname(path)).removesuffix(".d")
            found.setdefault(name, [])
            found[name].append(path)
    return found


def unit_lines(path: str) -> Iterator[tuple[str, str]]:
    """(key, value) of a unit's file."""
    for line in _text(path).replace("\\\n", " ").splitlines():
        if not line.lstrip().startswith(("#", ";")) and "=" in line:
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _is_wanted(name: str, files: list[str]) -> bool:
    """Whether something starts the unit: a target that wants it, a socket of its name, or Debian itself."""
    if name in _OWN:
        return True
    return bool(files) and any(
        glob.glob(f"{folder}/*.{kind}/{name}")
        or os.path.exists(f"{folder}/{name.replace('.service', '.socket')}")
        for folder in UNITS
        for kind in ("wants", "requires")
    )


def _stopped(name: str, files: list[str]) -> str:
    """Debian's own unit continues without the addition; any other ends, with its
    socket, and its file is kept.
    """
    if name in _OWN:
        return f"mv {files[-1]} {files[-1]}.off && systemctl daemon-reload && systemctl restart ssh"
    socket = files[0].replace(".service", ".socket")
    names = [files[0], *([socket] if os.path.exists(socket) else [])]
    moved = " && ".join(f"mv {path} {path}.off" for path in names)
    return f"systemctl disable --now {' '.join(map(os.path.basename, names))} && {moved} && systemctl daemon-reload"


def _filled_in(line: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: variables.get(found[1], ""), line)


def _variables(path: str) -> dict[str, str]:
    found = {}
    for line in _text(path).splitlines():
        name, sign, value = line.strip().partition("=")
        if sign and re.fullmatch(r"\w+", name):
            found[name] = value.strip().strip("\"'")
    return found


def _assigned(value: str) -> dict[str, str]:
    try:
        words = shlex.split(value)
    except ValueError:
        words = value.split()
    return {word.partition("=")[0]: word.partition("=")[2] for word in words if "=" in word}


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""
