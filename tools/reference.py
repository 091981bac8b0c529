"""Write docs/reference.md from the code: `make reference`. A test fails while the page differs from what this prints."""

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

MEANINGS = {
    "not-required": "nothing demands a verification here",
    "verified": "a live 2FA session is in scope",
    "hardware-key": "a hardware key whose line demands its PIN or fingerprint; its login is recent enough",
    "exempt": "a dated exemption of the server's rules",
    "break-glass": "maintenance by the server's admin, audited",
    "internal-error": "something went wrong inside; the access log's `because` says what",
    "usage": "the command's words are off, or what was asked cannot be done by that name",
    "verification-required": "no verification in scope; verify and try again",
    "verification-expired": "there was one, and it has run out",
    "no-grant": "a push that did not come through the gate, where 2FA is required",
    "enrolment-required": "required, and the person has no second factor",
    "invite-required": "enrolling needs an invite or a fresh factor",
    "code-rejected": "wrong, used before, or burned; the audit trail tells which",
    "not-a-code": "what was typed has not the shape of a code; nothing was counted",
    "throttled": "too many failures; ends by itself at the time that is said",
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
    "busy": "other changes went first for ten seconds; nothing was done, no code was used, so try again",
}

HEAD = """\
# Reference

Written by `make reference` from the code; edits are lost.

## Commands over SSH and on a workstation

On the server's Git account, from any machine, with a plain key and no terminal: `ssh -T git@HOST 2fa VERB` (with `-p PORT` where it is
not 22). `ssh -T git@HOST` alone says who you are; `2fa help` lists the verbs. `enrol`, `2fa_verify` and `2fa_recovery_codes` are understood too.

In any clone, the same as `gitguard VERB` (or `git guard VERB`): server, port and key come from the clone's SSH remote and
Git's own ssh command. `--remote NAME`, a Git URL or `git@HOST` name another server. Codes go to the server on stdin.

Prompts and refusals go to stderr, what was asked for to stdout.

| command | what it does |
|---|---|
"""

