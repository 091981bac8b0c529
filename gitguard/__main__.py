"""The command `gitguard` (and `git-guard`, so that `git guard` works): verbs of a user, and `admin`."""

from __future__ import annotations

import os
import sys

import click

from gitguard.client.hook_up import hook_up, wrapper
from gitguard.client.verbs import add_client_verbs
from gitguard.command_line import TRACEBACK, Group, as_typed, run
from gitguard.host.places import SYSTEM_CONFIG
from gitguard.message.reasons import Refusal


class Root(Group):
    """Loads `admin`, and the server's libraries with it, only when it is asked for."""

    def invoke(self, ctx: click.Context) -> object:
        """As click does; the commands that a refusal names are those of this installation."""
        try:
            return super().invoke(ctx)
        except Refusal as refusal:
            raise refusal.but(
                hint=as_typed(refusal.hint), text=as_typed(refusal.text), detail=as_typed(refusal.detail)
            ) from refusal

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, `admin` last."""
        return [*super().list_commands(ctx), "admin"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name or an alias."""
        if cmd_name == "help":
            return click.Command("help", params=[click.Argument(["words"], nargs=-1)], callback=_help)
        if cmd_name != "admin":
            return super().get_command(ctx, cmd_name)
        try:
            from gitguard.cli.admin import admin
        except ModuleNotFoundError as error:
            text = f"the server's part is not installed ({error.name} is missing)"
            return click.Command("admin", help=f"Not available: {text}.", callback=lambda: _missing(text))
        return admin


@click.pass_context
def _help(ctx: click.Context, words: tuple[str, ...]) -> None:
    """`gitguard help admin user add`, as `gitguard admin user add --help`."""
    at = ctx.find_root()
    command: click.Command = at.command
    for word in words:
        found = command.get_command(at, word) if isinstance(command, click.Group) else None
        if found is None:
            raise Refusal("usage", text=f"no such command: {' '.join(words)}", hint="see: gitguard help")
        command, at = found, click.Context(found, info_name=word, parent=at)
    click.echo(command.get_help(at))


def _missing(text: str) -> None:
    raise click.UsageError(
        f"{text}; install the server's libraries: requirements/server.txt of the release, as docs/operations.md says"
    )


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value:
        from gitguard.machine.release import release

        click.echo(f"gitguard {release()}")
        ctx.exit()


# `git guard VERB` is completed by git's own completion, which looks for this function and
# gives it `words` and `cword`.
_GIT_GUARD = """
_git_guard() {
    local line
    while IFS= read -r line; do COMPREPLY+=("${line#*,}"); done < <(
        COMP_WORDS="gitguard ${words[*]:2}" COMP_CWORD=$((cword - 1)) _GITGUARD_COMPLETE=bash_complete gitguard)
}
"""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print shell completion. For bash, in ~/.bashrc: source <(gitguard completion bash)."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is None:
        raise Refusal("not-available", text=f"no completion for {shell}")
    click.echo(made(ctx.find_root().command, {}, "gitguard", "_GITGUARD_COMPLETE").source())
    if shell == "bash":
        click.echo(_GIT_GUARD)


def root() -> Group:
    """The whole command, as docs/reference.md describes it."""
    group = Root(
        "gitguard",
        help="A second factor for Git over SSH. In a clone: gitguard verify && git push",
        no_args_is_help=True,
        params=[
            click.Option(["--config"], metavar="FILE", help="The server's configuration, for admin."),
            click.Option(["--traceback"], is_flag=True, help="Show a full traceback."),
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_version,
                help="Print the version and exit.",
            ),
        ],
        callback=_remember_config,
    )
    add_client_verbs(group)
    group.add_command(completion)
    group.add_command(hook_up)
    group.add_command(wrapper)
    return group


@click.pass_context
def _remember_config(ctx: click.Context, config: str | None, traceback: bool) -> None:  # noqa: FBT001
    if traceback:
        os.environ[TRACEBACK] = "1"
    ctx.obj = os.path.abspath(config or os.environ.get("GITGUARD_CONFIG") or SYSTEM_CONFIG)


def main() -> None:
    """Console script."""
    sys.exit(run(root(), sys.argv[1:], "gitguard"))


def agent() -> None:
    """Console script `gitguard-agent`: `gitguard admin agent`, with `--config FILE` before its own flags."""
    words = sys.argv[1:]
    config = words[:2] if words[:1] == ["--config"] else []
    sys.exit(run(root(), [*config, "admin", "agent", *words[len(config) :]], "gitguard"))


if __name__ == "__main__":
    main()
