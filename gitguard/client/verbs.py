"""The workstation's side of each verb: the same words, sent over ssh with the terminal attached."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from urllib.parse import urlsplit

import click

from gitguard.client import cache, here
from gitguard.client.known_servers import is_known, remember
from gitguard.client.remote import (
    Server,
    SshCommand,
    server_of,
    ssh_command,
    ssh_of_clone,
    ssh_of_person,
    url_of,
)
from gitguard.command_line import Group, Run, options_of
from gitguard.factor.code import read_code
from gitguard.identity.public_key import parse_key_file
from gitguard.message.reasons import UNREACHED_STATUS, Refusal, printable, readable
from gitguard.verbs import VERBS, Verb

SSH_FAILED = 255
LONGEST_TYPED = 1024
LONGEST_KEY_FILE = 1 << 16
PROVING = ("verify", "enroll")  # what makes a server known
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
    parameters += options_of(verb)
    parameters.append(click.Option(["--remote"], metavar="NAME", help="Use this remote's server."))
    text = "In a shell of the server itself, as the account that types: without ssh."
    parameters.append(click.Option(["--here"], is_flag=True, help=text))
    if path == [] and verb.name == "web":
        text = "Open the link in this computer's browser instead of printing it."
        parameters.append(click.Option(["--open", "opens"], is_flag=True, help=text))
    if path == [] and verb.name == "status":
        text = "For a shell prompt, without asking the server: `verified ENDS SERVER`, `unverified SERVER` or `unknown` (above it the words of 0.1: `locked ENDS SERVER`, `unlocked SERVER`)."
        parameters.append(click.Option(["--porcelain"], is_flag=True, help=text))
    return click.Command(
        verb.name, params=parameters, help=verb.help, callback=_run(verb, [*path, verb.name])
    )


def _metavar(verb: Verb) -> str:
    return " ".join([*(argument.usage for argument in verb.arguments), "[URL|git@HOST]"])


def _run(verb: Verb, path: list[str]) -> Run:
    def run(words: tuple[str, ...], remote: str | None, **options: object) -> int:
        values, where = _sort(verb, words, path)
        if _is_here(where or remote, wished=bool(options.pop("here", False))):
            return _here(verb, path, values, options)
        if where and remote:
            raise Refusal("usage", text="give a server or --remote, not both")
        opens = bool(options.pop("opens", False))
        if options.pop("porcelain", False):
            return _porcelain(where or url_of(remote))
        if path == ["keys"]:
            values = _with_key(values)
        if verb.name in PROVING:
            for text in (" ".join(values), *values):
                _refuse_recovery_code(text)
        ssh = ssh_of_person() if where else ssh_of_clone()
        url = where or url_of(remote)
        server = server_of(url, ssh.variant)
        if options.get("if_needed") and not options.get("for"):
            options["for"] = server.path  # live by this clone's repository, whose lifetime may be shorter
        known = is_known(server, ssh)
        asks = _asks_for_code(verb, path, values, options)
        if asks:
            click.echo(f"to {server.shown}", err=True)
        if not known:
            named = shlex.quote(where) if where else f"--remote {shlex.quote(remote)}" if remote else ""
            _check_strange(verb, server, named, asks=asks, given=bool(values))
        if opens:
            return _open_page(ssh, server)
        if not known and not values and _already(ssh, server, verb, options):
            return 0
        values, typed = _typed_here(verb, server, values, options, known=known)
        sent = ["2fa", *path, *values, *_sent(verb, options)]
        status = _over_ssh(ssh, server, sent, typed, attached=known or verb.name in PROVING)
        _note(verb, server, ssh, url, status)
        return status

    return run


def _is_here(named: str | None, *, wished: bool) -> bool:
    """Whether this server itself is meant: it is said, or it has people's accounts and no clone is here whose
    remote names a server that ssh reaches.
    """
    if wished and named:
        raise Refusal("usage", text="--here names this server; leave the other one out")
    if wished or named or not here.place():
        return wished
    try:
        server_of(url_of(None), ssh_of_clone().variant)
    except Refusal:
        return True
    return False


def _here(verb: Verb, path: list[str], values: list[str], options: dict[str, object]) -> int:
    """The verb in a shell of the server itself."""
    if options.pop("opens", False) or options.pop("porcelain", False):
        raise Refusal("usage", text="--open and --porcelain are for a workstation")
    if verb.name in PROVING:
        for text in (" ".join(values), *values):
            _refuse_recovery_code(text)
    return here.run([*path, *values, *_sent(verb, options)])


def _porcelain(url: str) -> int:
    """The line for a shell prompt, without asking the server."""
    said, status = cache.line(url)
    click.echo(said)
    return status


def _asks_for_code(verb: Verb, path: list[str], values: list[str], options: dict[str, object]) -> bool:
    """Whether a code may be typed at its prompt: then it is said first where that goes."""
    widely = bool(options.get("all") or options.get("key"))  # of `leave`
    return verb.asks_for_code or widely or (path == ["keys"] and bool(values))


def _typed_here(
    verb: Verb, server: Server, values: list[str], options: dict[str, object], *, known: bool
) -> tuple[list[str], str | None]:
    """(what is sent as arguments, what goes on stdin or None): never a code, since process lists show it."""
    if verb.name == "verify" and (values or not known):
        options["no_prompt"] = True
        return [], " ".join(values) if values else _asked(f"code for {server.shown}, or a recovery code")
    if verb.name == "enroll" and not known:
        invite = _asked(f"invite for {server.shown} (empty if you were given none)")
        return [invite] if invite else [], None
    return values, None


def _check_strange(verb: Verb, server: Server, named: str, *, asks: bool, given: bool) -> None:
    """What is not sent to a server that is not known: what it may ask for, and codes and
    invites that it was not named for.
    """
    if verb.name in PROVING:
        what = "code" if verb.name == "verify" else "invite"
        if given:
            raise Refusal(
                "usage",
                text=f"the {what} was not sent: you have not verified to {server.shown} from this machine before",
                hint=f"leave the {what} out; it is asked for by name",
            )
    elif asks:  # it would ask nobody: nothing of a terminal is lent to it
        raise Refusal(
            "usage",
            text=f"you have not verified to {server.shown} from this machine before",
            hint=f"once, verify there by name: gitguard verify {named}".rstrip(),
        )


def _already(ssh: SshCommand, server: Server, verb: Verb, options: dict[str, object]) -> bool:
    """Whether `verify --if-needed` needs nothing, as a server says that is not known: nothing
    of the terminal is lent to it.
    """
    if verb.name != "verify" or not options.get("if_needed"):
        return False
    words = ["2fa", "verify", *_sent(verb, {**options, "no_prompt": True})]
    done = subprocess.run(
        ssh_command(ssh, server, words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        cwd=ssh.folder,
    )
    if done.returncode == 0:
        click.echo(readable(done.stdout[:LONGEST_TYPED].decode("utf-8", "replace").strip(), 300))
    return done.returncode == 0


def _is_page(link: str) -> bool:
    """Whether it is an address by https, or one of this very machine; no name of a user stands
    before a host that is another.
    """
    try:
        parts = urlsplit(link)
        here = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1")
        plain = bool(re.fullmatch(r"[!-~]+", link)) and "@" not in parts.netloc and bool(parts.hostname)
    except ValueError:
        return False
    return plain and (parts.scheme == "https" or here)


def _open_page(ssh: SshCommand, server: Server) -> int:
    """Ask for a sign-in link, and open it here. MUST: a server names a page by https, or one
    of this very machine, or none.
    """
    import webbrowser

    command = ssh_command(ssh, server, ["2fa", "web", "--qr", "none"])
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, cwd=ssh.folder
        )
    except OSError as error:
        click.echo(f"gitguard: cannot run {command[0]}: {error.strerror}", err=True)
        return UNREACHED_STATUS
    if done.returncode != 0:
        return UNREACHED_STATUS if done.returncode in (SSH_FAILED, 127) else done.returncode
    link = done.stdout[:LONGEST_TYPED].decode("utf-8", "replace").strip()
    if not _is_page(link):
        raise Refusal("usage", text=f"{server.shown} did not answer with a link: {printable(link, 100)}")
    if not webbrowser.open(link):
        click.echo(link)
        click.echo("gitguard: no browser could be started here; open the link yourself", err=True)
        return 0
    click.echo(f"opened {link.partition('/sign-in/')[0]} in your browser", err=True)
    return 0


def _note(verb: Verb, server: Server, ssh: SshCommand, url: str, status: int) -> None:
    """What this machine remembers: a server that was verified to, and until when, for a shell prompt."""
    if status == 0 and verb.name in PROVING:
        remember(server, ssh)
    if status in (0, 10) and verb.name in ("verify", "enroll", "status", "leave"):
        cache.refresh(server, ssh_command(ssh, server, cache.QUESTION.split()), url, ssh.folder)


def _sent(verb: Verb, options: dict[str, object]) -> list[str]:
    """The options as words for the server."""
    words: list[str] = []
    for option in verb.options:
        value = options[option.name.lstrip("-").replace("-", "_")]
        if option.choices:
            aside = verb.name == "web"  # drawn on stderr: its link stands alone on stdout
            words += [option.name, _qr_size(aside=aside) if value == "auto" else str(value)]
        elif option.value and value:
            words += [option.name, str(value)]
        elif value:
            words.append(option.name)
    return words


def _with_key(words: list[str]) -> list[str]:
    """`add FILE` with what stands in the file: the server sees the public key, not this machine's path."""
    if words[:1] != ["add"] or len(words) != 2:
        return words
    path = os.path.expanduser(words[1])
    if not os.path.isfile(path):
        raise Refusal("usage", text=f"no such file: {words[1]}", hint="give the .pub file of the new key")
    with open(path, "rb") as file:
        keys = parse_key_file(file.read(LONGEST_KEY_FILE))
    if len(keys) > 1:
        raise Refusal("usage", text=f"{words[1]} holds {len(keys)} keys; add them one by one")
    return ["add", keys[0].type, keys[0].blob, *keys[0].comment.split()]


