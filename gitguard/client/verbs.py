"""The workstation's side of each verb: the same words, sent over ssh with the terminal attached."""

from __future__ import annotations

import shutil
import subprocess
import sys

import click

from gitguard.client.remote import Server, remote_url, server_of, ssh_command
from gitguard.command_line import Group, Run
from gitguard.message.reasons import UNREACHED_STATUS, Refusal
from gitguard.verbs import VERBS, Verb

SSH_FAILED = 255
LARGE_QR_COLUMNS = 120
SMALL_QR_COLUMNS = 60


def add_client_verbs(group: Group) -> None:
    """Add every verb, with `--remote NAME` and a URL or `git@HOST` as an extra argument."""
    for verb in VERBS:
        group.add_command(_command(verb, []))
        group.aliases.update(dict.fromkeys(verb.aliases, verb.name))


def _command(verb: Verb, path: list[str]) -> click.Command:
    if verb.children:
        sub = Group(verb.name, help=verb.help, no_args_is_help=True)
        for child in verb.children:
            sub.add_command(_command(child, [*path, verb.name]))
        return sub
    parameters: list[click.Parameter] = [click.Argument(["words"], nargs=-1, metavar=_metavar(verb))]
    for option in verb.options:
        if option.choices:
            kind = click.Choice(option.choices)
            parameters.append(
                click.Option([option.name], type=kind, default=option.choices[0], help=option.help)
            )
        else:
            parameters.append(click.Option([option.name], is_flag=True, help=option.help))
    parameters.append(click.Option(["--remote"], metavar="NAME", help="The remote whose server is meant."))
    return click.Command(
        verb.name, params=parameters, help=verb.help, callback=_run(verb, [*path, verb.name])
    )


def _metavar(verb: Verb) -> str:
    words = [a.name.upper() if a.required else f"[{a.name.upper()}]" for a in verb.arguments]
    return " ".join([*words, "[URL|git@HOST]"])


def _run(verb: Verb, path: list[str]) -> Run:
    def run(words: tuple[str, ...], remote: str | None, **options: object) -> int:
        values, where = _sort(verb, words)
        if where and remote:
            raise Refusal("usage", text="give a server or --remote, not both")
        sent, typed = ["2fa", *path], None
        if verb.name == "verify" and values:
            typed = " ".join(values)  # codes go on stdin: arguments show in process lists
        else:
            sent += values
        for option in verb.options:
            value = options[option.name.lstrip("-").replace("-", "_")]
            if option.choices:
                size = _qr_size() if value == "auto" else str(value)
                sent += [option.name, size]
            elif value:
                sent.append(option.name)
        return _over_ssh(server_of(where or remote_url(remote)), sent, typed)

    return run


def _sort(verb: Verb, words: tuple[str, ...]) -> tuple[list[str], str]:
    """(the verb's own arguments, the server if one was named). A server is what looks like a URL or git@HOST."""
    servers = [word for word in words if "@" in word or "://" in word]
    values = [word for word in words if word not in servers]
    if len(servers) > 1:
        raise Refusal("usage", text="more than one server was named")
    least = sum(argument.required for argument in verb.arguments)
    most = None if any(argument.many for argument in verb.arguments) else len(verb.arguments)
    if len(values) < least or (most is not None and len(values) > most):
        raise Refusal(
            "usage", text=f"{verb.name} takes: {_metavar(verb)}", hint=f"see: gitguard {verb.name} --help"
        )
    return values, servers[0] if servers else ""


def _qr_size() -> str:
    """What this terminal can show: UTF-8 half blocks, wide blanks, or nothing."""
    columns = shutil.get_terminal_size((80, 24)).columns
    if not sys.stdout.isatty():
        return "small"
    if "utf" in (sys.stdout.encoding or "").lower():
        return "small" if columns >= SMALL_QR_COLUMNS else "none"
    return "large" if columns >= LARGE_QR_COLUMNS else "none"


def _over_ssh(server: Server, words: list[str], typed: str | None) -> int:
    command = ssh_command(server, words)
    try:
        done = subprocess.run(
            command, check=False, **({} if typed is None else {"input": typed.encode() + b"\n"})
        )  # type: ignore[call-overload]
    except OSError as error:
        click.echo(f"gitguard: cannot run {command[0]}: {error.strerror}", err=True)
        return UNREACHED_STATUS
    if done.returncode == SSH_FAILED:
        click.echo(f"gitguard: {server.destination} was not reached", err=True)
        return UNREACHED_STATUS
    status: int = done.returncode
    return status if status >= 0 else 128 - status
