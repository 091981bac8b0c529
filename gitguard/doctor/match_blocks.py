"""What sshd says for other connections than the one that was asked about: each Match block that names
addresses, ports or hosts is asked for too.

An example that the block fits is made from its own words; a block for other people is passed over.
Source: sshd_config(5), Match.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import shlex
from collections.abc import Callable, Iterator

from gitguard.doctor.finding import Finding, gap
from gitguard.doctor.sshd import DECIDES, RELOAD, Sshd

_SPEC = {
    "address": "addr",
    "localaddress": "laddr",
    "localport": "lport",
    "host": "host",
    "rdomain": "rdomain",
}


def match_findings(sshd: Sshd, groups: list[str], ask: Callable[[dict[str, str]], Sshd]) -> Iterator[Finding]:
    """`ask`: sshd's answer for the account with these words of `-C`."""
    for path in sshd.files:
        for line in _match_lines(path):
            words = line.replace("=", " ", 1).split()[1:]
            criteria = dict(zip([word.lower() for word in words[::2]], words[1::2], strict=False))
            if set(criteria) <= {"user", "group", "all"} or not _is_about(criteria, sshd.account, groups):
                continue
            spec = _example(criteria)
            other = ask(spec) if spec is not None else None
            if other is None or other.fault:
                yield gap(
                    "sshd-match",
                    f"`{line}` in {path}: what it says for other connections was not looked at",
                    _out(path, line),
                )
                continue
            differs = [
                keyword
                for keyword in DECIDES
                if sorted(other.values.get(keyword, [])) != sorted(sshd.values.get(keyword, []))
            ]
            if differs:
                said = f"{differs[0]} is {' '.join(other.values.get(differs[0], ['not set']))}"
                yield gap(
                    "sshd-match",
                    f"`{line}` in {path}: for connections that it fits, {said}",
                    _out(path, line),
                )


def _match_lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file]
    except OSError:
        return []
    return [line for line in lines if line.replace("=", " ", 1).lower().split()[:1] == ["match"]]


def _is_about(criteria: dict[str, str], account: str, groups: list[str]) -> bool:
    """Whether the block can fit the account at all."""
    for key, names in (("user", [account]), ("group", groups)):
        if key in criteria and not any(_fits(criteria[key], name) for name in names):
            return False
    return True


def _fits(patterns: str, name: str) -> bool:
    """As sshd compares a list: one that is negated and fits ends it."""
    fits = False
    for pattern in patterns.split(","):
        if pattern.startswith("!"):
            if fnmatch.fnmatchcase(name, pattern[1:]):
                return False
        else:
            fits = fits or fnmatch.fnmatchcase(name, pattern)
    return fits


def _example(criteria: dict[str, str]) -> dict[str, str] | None:
    """Words for `-C` that the block fits; None where none can be made up."""
    spec = {}
    for key, value in criteria.items():
        if key in ("user", "group"):
            continue
        if key not in _SPEC:
            return None
        pattern = next((one for one in value.split(",") if not one.startswith("!")), None)
        if pattern is None:
            return None
        spec[_SPEC[key]] = _of(key, pattern)
    return spec


def _of(key: str, pattern: str) -> str:
    if "/" in pattern and key in ("address", "localaddress"):
        try:
            network = ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            return pattern.partition("/")[0]
        return str(next(iter(network.hosts()), network.network_address))
    return pattern.replace("*", "1").replace("?", "1")


def _out(path: str, line: str) -> str:
    """The command that takes the block out of its file, up to the next one."""
    pattern = "".join(f"\\{c}" if c in "]\\[.*^$%" else c for c in line)
    script = rf"\%^[[:space:]]*{pattern}$%,/^[[:space:]]*[Mm]atch /{{\%^[[:space:]]*{pattern}$%d; /^[[:space:]]*[Mm]atch /!d}}"
    return f"sed -i {shlex.quote(script)} {shlex.quote(path)} && {RELOAD}"
