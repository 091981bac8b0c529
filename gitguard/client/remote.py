"""From a clone's remote, a Git URL or `git@HOST` to the ssh command that reaches the server.

Git itself is asked, so nothing of its rules is written twice: `git remote get-url --push` and `git ls-remote
--get-url` name the URL, and then Git is started on that URL with a stand-in for ssh that writes down the
arguments it is handed. Source: git(1) GIT_SSH, git-config(1) core.sshCommand and ssh.variant, git's
connect.c.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from typing import NamedTuple

from gitguard.message.reasons import Refusal, printable

# The stand-in: what it is handed goes to a file, and Git hears that the server is not there.
_STAND_IN = (
    "import json,sys; open(sys.argv[1],'w',encoding='utf-8').write(json.dumps(sys.argv[2:])); sys.exit(1)"
)
_SECONDS = 30
WRAPPER = (
    "as-ssh"  # the command that `gitguard hook-up` puts in ssh's place, and where it keeps what was there
)
BEFORE_COMMAND = "gitguard.beforeSshCommand"


class Server(NamedTuple):
    """Where to connect: what Git hands to ssh. `options` are the port's; `path` is the
    repository's, "" if none was named.
    """

    destination: str
    options: tuple[str, ...] = ()
    path: str = ""

    @property
    def port(self) -> str:
        """The port that the URL names, "" for ssh's own."""
        return self.options[-1] if self.options else ""

    @property
    def shown(self) -> str:
        """For people: `git@host`, `git@host port 2222`."""
        return printable(self.destination) + (f" port {self.port}" if self.port else "")


class SshCommand(NamedTuple):
    """The ssh that Git would run.

    `snippet` is for a shell, otherwise `program` is the file; `local`: a clone's own configuration says so,
    which someone else may have written. `folder` is where Git would run it.
    """

    program: str = "ssh"
    snippet: bool = False
    variant: str = "ssh"
    local: bool = False
    folder: str | None = None


def url_of(remote: str | None) -> str:
    """The push URL of `remote`, else of the current branch's remote, `origin`, or the only one.

    Raises Refusal("usage") outside a clone or where none is named.
    """
    name = remote or _default_remote()
    url = _git("remote", "get-url", "--push", name)
    if url is None and (":" in name or "/" in name):  # a branch may name a URL in a remote's place
        url = _git("ls-remote", "--get-url", name)
    if not url:
        names = (_git("remote") or "").split()
        raise Refusal(
            "usage",
            text=f"this clone has no remote {printable(name)}",
            hint=(f"it has: {', '.join(printable(n) for n in names)}; choose with --remote" if names else "")
            or "name the server: git@HOST",
        )
    return url.splitlines()[0]


