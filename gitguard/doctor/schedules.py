"""What is started by the clock or at boot as the Git account, and which lines of it touch what is ours."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator

from gitguard.doctor.daemons import unit_files, unit_lines
from gitguard.doctor.dependencies import Lean, program_leans
from gitguard.doctor.finding import Finding, gap, without

CRONTABS = ("/etc/crontab", "/etc/cron.d/*")
SPOOL = "/var/spool/cron/crontabs"
_TIME = re.compile(r"\s*(?:@\w+|(?:\S+\s+){4}\S+)\s+")
_WRITES = re.compile(r">|\b(tee|cp|mv|install|ln|rsync|sed\s+-i|chmod|chown|setfacl|cat\b.*>)")


def cron_lines() -> Iterator[tuple[str, str, str, str]]:
    """(file, account, command, the whole line) of every line of cron's."""
    for pattern in CRONTABS:
        for path in sorted(glob.glob(pattern)):
            for line in _text(path):
                if (when := _TIME.match(line)) and " " in line[when.end() :]:
                    account, _, command = line[when.end() :].partition(" ")
                    yield path, account, command.strip(), line
    for path in sorted(glob.glob(f"{SPOOL}/*")):
        for line in _text(path):
            if when := _TIME.match(line):
                yield path, os.path.basename(path), line[when.end() :].strip(), line


def schedule_leans(account: str) -> Iterator[Lean]:
    """The crontabs, and the programs that cron and systemd start as the account."""
    for pattern in CRONTABS:
        for path in ("/etc/cron.d", *glob.glob(pattern)):
            yield Lean(path, "schedule", "cron does what it says, as anybody")
    for path, who, command, line in cron_lines():
        if who == account:
            yield from program_leans(
                command, "schedule", f"{path} starts it as {account}", without(path, line)
            )
    for name, files in unit_files().items():
        lines = [pair for path in files for pair in unit_lines(path)]
        if ("User", account) in lines:
            for path in files:
                yield Lean(path, "schedule", f"systemd starts {name} as {account} by it")
            for key, value in lines:
                if key.startswith("Exec"):
                    yield from program_leans(
                        value.lstrip("@-:+!"), "schedule", f"{name} starts it as {account}"
                    )


def schedule_findings(places: list[str], ours: tuple[str, ...]) -> Iterator[Finding]:
    """Lines of cron's that write what only gitguard should (`places`); `ours`: the files `init` wrote."""
    for path, who, command, line in cron_lines():
        if path in ours or not _WRITES.search(command):
            continue
        for place in places:
            if re.search(rf"(?<![\w/.-]){re.escape(place)}(?![\w.-])", command):
                yield gap(
                    "schedule",
                    f"{path} has {who} write {place}, again and again: {command[:100]}",
                    without(path, line),
                )
                break


def _text(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return []
    return [
        line
        for line in lines
        if line.strip() and not line.lstrip().startswith("#") and not re.match(r"\s*\w+\s*=", line)
    ]


def tmpfiles_findings(places: list[str]) -> Iterator[Finding]:
    """Lines of systemd-tmpfiles that open what is ours at the next boot. Source: tmpfiles.d(5)."""
    for path in sorted(glob.glob("/etc/tmpfiles.d/*.conf") + glob.glob("/run/tmpfiles.d/*.conf")):
        for line in _text(path):
            words = line.split()
            if len(words) < 3 or not re.fullmatch(r"[:~]?[0-7]{3,5}", words[2]):
                continue
            inside = any((words[1].rstrip("/*") + "/").startswith(place + "/") for place in places)
            if inside and int(words[2].lstrip(":~"), 8) & 0o027:
                yield gap(
                    "tmpfiles",
                    f"{path} opens {words[1]} to others at the next boot: {line[:80]}",
                    without(path, line),
                )


def rotation_findings(log: str, account: str) -> Iterator[Finding]:
    """A rotation that gives the new log to someone else: from then on reads go unlogged, and
    what requires 2FA is refused.
    """
    for path in ("/etc/logrotate.conf", *sorted(glob.glob("/etc/logrotate.d/*"))):
        text = "\n".join(_text(path))
        for names, block in re.findall(r"^([^{}\n]+)\{([^}]*)\}", text, re.MULTILINE):
            if not any(log in glob.glob(name.strip('"')) or name.strip('"') == log for name in names.split()):
                continue
            made = re.search(r"^\s*create\s+\d+\s+(\S+)", block, re.MULTILINE)
            becomes = re.search(r"^\s*su\s+(\S+)", block, re.MULTILINE)
            owner = made[1] if made else becomes[1] if becomes else account
            if owner != account:
                yield gap(
                    "logrotate",
                    f"{path} makes the next {log} {owner}'s: then what requires 2FA is refused",
                    f"sed -i 's/create .*/create 0600 {account} {account}/' {path}",
                )
            elif becomes is not None and becomes[1] not in ("root", account):
                yield gap(
                    "logrotate",
                    f"{path} rotates {log} as {becomes[1]}, to whom its folder is closed: it grows without end",
                    f"sed -i 's/su .*/su {account} {account}/' {path}",
                )
