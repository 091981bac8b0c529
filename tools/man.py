"""Write the man pages in man/ from the same texts as `--help`: `make reference`. A
test fails while they differ.

gitguard(1) with git-guard(1), so that `git help guard` works; gitguard-admin(8); gitguard.toml(5).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import reference

from gitguard.__main__ import root
from gitguard.cli.admin import admin
from gitguard.message.reasons import ALLOWED, REFUSED, UNREACHED_STATUS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "man"


def escaped(text: str) -> str:
    """`text` for roff: no escape, no request at a line's beginning, hyphens that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def head(name: str, section: int, what: str) -> list[str]:
    """Title and NAME. No date: a page must not differ from one day to the next."""
    return [
        f'.TH {name.upper()} {section} "" gitguard "gitguard"', ".nh", ".ad l",
        ".SH NAME", f"{escaped(name)} \\- {escaped(what)}",
    ]  # fmt: skip


def command(item: click.Command, path: str, context: click.Context) -> list[str]:
    """One command as an entry of a list: its usage in bold, its help, its
    options; groups by their members.
    """
    if isinstance(item, click.Group):
        lines: list[str] = []
        for name in item.list_commands(context):
            child = item.get_command(context, name)
            if child is not None and name != "admin" and not child.hidden:
                inner = click.Context(child, info_name=name, parent=context)
                lines += command(child, f"{path} {name}".strip(), inner)
        return lines
    words = [path] + [p.make_metavar(context) for p in item.params if isinstance(p, click.Argument)]
    lines = [".TP", f".B {escaped(' '.join(words))}", escaped(" ".join((item.help or "").split()))]
    for option in item.params:
        if isinstance(option, click.Option) and option.help:
            takes = "" if option.is_flag else f" {option.make_metavar(context)}"
            lines += [".RS", ".TP", f".B {escaped(option.opts[0] + takes)}", escaped(option.help), ".RE"]
    return lines


def statuses() -> list[str]:
    """EXIT STATUS, with the reason that stands in brackets."""
    lines = [".SH EXIT STATUS", "Reasons are stable; Git itself exits 128 when it is refused."]
    for reason, status in {**ALLOWED, **REFUSED}.items():
        if status or reason == "verified":
            lines += [".TP", f".B {status}", f"{escaped(reason)}: {escaped(reference.MEANINGS[reason])}"]
    return [*lines, ".TP", f".B {UNREACHED_STATUS}", "the server was not reached (workstation only)"]


def gitguard() -> str:
    """The page of the workstation."""
    lines = head("gitguard", 1, "a second factor for Git over SSH, on a workstation")
    lines += [
        ".SH SYNOPSIS", ".B gitguard", ".I VERB", "[...] [", ".I URL|git@HOST", "]", ".br", ".B git guard", ".I VERB", "[...]",
        ".br", ".B ssh \\-T git@HOST 2fa", ".I VERB", "[...]",
        ".SH DESCRIPTION",
        escaped(
            "In a clone, opens a 2FA session on the server of its SSH remote, and looks after your second factor there. "
            "Server, port and key come from the remote and from Git's own ssh command. Codes go to the server on stdin."
        ),
        ".PP", ".RS", "gitguard verify && git push", ".RE",
        ".SH COMMANDS",
    ]  # fmt: skip
    group = root()
    lines += command(group, "", click.Context(group, info_name="gitguard"))
    lines += statuses()
    lines += [
        ".SH FILES", ".TP", "~/.config/gitguard/servers", "The servers that you have verified to: a code goes nowhere else unasked.",
        ".SH SEE ALSO", ".BR gitguard\\-admin (8),", ".BR gitguard.toml (5),", ".BR git (1),", ".BR ssh (1)",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def gitguard_admin() -> str:
    """The page of the server."""
    lines = head("gitguard-admin", 8, "install and look after gitguard on a Git server")
    lines += [
        ".SH SYNOPSIS", ".B gitguard", "[", ".BI \\-\\-config \\ FILE", "]", ".B admin", ".I COMMAND", "[...]",
        ".SH DESCRIPTION",
        escaped(
            "Run as root or as the Git account; as root, it becomes the account before it touches anything of its. FILE is "
            "$GITGUARD_CONFIG, else /etc/gitguard/gitguard.toml. Every command that changes something says what it changed and "
            "leaves an audit record. When something is broken, begin with: gitguard admin doctor"
        ),
        ".SH COMMANDS",
    ]  # fmt: skip
    lines += command(admin, "", click.Context(admin, info_name="admin"))
    lines += statuses()
    lines += [
        ".SH FILES", ".TP", "/etc/gitguard/gitguard.toml", "The configuration.",
        ".TP", "/var/lib/gitguard", "The store, the key file that opens its secrets, the key that signs grants.",
        ".TP", "/var/log/gitguard/access.log", "One JSON line per decision.",
        ".TP", "/usr/local/lib/gitguard", "The launchers of gate and hook.",
        ".SH SEE ALSO", ".BR gitguard (1),", ".BR gitguard.toml (5),", ".BR sshd_config (5)",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def gitguard_toml() -> str:
    """The page of the configuration: the example file, which explains every key."""
    lines = head("gitguard.toml", 5, "configuration of gitguard on a Git server")
    lines += [
        ".SH DESCRIPTION",
        escaped(
            "TOML. Unknown keys are errors; a fault in the file closes all of Git, so edit it with: gitguard admin config edit. "
            "Every key with its default:"
        ),
        ".PP", ".nf", escaped((ROOT / "etc" / "gitguard.toml").read_text().rstrip()), ".fi",
        ".SH SEE ALSO", ".BR gitguard\\-admin (8)",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {
        "gitguard.1": gitguard(),
        "git-guard.1": ".so man1/gitguard.1\n",
        "gitguard-admin.8": gitguard_admin(),
        "gitguard.toml.5": gitguard_toml(),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in pages().items():
        (FOLDER / file).write_text(text)
