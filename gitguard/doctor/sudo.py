"""Rules of sudo and doas about the Git account, by their grammar: who, as whom, aliases taken apart.
Source: sudoers(5), doas.conf(5).

Anyone who may become root by them administers the machine, which is not looked at; what counts here is who
becomes the account without being root, and as whom the account may run anything.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator

from gitguard.doctor.finding import Finding, gap, note, without

SUDOERS = ("/etc/sudoers", "/etc/sudoers.d/*")
DOAS = "/etc/doas.conf"
_RULE = re.compile(r"(?P<who>(?:[^\s,=]+\s*,\s*)*[^\s,=]+)\s+(?P<hosts>[^=]+?)\s*=\s*(?P<rest>.*)")
_ALIAS = re.compile(r"(User|Runas)_Alias\s+(.*)")


def sudo_findings(account: str, uid: int, groups: list[tuple[str, int]]) -> Iterator[Finding]:
    """`groups`: (name, gid) of each group of the account."""
    if account == "root":
        return
    mine = {account, f"#{uid}", *(f"%{name}" for name, _ in groups), *(f"%#{gid}" for _, gid in groups)}
    lines: list[tuple[str, str]] = []
    for pattern in SUDOERS:
        for path in sorted(glob.glob(pattern)):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    text = file.read().replace("\\\n", " ")
            except OSError:
                yield note("sudoers", f"{path} was not read", "run doctor as root")
                continue
            lines += [(path, line) for raw in text.splitlines() if (line := _plain(raw))]
    aliases = _aliases([line for _, line in lines])
    for path, line in lines:
        if line.startswith(("Defaults", "@include", "#include")) or re.match(r"\w+_Alias\b", line):
            continue
        if (rule := _RULE.match(line)) is None:
            continue
        who, targets = _expanded(rule["who"], aliases), _targets(rule["rest"], aliases)
        if who & (mine | {"ALL"}):
            yield gap(
                "sudo",
                f"{path} lets {account} run commands as {', '.join(sorted(targets))}: {line[:120]}",
                without(path, line),
            )
        elif targets & {account, f"#{uid}"} and who != {"root"}:
            yield gap(
                "sudo",
                f"{path} lets {', '.join(sorted(who))} act as {account}: {line[:120]}",
                without(path, line),
            )
    yield from _doas(account, mine)


def _doas(account: str, mine: set[str]) -> Iterator[Finding]:
    try:
        with open(DOAS, encoding="utf-8", errors="replace") as file:
            lines = [_plain(line) for line in file]
    except OSError:
        return
    for line in lines:
        words = re.sub(r"\{[^}]*\}", "", line).split()
        if words[:1] != ["permit"]:
            continue
        rest = [word for word in words[1:] if word not in ("nopass", "persist", "keepenv", "nolog", "setenv")]
        who = rest[0].replace(":", "%", 1) if rest else ""
        target = rest[rest.index("as") + 1] if "as" in rest[:-1] else "root"
        if who in mine or target == account:
            yield gap("sudo", f"{DOAS} has a rule about {account}: {line[:120]}", without(DOAS, line))


def _plain(line: str) -> str:
    """Without remarks; `#1000` is a uid and no remark."""
    return re.sub(r"(^|\s)#(?!\d)(?!include).*", "", line).strip()


def _aliases(lines: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in lines:
        if alias := _ALIAS.match(line):
            for part in alias[2].split(":"):
                name, _, members = part.partition("=")
                found[name.strip()] = {member.strip() for member in members.split(",") if member.strip()}
    return found


def _expanded(words: str, aliases: dict[str, set[str]], depth: int = 0) -> set[str]:
    found: set[str] = set()
    for word in (word.strip() for word in words.split(",")):
        if word in aliases and depth < 8:
            found |= _expanded(",".join(aliases[word]), aliases, depth + 1)
        elif word and not word.startswith("!"):
            found.add(word)
    return found


def _targets(rest: str, aliases: dict[str, set[str]]) -> set[str]:
    """As whom the rule lets them run: each `(USER:GROUP)` of it, root where it says none."""
    named = re.findall(r"(?:^|,)\s*\(([^):]*)", rest)
    if not named:
        return {"root"}
    found = {one for users in named for one in _expanded(users, aliases)}
    return found or {"root"}