def _refuse_recovery_code(text: str) -> None:
    """A recovery code in the argument list was seen by everyone on the machine: refuse it, unsent."""
    try:
        recovery = read_code(text.encode("utf-8", "surrogateescape"), 6).kind == "recovery"
    except Refusal:
        return
    if recovery:
        raise Refusal(
            "not-a-code",
            text="a recovery code is not taken as an argument, because arguments show in process lists; "
            "it was not used",
            hint="run it without the code and type it when asked",
        )


def _sort(verb: Verb, words: tuple[str, ...], path: list[str]) -> tuple[list[str], str]:
    """(the verb's own arguments, the server if one was named)."""
    servers = [word for word in words if _is_server(word)]
    values = [word for word in words if word not in servers]
    if len(servers) > 1:
        raise Refusal("usage", text="more than one server was named")
    least = sum(argument.required for argument in verb.arguments)
    most = None if any(argument.many for argument in verb.arguments) else len(verb.arguments)
    if len(values) < least or (most is not None and len(values) > most):
        raise Refusal(
            "usage",
            text=f"{verb.name} takes: {_metavar(verb)}",
            hint=f"see: gitguard {' '.join(path)} --help",
        )
    return values, servers[0] if servers else ""


def _is_server(word: str) -> bool:
    """A URL, `git@HOST` or `host:path`; of the verbs' arguments only fingerprints and key types look so."""
    return ("@" in word or ":" in word) and not word.startswith(("SHA256:", "sk-"))


