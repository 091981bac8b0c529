"""One thing that doctor looked at."""

from __future__ import annotations

import re
import shlex

from msgspec import Struct


class Finding(Struct, frozen=True):
    """`level` is ok, note or gap; `name` is stable, for scripts; `remedy` is what to do about a gap."""

    level: str
    name: str
    what: str
    remedy: str = ""


def ok(name: str, what: str) -> Finding:
    """It is as it should be."""
    return Finding("ok", name, what)


def note(name: str, what: str, remedy: str = "") -> Finding:
    """Worth knowing; nothing is open."""
    return Finding("note", name, what, remedy)


def gap(name: str, what: str, remedy: str) -> Finding:
    """Something is open, closed by accident, or could not be looked at."""
    return Finding("gap", name, what, remedy)


def remedy_of(fault: str, account: str, otherwise: str) -> str:
    """The line that mends what machine/ownership.py found, from its words; `otherwise` where none does."""
    if "; try: " in fault:
        return fault.partition("; try: ")[2]
    path, belongs, _ = fault.partition(" belongs to uid ")
    return f"chown {account}: {shlex.quote(path)}" if belongs else otherwise


def without(path: str, line: str) -> str:
    """The command that takes a line out of a file, wherever it stands there."""
    pattern = re.sub(r"([]\[\\.*^$%])", r"\\\1", line.strip())
    script = rf"\%^[[:space:]]*{pattern}%d"
    return f"sed -i {shlex.quote(script)} {shlex.quote(path)}"
