"""`gitguard hook-up`: Git runs gitguard in ssh's place, in this clone or everywhere; `--undo`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import click

from gitguard.client import ssh_wrapper
from gitguard.client.remote import BEFORE_COMMAND, WRAPPER, behind
from gitguard.message.reasons import Refusal

COMMAND, VARIANT = "core.sshCommand", "ssh.variant"
# What stood there before us, in the same file as what we put there.
BEFORE_VARIANT = "gitguard.beforeSshVariant"


@click.command("hook-up")
@click.option(
    "--global", "everywhere", is_flag=True, help="For all your clones (default: the one that you are in)."
)
@click.option("--undo", is_flag=True, help="Put back what was there before.")
def hook_up(everywhere: bool, undo: bool) -> None:  # noqa: FBT001 - click's own
    """Make Git ask for the code and carry on. When a server refuses a push or fetch until
    you verify, you are asked once.
    """
    scope = "--global" if everywhere else "--local"
    if not everywhere and _git("rev-parse", "--git-dir") is None:
        raise Refusal(
            "usage", text="not inside a Git clone", hint="run it in one, or use --global for all of yours"
        )
    where = "everywhere" if everywhere else "in this clone"
    if undo:
        click.echo(f"Git runs ssh itself again, {where}" if _undo(scope) else f"it was not set up {where}")
        return
    present = _value(scope, COMMAND)
    if _is_ours(present):
        click.echo(f"it is already set up {where}")
        return
    _put(scope, BEFORE_COMMAND, present)
    _put(scope, BEFORE_VARIANT, _value(scope, VARIANT))
    snippet, _ = behind(scope.removeprefix("--"))
    _put(scope, VARIANT, ssh_wrapper.of_snippet(snippet or "").variant)
    _put(scope, COMMAND, ssh_wrapper.quoted([*_program(), WRAPPER, "--of", scope.removeprefix("--")]))
    click.echo(f"set up {where}: Git now asks for the code itself and carries on")
    click.echo(
        "the first time, verify by name: gitguard verify; undo: gitguard hook-up --undo"
        + (" --global" if everywhere else "")
    )
    if os.environ.get("GIT_SSH_COMMAND") or os.environ.get("GIT_SSH"):
        click.echo(
            "note: GIT_SSH_COMMAND or GIT_SSH is set in your environment, which Git prefers to this", err=True
        )


@click.command(
    WRAPPER, hidden=True, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.option("--of", "scope", type=click.Choice(["global", "local"]), default="global")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def wrapper(scope: str, words: tuple[str, ...]) -> int:
    """Be ssh for Git. Not typed by people."""
    snippet, from_clone = behind(scope)
    return ssh_wrapper.run(ssh_wrapper.of_snippet(snippet or "", local=from_clone), list(words))


def _is_ours(command: str | None) -> bool:
    return command is not None and f" {WRAPPER} --of " in command


def _undo(scope: str) -> bool:
    if not _is_ours(_value(scope, COMMAND)):
        return False
    for ours, kept in ((COMMAND, BEFORE_COMMAND), (VARIANT, BEFORE_VARIANT)):
        _put(scope, ours, _value(scope, kept))
        _put(scope, kept, None)
    return True


def _program() -> list[str]:
    """How this gitguard is started, by its absolute path where there is one."""
    found = shutil.which("gitguard")
    here = os.path.abspath(sys.argv[0])
    if os.path.basename(here).startswith(("gitguard", "git-guard")) and os.access(here, os.X_OK):
        return [here]
    return [os.path.abspath(found)] if found else [sys.executable, "-m", "gitguard"]


def _value(scope: str, key: str) -> str | None:
    return _git("config", scope, "--get", key)


def _put(scope: str, key: str, value: str | None) -> None:
    """Set `key`, or unset it for None. Raises Refusal where Git does not."""
    words = ["--unset-all", key] if value is None else [key, value]
    done = subprocess.run(["git", "config", scope, *words], capture_output=True, text=True, check=False)
    if done.returncode not in ((0, 5) if value is None else (0,)):  # 5: it was not set
        raise Refusal("usage", text=f"git does not set {key}: {done.stderr.strip()[:200]}")


def _git(*words: str) -> str | None:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
