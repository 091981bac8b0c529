"""The options of a line in authorized_keys: the forced command that we write, and other people's options
understood one by one, so that adopting a line never widens it.

Each is implied by `restrict` (dropped), limits the key (kept), names a program (kept behind the
gate), or is none of these, and then the line is refused. Source: sshd(8), AUTHORIZED_KEYS FILE
FORMAT; OpenSSH's auth-options.c.
"""

from __future__ import annotations

import re
import shlex

from msgspec import Struct

from gitguard.identity.public_key import PublicKey
from gitguard.message.reasons import printable
from gitguard.store.rows import Key

# What `restrict` switches off anyway; permitopen and permitlisten limit a forwarding that there is none of.
_IMPLIED = frozenset(
    ("restrict", "no-port-forwarding", "no-agent-forwarding", "no-x11-forwarding", "no-pty", "no-user-rc")
)
_IMPLIED_WITH_VALUE = frozenset(("permitopen", "permitlisten"))
_LIMITS = ("from", "expiry-time")
_GIT_SHELL = re.compile(
    r"""(?:exec )?(?:/\S*/)?git-shell -c (?:"\$SSH_ORIGINAL_COMMAND"|\$SSH_ORIGINAL_COMMAND)"""
)
_SHELLS_OWN = frozenset("$`&|;<>()*?[]#~\n\t{}")


class Options(Struct, frozen=True):
    """What a line's options come to. `limits` as they stand; `fault`: why the line cannot be taken over."""

    limits: str = ""
    verify_required: bool = False
    behind: tuple[str, ...] = ()
    fault: str = ""

    @property
    def kept(self) -> str:
        """What is kept of them, in words; "" for nothing."""
        parts = [self.limits] if self.limits else []
        parts += ["verify-required"] if self.verify_required else []
        parts += [f"behind the gate: {shlex.join(self.behind)}"] if self.behind else []
        return ", ".join(parts)


class NewKey(Struct, frozen=True):
    """A key to give to someone: its limits, whether its line requires user verification, its program."""

    key: PublicKey
    limits: str = ""
    verify_required: bool = False
    behind: tuple[str, ...] = ()


def understand(text: str, gate: str) -> Options:
    """The meaning of the options `text`; a command that is `gate` stands for the program after its `--`."""
    limits: dict[str, str] = {}
    verify_required = False
    behind: tuple[str, ...] = ()
    commanded = False
    split = _split(text)
    if split is None:
        return Options(fault="its options are not understood")
    for name, value in split:
        if value is None and name in _IMPLIED:
            continue
        if value is not None and name in _IMPLIED_WITH_VALUE:
            continue
        if value is not None and name in _LIMITS and name not in limits and value:
            limits[name] = value
        elif name == "verify-required" and value is None:
            verify_required = True
        elif name == "command" and value is not None and not any(c < " " for c in value) and not commanded:
            commanded = True
            program = _program(value, gate)
            if isinstance(program, str):
                return Options(fault=program)
            behind = program
        else:
            shown = printable(name, 40) + ("=..." if value is not None else "")
            return Options(fault=f"gitguard cannot keep its option {shown}")
    kept = ",".join(f'{name}="{_escaped(limits[name])}"' for name in _LIMITS if name in limits)
    return Options(kept, verify_required, behind)


def _program(command: str, gate: str) -> tuple[str, ...] | str:
    """The program that a forced command names, with its arguments; a sentence if it is more than that."""
    if _GIT_SHELL.fullmatch(command):
        return ()
    if any(c in _SHELLS_OWN for c in command):
        return (
            f"its command is a line for the shell ({printable(command, 80)}); put it into a script, and name that "
            "script in the line"
        )
    try:
        words = shlex.split(command)
    except ValueError:
        return f"its command has an unclosed quote: {printable(command, 80)}"
    if words and words[0] == gate:
        program = tuple(words[words.index("--") + 1 :]) if "--" in words else ()
        return (program_fault(program) or program) if program else ()
    if fault := program_fault(tuple(words)):
        return fault
    return tuple(words)


def program_fault(words: tuple[str, ...]) -> str:
    """Why `words` can be no program behind the gate, "" if they can."""
    if not words or not words[0].startswith("/"):
        shown = printable(words[0], 60) if words else "nothing"
        return f"a program behind the gate is named by its absolute path, not {shown}"
    if any(c < " " or c == "\x7f" for word in words for c in word) or "" in words[1:]:
        return "a program's words may be neither empty nor hold control characters"
    return ""


def _split(text: str) -> list[tuple[str, str | None]] | None:
    """(name in small letters, value or None) of each option, None if `text` is not a list of options."""
    if any(c < " " or c == "\x7f" for c in text):
        return None  # a line break would begin a line of its own
    found: list[tuple[str, str | None]] = []
    position = 0
    while position < len(text):
        match = re.compile(r'([A-Za-z0-9-]+)(="((?:[^"\\]|\\"|\\(?!"))*)")?(,|$)').match(text, position)
        if match is None:
            return None
        value = match[3].replace('\\"', '"') if match[2] is not None else None
        found.append((match[1].lower(), value))
        position = match.end()
        if match[4] == "," and position == len(text):
            return None
    return found


def _escaped(value: str) -> str:
    return value.replace('"', '\\"')


def gate_line(key: Key, gate: str, token: str = "") -> str:
    """What sshd's shell runs: our gate with the identity, what the line demands of the key,
    and its own program behind it. `token`: of the connection that the line is for.
    """
    words, behind = [gate, "--user", key.user, "--key", key.fingerprint], key.behind
    words += ["--token", token] if token else []
    words += ["--verify-required"] if key.verify_required else []
    return shlex.join([*words, "--", *behind]) if behind else " ".join(words)


def program_option(program: tuple[str, ...]) -> str:
    """`command="..."` without our gate: the program, or git-shell for none."""
    line = shlex.join(program) if program else 'git-shell -c "$SSH_ORIGINAL_COMMAND"'
    return f'command="{_escaped(line)}"'


def command_option(key: Key, gate: str, token: str = "") -> str:
    """`command="..."` with `gate_line` in it."""
    return f'command="{_escaped(gate_line(key, gate, token))}"'
