"""Write docs/reference.md from the code: `make reference`. A test fails while the page
differs from what this prints.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gitguard.__main__ import completion
from gitguard.answer.access_log import KEYS
from gitguard.cli.admin import admin
from gitguard.client.hook_up import hook_up
from gitguard.config.schema import Settings
from gitguard.config.types import Duration, Limit, Wait, format_duration
from gitguard.message.reasons import ALLOWED, REFUSED, UNREACHED_STATUS
from gitguard.verbs import VERBS, Verb

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"
PROSE = Path(__file__).with_suffix(".md")

MEANINGS = {
    "not-required": "nothing requires a verification here",
    "verified": "a live 2FA session is in scope",
    "hardware-key": "a hardware key whose line requires its PIN or fingerprint; its login is recent enough",
    "exempt": "a dated exemption of the server's rules",
    "break-glass": "maintenance by the server's admin, audited",
    "internal-error": "something went wrong inside; the access log's `because` says what",
    "usage": "the command's words are off, or what was asked cannot be done by that name",
    "verification-required": "no verification in scope; verify and try again",
    "verification-expired": "there was one, and it has expired",
    "no-grant": "a push that did not come through the gate, where 2FA is required",
    "enrolment-required": "required, and the person has no second factor",
    "invite-required": "enrolling needs an invite or a fresh factor",
    "code-rejected": "wrong, used before, or burned; the audit trail tells which",
    "not-a-code": "what was typed has not the shape of a code; nothing was counted",
    "throttled": "too many wrong codes; ends by itself at the time that is said",
    "forbidden": "this person may not do this, or the server does not let people do it",
    "not-available": "not under this server's enforcement or settings",
    "user-suspended": "the server's admin has suspended the person",
    "user-unknown": "no such person, or removed",
    "no-identity": "the key line names no valid person and key, or the key is no longer theirs",
    "malformed-command": "arguments, quoting, control characters, or longer than 8 KiB",
    "unknown-command": "no such command, or not served here",
    "no-such-repository": "not known, not spelled like one, or a directory that Git might take for another",
    "hook-not-live": "the repository's pre-receive hook is not there, not executable, or not ours",
    "config-invalid": "the configuration has a fault, or may be changed by others, or sshd accepts too much",
    "store-unavailable": "store or keys are missing, damaged, locked, full, or may be changed by others",
    "log-unavailable": "the access log cannot be written, and what was asked requires 2FA",
    "store-schema": "the store is of another version",
    "store-went-back": "the database has lost what was recorded, or an old primary came back: closed until `gitguard admin store accept-loss`",
    "agent-unavailable": "the agent, which alone may decide here, does not answer; or it was stopped while it ran a command of yours, and `2fa status` says what was done",
    "busy": "other changes went first for ten seconds; nothing was done, no code was used, so try again",
}


def usage(verb: Verb, path: str = "") -> list[str]:
    """Table rows of one verb."""
    name = f"{path} {verb.name}".strip()
    if verb.children:
        return [row for child in verb.children for row in usage(child, name)]
    words = [name, *(a.usage for a in verb.arguments), *(o.usage for o in verb.options)]
    text = " ".join(words).replace("|", "\\|")
    options = "".join(f" `{o.name}`: {o.help}" for o in verb.options)
    return [f"| `{text}` | {verb.help}{options} |"]


def admin_rows(command: click.Command, path: str) -> list[str]:
    """Table rows of an admin command and what lies below it."""
    context = click.Context(command)
    if isinstance(command, click.Group):
        names = command.commands or command.list_commands(context)
        found = [(name, command.get_command(context, name)) for name in names]
        return [
            row
            for name, child in found
            if child is not None
            for row in admin_rows(child, f"{path} {name}".strip())
        ]
    words, notes = [path], ""
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            words.append(parameter.make_metavar(context))
        elif isinstance(parameter, click.Option):
            takes = "" if parameter.is_flag else f" {parameter.make_metavar(context)}"
            flag = "|".join((parameter.opts[0], *parameter.secondary_opts)) + takes
            words.append(flag if parameter.required else f"[{flag}]")
            notes += f" `{parameter.opts[0]}`: {parameter.help}"
    text = " ".join(words).replace("|", "\\|")
    about = " ".join((command.help or "").split())
    return [f"| `{text}` | {about}{notes} |"]


def shown(value: object) -> str:
    """A default as the configuration writes it."""
    if isinstance(value, Wait) and not value:
        return '"off"'
    if isinstance(value, Duration):
        return f'"{format_duration(value)}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(shown(v) for v in value) + "]"
    if isinstance(value, Limit):
        return f'"{value.failures}/{format_duration(value.seconds)}"'
    return f'"{value}"' if isinstance(value, str) else str(value)


def table(head: str, rows: list[str]) -> str:
    """A Markdown table."""
    columns = head.count("|") - 1
    return "\n".join([head, "|" + "---|" * columns, *rows])


def settings_rows() -> list[str]:
    """Every key of the configuration with its default."""
    settings = Settings()
    return [
        f"| `[{field.name}]` | `{key.name}` | `{shown(getattr(value, key.name))}` |"
        for field in msgspec.structs.fields(Settings)
        if isinstance(value := getattr(settings, field.name), msgspec.Struct)
        for key in msgspec.structs.fields(type(value))
    ] + [
        "| `[[apps]]` | `name`, `platforms`, `url` | three free apps |",
        "| `[groups]` | a name | a list of users |",
        "| `[aliases]` | a login | the user that it is here |",
    ]


def page() -> str:
    """The whole page: the prose of reference.md with its slots filled."""
    commands = "| command | what it does |"
    slots = {
        "verbs": table(commands, [row for verb in VERBS for row in usage(verb)]),
        "workstation": table(
            commands, [row for one in (hook_up, completion) for row in admin_rows(one, str(one.name))]
        ),
        "admin": table(commands, admin_rows(admin, "")),
        "reasons": table(
            "| exit | reason | meaning |",
            [
                *(
                    f"| {status} | `{reason}` | {MEANINGS[reason]} |"
                    for reason, status in {**ALLOWED, **REFUSED}.items()
                ),
                f"| {UNREACHED_STATUS} | (workstation only) | the server was not reached |",
            ],
        ),
        "configuration": table("| table | key | default |", settings_rows()),
        "log_keys": ", ".join(f"`{key}`" for key in KEYS),
    }
    text = PROSE.read_text(encoding="utf-8").partition("\n")[2]
    for name, filled in slots.items():
        text = text.replace(f"{{{{ {name} }}}}", filled)
    return text


if __name__ == "__main__":
    PAGE.write_text(page())