def _qr_size(*, aside: bool = False) -> str:
    """What this terminal can show: UTF-8 half blocks, wide blanks, or nothing. `aside`: on stderr,
    and nothing where nobody looks.
    """
    columns = shutil.get_terminal_size((80, 24)).columns
    stream = sys.stderr if aside else sys.stdout
    if not stream.isatty():
        return "none" if aside else "small"
    if "utf" in (stream.encoding or "").lower():
        return "small" if columns >= SMALL_QR_COLUMNS else "none"
    return "large" if columns >= LARGE_QR_COLUMNS else "none"


def _asked(question: str) -> str:
    """One line, typed or piped in. Raises Refusal("not-a-code") when nothing comes."""
    click.echo(f"{question}: ", err=True, nl=False)
    line = b""
    while len(line) < LONGEST_TYPED and (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte  # one by one: what follows on stdin is for the server
    if not line and byte == b"":
        click.echo(err=True)
        raise Refusal("not-a-code", text="nothing was typed, because the input ended")
    return line.decode("utf-8", "replace").strip()


def _over_ssh(ssh: SshCommand, server: Server, words: list[str], typed: str | None, *, attached: bool) -> int:
    """Run the verb there. `typed` goes to stdin; else the terminal is attached,
    or nothing (not `attached`).
    """
    command = ssh_command(ssh, server, words)
    try:
        if typed is not None:
            data = typed.encode() + b"\n"
            status = subprocess.run(command, check=False, input=data, cwd=ssh.folder).returncode
        else:
            stdin = None if attached else subprocess.DEVNULL
            status = subprocess.run(command, check=False, stdin=stdin, cwd=ssh.folder).returncode
    except OSError as error:
        click.echo(f"gitguard: cannot run {command[0]}: {error.strerror}", err=True)
        return UNREACHED_STATUS
    if status in (SSH_FAILED, 127):  # ssh failed, or the shell that Git would use did not find it
        click.echo(f"gitguard: {server.shown} was not reached", err=True)
        return UNREACHED_STATUS
    return status if status >= 0 else 128 - status