DECIDES = """\
## What decides

`enforcement` sets the base answer; the server's rules adjust it; a repository's toggle and a person's `always` only tighten it.

| `enforcement` | base answer | rules | repository toggle | a person's `always` |
|---|---|---|---|---|
| `off` | not required | not looked at | no effect, and says so | applies |
| `rules` | not required | first match | cannot be changed over SSH (`not-available`); what it tightened stays in force | applies |
| `opt-in` (default) | not required | first match | tightens | applies |
| `enforced` | required | first match | cannot be changed over SSH (`not-available`); a shorter lifetime stays in force | applies |

A toggle is `none`, `push` or `all`; `all` covers reads and pushes. Of all that require, the shortest lifetime counts; a toggle's may only be
shorter than the server's. A repository that borrows objects also has the read requirement of its lenders. Freshness is judged
at the moment of use; use never extends a session, verifying again restarts it.

A 2FA session covers, by `[session] scope`: `address` this key from this client address (IPv6 by /64), `key` this key from anywhere, `user` all
keys of the person. Hardware keys are not in this version; the configuration refuses them.

A rule (`[[rules]]`): `name`, then any of `repositories`, `users` (names, `@groups`), `operations`, `refs`, `from` (networks), `since`, `until`; then one of
`require = true` (with a `lifetime`, if it is not the server's), `require = false`, `exempt = true`. All conditions that are given must match; rules are read from the top, and the first
that matches sets the base answer. An exemption names its users and its end, and stands above base, rules and toggle; only the user's own `always` stands above it. `*` stands
for anything within one part of a name, `**` for any number of parts; a ref without `refs/` in front is a branch. A date begins with its first moment and ends
with its last, in the server's zone. What demands 2FA for reading demands it for pushing too, since a push shows the refs.

Refs are known when Git has received a push: the gate refuses it only if every answer that its refs could still bring demands 2FA, and says on stderr which refs will need it; the hook judges
each ref, names the first that is refused and its rule, and one refused ref refuses the whole push. Ref rules do not hide refs from readers. Where identity, address or
repository is unknown, a condition on it counts as met for a rule that demands, and as unmet for one that does not.

Changing the second factor needs a code given in that command. `always off` and a toggle also accept a verification in scope of
at most five minutes. Failures are throttled per person and key, and per person over all keys; TOTP codes, recovery codes and invites share the budget.

## Repositories

`a`, `a.git`, `/a.git/`, `//a` and the absolute path below a root are one repository. Refused as `no-such-repository`: what the store does not
know, `..`, `~`, a leading `-`, any symbolic link below a root, a directory inside another repository or work tree, one with a `commondir`
or a `.git`, one whose `HEAD`, `config`, `refs`, `objects`, `hooks` or `packed-refs` is a link, and one beside a twin that Git could mean.

A `pre-receive` that was there when a repository was adopted lies in `hooks.kept/`, under its own name and with links to everything that lay beside it, and
runs after ours; then `hooks/pre-receive.d/` in name order; the first failure stops. A `pre-receive.d` that was there before adopting is left to whoever ran it
so far (`pre-receive.d.left-alone` beside it marks that). What others may write, or what leads nowhere, refuses every push and is named by `repo list` and doctor.

Later hooks (update, post-receive, a program behind the gate) find in their environment: `GITGUARD_USER`, `GITGUARD_KEY`, `GITGUARD_SESSION` (-1 for a hardware key, 0 where nothing was
required), `GITGUARD_REPOSITORY`, `GITGUARD_DIRECTORY`, `GITGUARD_OPERATION` and `GITGUARD_DECISION`, the id of the line in the access log.

A repository that lends objects demands for a push what its borrowers demand for one. A path from the account's home is one more spelling.

Behind a program (`[git] behind`, or a key's own: `key add|adopt --behind`, kept by every rewrite of the key line) the command is rebuilt from what was parsed. Names that the store does
not know are left to that program; while any repository demands 2FA they need a session too, so that nobody learns which are there.

"""


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
            flag = f"{parameter.opts[0]}{takes}"
            words.append(flag if parameter.required else f"[{flag}]")
            notes += f" `{parameter.opts[0]}`: {parameter.help}"
    text = " ".join(words).replace("|", "\\|")
    about = (command.help or "").replace("\n", " ").strip()
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


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    parts += [row + "\n" for verb in VERBS for row in usage(verb)]
    parts.append(
        "\nOn a workstation alone (`status` there also has `--porcelain`, for a shell prompt, from notes on that machine):\n\n"
    )
    parts.append("| command | what it does |\n|---|---|\n")
    parts += [
        row + "\n" for command in (hook_up, completion) for row in admin_rows(command, str(command.name))
    ]
    parts.append("\n## Commands for the server's admin\n\n")
    parts.append(
        "`gitguard [--config FILE] admin ...`, as root or the Git account; FILE is `$GITGUARD_CONFIG`, else `/etc/gitguard/gitguard.toml`.\n"
    )
    parts.append(
        "Lists have `--json`. Every command that changes something says what it changed and leaves an audit record.\n\n"
    )
    parts.append("| command | what it does |\n|---|---|\n")
    parts += [row + "\n" for row in admin_rows(admin, "")]
    parts.append(
        "\n## Reasons and exit statuses\n\nReasons are stable and never reused. Git itself exits 128 when it is refused; the reason stands in brackets.\n\n"
    )
    parts.append("| exit | reason | meaning |\n|---|---|---|\n")
    parts += [
        f"| {status} | `{reason}` | {MEANINGS[reason]} |\n"
        for reason, status in {**ALLOWED, **REFUSED}.items()
    ]
    parts.append(f"| {UNREACHED_STATUS} | (workstation only) | the server was not reached |\n\n")
    parts.append(DECIDES)
    parts.append(
        "## Configuration\n\n`etc/gitguard.toml` explains every key. Durations carry a unit: `90s`, `15m`, `8h`, `7d`. Unknown keys are errors.\n\n"
    )
    parts.append("| table | key | default |\n|---|---|---|\n")
    settings = Settings()
    for field in msgspec.structs.fields(Settings):
        value = getattr(settings, field.name)
        if isinstance(value, msgspec.Struct):
            for key in msgspec.structs.fields(type(value)):
                parts.append(f"| `[{field.name}]` | `{key.name}` | `{shown(getattr(value, key.name))}` |\n")
    parts.append(
        "| `[[apps]]` | `name`, `platforms`, `url` | three free apps |\n| `[groups]` | a name | a list of users |\n"
    )
    parts.append(
        "\n## Access log\n\nOne JSON line per Git decision, with the keys "
        + ", ".join(f"`{key}`" for key in KEYS)
        + ".\n"
    )
    parts.append(
        "Times are Unix seconds. The gate writes one line; the hook one more only when it refuses, or under break-glass. `2fa` commands go to the audit trail.\n"
    )
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
