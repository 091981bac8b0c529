"""In ssh's place for Git (`gitguard hook-up`): a refusal for want of a verification is asked about,
and Git's command runs again.

The server speaks first, so its first packet tells a refusal before Git has said anything; Git's own stdin is
not read. What is not one of Git's two conversations goes straight through.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import time

import click

from gitguard.client import askpass, cache, prompt_lock
from gitguard.client.known_servers import is_known
from gitguard.client.remote import Server, SshCommand, variant_of
from gitguard.factor.code import read_code
from gitguard.message.reasons import Refusal, readable

_SPEAKS_FIRST = ("git-upload-pack", "git-receive-pack")
_WANTED = (b"[verification-required]", b"[verification-expired]")
_CHUNK = 1 << 18
_TRIES = 3
LONGEST_SAID = 1 << 14
# ssh's options that take a value, as far as Git, or a configured command, may hand them over. Source: ssh(1).
_WITH_VALUE = "BbcDEeFIiJLlmOopQRSWw"


def run(ssh: SshCommand, words: list[str]) -> int:
    """Be ssh with the arguments `words`; its exit status."""
    split = _split(words)
    if split is None or split[2].partition(" ")[0] not in _SPEAKS_FIRST:
        return subprocess.run(_command(ssh, words), check=False).returncode
    options, destination, _ = split
    server = Server(destination, tuple(_port(options)))
    environment = {**os.environ, "GIT_PROTOCOL": _at_once(os.environ.get("GIT_PROTOCOL", ""))}
    # The refusal has to come at once: who is asked here must not wait for the server's own patience.
    told = ["-o", "SendEnv=GIT_PROTOCOL", *words] if ssh.variant == "ssh" else words
    began = time.time()
    status, refusal = _converse(_command(ssh, told), environment)
    if refusal and _verify(ssh, server, options, began, refusal):
        status, refusal = _converse(_command(ssh, told), environment)
    if refusal:
        _forward(refusal)
    return status


def _split(words: list[str]) -> tuple[list[str], str, str] | None:
    """(options, destination, the command) of ssh's arguments; None where there is no command."""
    place = 0
    while place < len(words) and words[place].startswith("-") and len(words[place]) > 1:
        takes = words[place][1] in _WITH_VALUE and len(words[place]) == 2
        place += 2 if takes else 1
    if place >= len(words) - 1:
        return None
    return words[:place], words[place], " ".join(words[place + 1 :])


def _port(options: list[str]) -> list[str]:
    """`-p PORT` of the options, as Git hands it over."""
    for place, word in enumerate(options[:-1]):
        if word in ("-p", "-P"):
            return [word, options[place + 1]]
    return []


def _at_once(protocol: str) -> str:
    return ":".join([*([protocol] if protocol else []), "gitguard=no-wait"])


def _command(ssh: SshCommand, words: list[str]) -> list[str]:
    if not ssh.snippet:
        return [ssh.program, *words]
    return ["sh", "-c", ssh.program + ' "$@"', ssh.program, *words]


def _converse(command: list[str], environment: dict[str, str]) -> tuple[int, bytes]:
    """Let Git talk through `command`: (its status, b""), or (its status, a refusal that came first)."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, bufsize=0)
    except OSError as error:
        click.echo(f"gitguard: cannot run {command[0]}: {error.strerror}", err=True)
        return 127, b""
    with (
        process
    ):  # at its end the pipe is closed: what else it says is for nobody, and keeps neither it nor Git waiting
        handle = process.stdout.fileno() if process.stdout is not None else -1
        first = _first_packet(handle)
        if first[4:].startswith(b"ERR gitguard: ") and any(word in first.split(b"\n")[0] for word in _WANTED):
            refusal = first
        else:
            refusal = b""
            try:
                _forward(first)
                while part := os.read(handle, _CHUNK):
                    _forward(part)
            except BrokenPipeError:
                process.terminate()  # Git has hung up
    return process.returncode, refusal


def _first_packet(handle: int) -> bytes:
    """The server's first packet, whole, or whatever it says instead."""
    data = b""
    wanted = 4
    while len(data) < wanted and (part := os.read(handle, wanted - len(data))):
        data += part
        if len(data) == 4:
            with contextlib.suppress(ValueError):
                wanted = max(int(data, 16), 4)
    return data


def _forward(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _verify(ssh: SshCommand, server: Server, options: list[str], began: float, refusal: bytes) -> bool:
    """Ask for a code and verify with it, or find that another command has. False: the refusal stands."""
    if not askpass.can_ask():
        _say(
            "nobody can be asked here, with neither a terminal nor an askpass program; verify first: gitguard verify"
        )
        return False
    if not is_known(server, ssh):
        # A clone's own configuration may name any host: a code goes only where its person
        # has sent one by name.
        _say(
            f"not asked here, since you have not verified to {server.shown} from this machine before; once: gitguard verify"
        )
        return False
    with prompt_lock.turn(server, _say) as mine:
        if prompt_lock.verified_since(server, began):
            return True
        if not mine:
            return False
        _say(_why(refusal))
        last = None
        for _ in range(_TRIES):
            code = askpass.ask(f"code for {server.shown} (or a recovery code): ")
            if code is None:
                return False
            if code == last:
                _say("the same answer again; it was not sent")
                return False  # a program that answers for nobody would continue for ever
            last = code
            if not _is_shaped(code):
                _say("not a code; nothing was sent")
                continue
            status = _sent(ssh, server, options, code)
            if status == 0:
                prompt_lock.note_verified(server)
                cache.refresh(
                    server, _command(ssh, [*_quiet(ssh), *options, server.destination, cache.QUESTION])
                )
                return True
            if status != 12:
                return False
    return False


def _why(refusal: bytes) -> str:
    """`verify to push to team/app`: the refusal without the ways out; nothing that moves a cursor."""
    text = refusal[4:].split(b"\n")[0].decode("utf-8", "replace").removeprefix("ERR gitguard: ")
    return readable(re.split(r": (?=open https?://|https?://|ssh )", text)[0], 300)


def _is_shaped(code: str) -> bool:
    """Whether it could be a code at all. What is none, such as a token that a program gives for
    a password, is sent nowhere.
    """
    for digits in (6, 7, 8):
        with contextlib.suppress(Refusal):
            read_code(code.encode("utf-8", "surrogateescape"), digits)
            return True
    return False


def _sent(ssh: SshCommand, server: Server, options: list[str], code: str) -> int:
    """Verify with `code`, which continues stdin; ssh's status. What the server says is told on
    stderr, as Git shows such words.
    """
    command = _command(ssh, [*_quiet(ssh), *options, server.destination, "2fa verify --no-prompt"])
    done = subprocess.run(
        command, input=code.encode() + b"\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    with contextlib.suppress(OSError):
        for line in done.stdout[:LONGEST_SAID].decode("utf-8", "replace").splitlines():
            click.echo(readable(line, 1000), err=True)
    return done.returncode


def _quiet(ssh: SshCommand) -> list[str]:
    return ["-T"] if ssh.variant == "ssh" else []


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"gitguard: {text}", err=True)


def of_snippet(snippet: str, *, local: bool = False) -> SshCommand:
    """The ssh that was there before us, as Git would run it. `local`: a
    clone's own configuration names it.
    """
    if not snippet:
        return SshCommand()
    return SshCommand(snippet, snippet=True, variant=variant_of(snippet), local=local)


def quoted(words: list[str]) -> str:
    """A snippet for core.sshCommand, which Git's own shell reads on every system."""
    return shlex.join(word.replace("\\", "/") for word in words)