def _default_remote() -> str:
    if _git("rev-parse", "--git-dir") is None:
        raise Refusal(
            "usage",
            text="not inside a Git clone",
            hint="run it in one, or name the server: gitguard verify git@HOST",
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
    """What git prints in this folder, stripped; None if it fails. Raises Refusal("usage") if there is no git.

    A bare repository that merely lies in a work tree is not taken for the clone: its
    configuration is someone else's.
    """
    try:
        done = subprocess.run(
            ["git", "-c", "safe.bareRepository=explicit", *words], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise Refusal("usage", text="git is not installed") from None
    return done.stdout.strip() if done.returncode == 0 else None


def ssh_of_clone() -> SshCommand:
    """The ssh that Git runs in this clone: the environment's, the clone's, or the person's own."""
    own = _git("config", "--get", "core.sshCommand")
    from_elsewhere = own is not None and own != _global("core.sshCommand")
    top = _git("rev-parse", "--show-toplevel") or None
    if scope := _scope_of(own):
        own, from_elsewhere = behind(scope)
    return _ssh(own, _global("ssh.variant"), local=from_elsewhere, folder=top)


def ssh_of_person() -> SshCommand:
    """The ssh for a server that was named: the environment's or the person's own, never a clone's."""
    own = _global("core.sshCommand")
    if _scope_of(own):
        own, _ = behind("global")
    return _ssh(own, _global("ssh.variant"), local=False, folder=None)


def _global(key: str) -> str | None:
    """A value of the person's or the system's configuration."""
    return _git("config", "--global", "--get", key) or _git("config", "--system", "--get", key)


def variant_of(snippet: str) -> str:
    """Which options the ssh of a snippet takes: ssh, plink, putty or tortoiseplink."""
    return _variant(snippet, snippet=True)


def _scope_of(command: str | None) -> str:
    """`global` or `local` for our own wrapper, as `gitguard hook-up` wrote it; "" for any other ssh."""
    head, ours, scope = (command or "").partition(f" {WRAPPER} --of ")
    return scope if ours and head and scope in ("global", "local") else ""


def behind(scope: str) -> tuple[str | None, bool]:
    """(the snippet behind the wrapper of `scope`, whether a clone's own configuration
    names it): None for plain ssh.

    The wrapper, and whoever talks to the server beside it, mean one server: this is where both learn which.
    MUST: the wrapper for all clones reads nothing of a clone's.
    """
    if scope == "local" and (own := _git("config", "--local", "--get", BEFORE_COMMAND)):
        return own, True
    persons = _global("core.sshCommand")
    if _scope_of(persons):
        return _git("config", "--global", "--get", BEFORE_COMMAND) or None, False
    return persons if scope == "local" else _git("config", "--global", "--get", BEFORE_COMMAND) or None, False


def _ssh(command: str | None, variant: str | None, *, local: bool, folder: str | None) -> SshCommand:
    snippet = os.environ.get("GIT_SSH_COMMAND") or command
    program = snippet or os.environ.get("GIT_SSH") or "ssh"
    from_clone = local and not os.environ.get("GIT_SSH_COMMAND")
    named = os.environ.get("GIT_SSH_VARIANT") or variant
    kind = named if named and named != "auto" else _variant(program, snippet=snippet is not None)
    return SshCommand(program, snippet is not None, kind, from_clone, folder)


def _variant(program: str, *, snippet: bool) -> str:
    """Which options a program takes, told from its name as Git tells it."""
    words = _words(program) if snippet else [program]
    name = re.split(r"[/\\]", words[0])[-1].lower().removesuffix(".exe") if words else "ssh"
    return {"plink": "plink", "putty": "putty", "tortoiseplink": "tortoiseplink"}.get(name, "ssh")


def _words(snippet: str) -> list[str]:
    try:
        return shlex.split(snippet, posix=os.name != "nt") or ["ssh"]
    except ValueError:
        return snippet.split() or ["ssh"]


def server_of(text: str, variant: str = "ssh") -> Server:
    """The server in a Git URL, an scp-like address or `[user@]host`, as Git
    gives it to ssh. Raises Refusal.
    """
    bare = re.fullmatch(r"(?:[^/@:\s]+@)?(?:\[[^\]\s]+\]|[^/@:\s\[\]]+)", text)
    pathless = re.fullmatch(r"(?:git\+)?ssh(?:\+git)?://[^/\s]+/?", text)
    url = f"{text}:gitguard" if bare else f"{text.rstrip('/')}/gitguard" if pathless else text
    with tempfile.TemporaryDirectory(prefix="gitguard-") as folder:
        seen = os.path.join(folder, "arguments")
        stand_in = shlex.join([sys.executable, "-I", "-c", _STAND_IN, seen])
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_SSH_COMMAND": stand_in, "GIT_SSH_VARIANT": variant, "GIT_ALLOW_PROTOCOL": "ssh",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_COUNT": "0",
            "GIT_CEILING_DIRECTORIES": os.path.dirname(folder), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C",
        }  # fmt: skip
        try:
            done = subprocess.run(
                ["git", "-c", "protocol.version=0", "ls-remote", "--", url], capture_output=True, text=True, check=False,
                env=environment, cwd=folder, stdin=subprocess.DEVNULL, timeout=_SECONDS,
            )  # fmt: skip
        except FileNotFoundError:
            raise Refusal("usage", text="git is not installed") from None
        except (subprocess.SubprocessError, ValueError) as error:
            raise Refusal("usage", text=f"git does not read {printable(text)}: {error}") from None
        try:
            with open(seen, encoding="utf-8") as file:
                words = json.load(file)
        except OSError:
            raise _not_ssh(text, done.stderr) from None
    *options, destination, command = words
    path = "" if bare or pathless else _path_of(command)
    return _checked(
        Server(destination, tuple(option for option in options if option != "-batch"), path), text
    )


def _path_of(command: str) -> str:
    """The directory in `git-upload-pack 'DIR'`, unquoted as a shell would."""
    try:
        return shlex.split(command)[-1]
    except ValueError:
        return ""


def _not_ssh(text: str, said: str) -> Refusal:
    """Why Git did not come as far as ssh."""
    if found := re.search(r"transport '([^']+)' not allowed", said):
        what = "a local path" if found[1] == "file" else found[1]
        return Refusal("usage", text=f"gitguard works over SSH, and this remote is {what}: {printable(text)}")
    told = said.strip().splitlines()
    why = printable(told[0].removeprefix("fatal: ")) if told else "git does not read it"
    return Refusal("usage", text=f"no SSH remote: {printable(text)} ({why})")


def _checked(server: Server, text: str) -> Server:
    """A host that begins with `-` would be an option to ssh (CVE-2017-1000117)."""
    host = server.destination.rpartition("@")[2]
    if not host or host.startswith("-") or server.destination.startswith("-"):
        raise Refusal("usage", text=f"no host in {printable(text)}")
    return server


# No terminal, and nothing of ours reachable from there: no agent, no X11, no forwarded port.
_QUIET = {
    "ssh": ["-T", "-a", "-x", "-o", "ClearAllForwardings=yes"],
    "plink": ["-T", "-a", "-x"],
    "putty": ["-T", "-a", "-x"],
    "tortoiseplink": ["-batch"],
}


def ssh_command(ssh: SshCommand, server: Server, words: list[str]) -> list[str]:
    """The whole command for `words`, quoted for the server's parser; the shell
    runs a snippet, as Git does.
    """
    line = " ".join(_quoted(word) for word in words)
    arguments = [*_QUIET.get(ssh.variant, _QUIET["ssh"]), *server.options, server.destination, line]
    if not ssh.snippet:
        return [ssh.program, *arguments]
    return ["sh", "-c", ssh.program + ' "$@"', ssh.program, *arguments]


def _quoted(word: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._/:@=,%^~+-]+", word):
        return word
    return "'" + word.replace("'", "'\\''").replace("!", "'\\!'") + "'"
