"""From a clone's remote, a Git URL or `git@HOST` to the ssh command that reaches the server.

Git's own settings decide: pushurl, insteadOf, core.sshCommand, GIT_SSH_COMMAND, GIT_SSH. Source: git(1),
git-config(1), gitprotocol; the scp-like form is `[user@]host:path` without a slash before the colon.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from gitguard.message.reasons import Refusal, printable


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect. `destination` is `[user@]host`; `path` the repository's, "" if none was named."""

    destination: str
    port: int | None = None
    path: str = ""


def server_of(text: str) -> Server:
    """The server in a Git URL, an scp-like address or `[user@]host`. Raises Refusal("usage")."""
    if "://" in text:
        try:
            parts = urlsplit(text)
        except ValueError:
            raise Refusal("usage", text=f"no URL: {printable(text)}") from None
        if parts.scheme not in ("ssh", "git+ssh", "ssh+git"):
            raise Refusal(
                "usage", text=f"gitguard works over SSH, and this remote is {parts.scheme}: {printable(text)}"
            )
        try:
            port = parts.port
        except ValueError:
            raise Refusal("usage", text=f"no port in {printable(text)}") from None
        user = unquote(parts.username) + "@" if parts.username else ""
        return _checked(Server(f"{user}{parts.hostname or ''}", port, parts.path), text)
    found = re.fullmatch(r"((?:[^/@:\s]+@)?(?:\[[^\]]+\]|[^/:\s]+)):(.*)", text, re.DOTALL)
    if found:
        return _checked(Server(found[1].replace("[", "").replace("]", ""), None, found[2]), text)
    if re.fullmatch(r"(?:[^/@:\s]+@)?[^/@:\s]+", text):
        return _checked(Server(text), text)
    raise Refusal("usage", text=f"no SSH remote: {printable(text)}")


def _checked(server: Server, text: str) -> Server:
    """A host that begins with `-` would be an option to ssh (CVE-2017-1000117)."""
    host = server.destination.rpartition("@")[2]
    if not host or host.startswith("-") or server.destination.startswith("-"):
        raise Refusal("usage", text=f"no host in {printable(text)}")
    return server


def remote_url(remote: str | None) -> str:
    """The push URL of `remote`, else of the current branch's remote, `origin`, or the only one.

    Raises Refusal("usage") outside a clone or where none is named.
    """
    name = remote or _default_remote()
    url = _git("remote", "get-url", "--push", name)
    if url is None:
        raise Refusal(
            "usage",
            text=f"no remote {printable(name)} in this clone",
            hint="name one with --remote, or give git@HOST",
        )
    return url


def _default_remote() -> str:
    if _git("rev-parse", "--git-dir") is None:
        raise Refusal(
            "usage",
            text="this is not a clone",
            hint="go into one, or say which server: gitguard verify git@HOST",
        )
    branch = _git("symbolic-ref", "--quiet", "--short", "HEAD")
    for key in (f"branch.{branch}.pushRemote", "remote.pushDefault", f"branch.{branch}.remote"):
        value = _git("config", "--get", key)
        if value and value != ".":
            return value
    names = (_git("remote") or "").split()
    if len(names) == 1:
        return names[0]
    return "origin"


def _git(*words: str) -> str | None:
    """What git prints, stripped; None if it fails. Raises Refusal("usage") if there is no git."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Refusal("usage", text="git is not installed") from None
    return done.stdout.strip() if done.returncode == 0 else None


def ssh_command(server: Server, words: list[str]) -> list[str]:
    """The whole command: no pty, the port if the URL names one, and the words quoted for the server's parser.

    `GIT_SSH_COMMAND` and `core.sshCommand` are shell snippets and run as Git runs them; `GIT_SSH` is a program.
    """
    port = ["-p", str(server.port)] if server.port is not None else []
    arguments = ["-T", *port, server.destination, " ".join(_quoted(word) for word in words)]
    snippet = os.environ.get("GIT_SSH_COMMAND") or _git("config", "--get", "core.sshCommand")
    if not snippet:
        return [os.environ.get("GIT_SSH") or "ssh", *arguments]
    if os.name == "nt":
        return [*shlex.split(snippet, posix=False), *arguments]
    return ["sh", "-c", snippet + ' "$@"', snippet, *arguments]


def _quoted(word: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._/:@=,%^~+-]+", word):
        return word
    return "'" + word.replace("'", "'\\''").replace("!", "'\\!'") + "'"
