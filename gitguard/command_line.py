"""Command lines: click commands from the table of verbs, and one way out for whatever they raise."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import click

from gitguard.host.places import SYSTEM_CONFIG
from gitguard.message.reasons import Refusal, told_of
from gitguard.message.refusals import RefusalContext, first_line
from gitguard.verbs import Verb

Run = Callable[..., int | None]


def as_typed(text: str) -> str:
    """`text` with each `gitguard admin` in it as it must be typed for this installation."""
    import shlex

    ctx = click.get_current_context(silent=True)
    config = ctx.find_root().obj if ctx is not None else None
    if not isinstance(config, str) or config == SYSTEM_CONFIG:
        return text
    return re.sub(
        r"\bgitguard admin\b", lambda _: f"GITGUARD_CONFIG={shlex.quote(config)} gitguard admin", text
    )


def say(text: str, *, err: bool = False) -> None:
    """Print a line that names commands, as they must be typed here."""
    click.echo(as_typed(text), err=err)


class Group(click.Group):
    """A group that knows aliases and names the nearest word for an unknown one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.aliases: dict[str, str] = {}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name or an alias."""
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown word is refused with the nearest one."""
        word = args[0]
        if not word.startswith("-") and self.get_command(ctx, word) is None:
            # this and its like only where something is wrong: a login waits for what is loaded
            import difflib

            known = [*self.list_commands(ctx), *self.aliases]
            near = difflib.get_close_matches(word, known, 1, 0.5)
            hint = f"did you mean: {near[0]}?" if near else f"known are: {', '.join(self.list_commands(ctx))}"
            raise Refusal("unknown-command", text=f"no such command: {word}; {hint}")
        return super().resolve_command(ctx, args)


def command_of(verb: Verb, runs: dict[str, Run], path: str = "") -> click.Command:
    """The click command of `verb`; `runs` maps `verify`, `repo show`, ... to what they do."""
    name = f"{path} {verb.name}".strip()
    if verb.children:
        group = Group(verb.name, help=verb.help, no_args_is_help=True)
        add_verbs(group, verb.children, runs, name)
        return group
    parameters: list[click.Parameter] = [
        click.Argument(
            [argument.name],
            required=argument.required,
            nargs=-1 if argument.many else 1,
            metavar=argument.usage,
        )
        for argument in verb.arguments
    ]
    parameters += options_of(verb)
    return click.Command(verb.name, params=parameters, callback=runs[name], help=verb.help)


def options_of(verb: Verb) -> list[click.Parameter]:
    """The click options of `verb`, for either side."""
    made: list[click.Parameter] = []
    for option in verb.options:
        if option.choices:
            kind = click.Choice(option.choices)
            made.append(click.Option([option.name], type=kind, default=option.choices[0], help=option.help))
        elif option.value:
            made.append(click.Option([option.name], metavar=option.value, default="", help=option.help))
        else:
            made.append(click.Option([option.name], is_flag=True, help=option.help))
    return made


def add_verbs(group: Group, verbs: tuple[Verb, ...], runs: dict[str, Run], path: str = "") -> None:
    """Add `verbs` and their aliases to `group`."""
    for verb in verbs:
        group.add_command(command_of(verb, runs, path))
        group.aliases.update(dict.fromkeys(verb.aliases, verb.name))


def _usage(error: click.UsageError) -> str:
    """Click's own words; for an argument that is missing `say on or off`, or `missing: REPO`."""
    if not isinstance(error, click.MissingParameter) or not isinstance(error.param, click.Argument):
        return error.format_message().rstrip(".")
    shown = error.param.make_metavar(error.ctx) if error.ctx is not None else str(error.param.name)
    *most, last = shown.split("|")
    return f"say {', '.join(most)} or {last}" if most else f"missing: {shown}"


TRACEBACK = (
    "GITGUARD_TRACEBACK"  # set by --traceback; the gate clears the environment before it runs a command
)


def run(
    command: click.Command,
    args: list[str],
    name: str,
    context: RefusalContext | None = None,
    told: Callable[[Refusal], None] = lambda _: None,
) -> int:
    """Run `command`; returns its exit status, and tells a refusal on stderr in gitguard's voice.

    `told` is called with a refusal before it is told, for whoever keeps a log.
    """
    try:
        status = command.main(args=args, prog_name=name, standalone_mode=False)
    except Refusal as refusal:
        told(refusal)
        return tell(refusal, context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.UsageError as error:
        see = (
            context.server.ssh("help")
            if context is not None
            else error.ctx and f"{error.ctx.command_path} --help"
        )
        return tell(Refusal("usage", text=_usage(error), hint=f"see: {see}" if see else ""), context)
    except (click.Abort, KeyboardInterrupt):
        click.echo("gitguard: stopped", err=True)
        return 1
    except BrokenPipeError:
        return 1
    except OSError as error:
        if not _is_printing(error):
            return _broken(error, context, told)
        # What is printed is printed after what was asked for is done.
        text = f"the output could not be written ({error.strerror}); what was asked for is done"
        return tell(Refusal("internal-error", text=text), context)
    except Exception as error:
        return _broken(error, context, told)
    return status if isinstance(status, int) else 0


def _is_printing(error: OSError) -> bool:
    """Whether it was raised by writing to the terminal, file or pipe that our output goes to."""
    import traceback

    return any(frame.f_code is click.echo.__code__ for frame, _ in traceback.walk_tb(error.__traceback__))


def _broken(error: Exception, context: RefusalContext | None, told: Callable[[Refusal], None]) -> int:
    refusal = Refusal("internal-error", told_of(error))
    told(refusal)
    if context is None and os.environ.get(TRACEBACK):
        import traceback

        traceback.print_exception(error)  # for the admin alone, who asked: it may show paths and values
    return tell(refusal, context)


_FOR_ADMIN = {
    "internal-error": "something went wrong inside; this is a fault of gitguard's, please report it",
    "config-invalid": "the configuration cannot be used",
    "store-unavailable": "the store cannot be used",
    "log-unavailable": "the access log cannot be used",
    "store-schema": "the store has another version",
    "hook-not-live": "the hook is not in place",
}


def tell(refusal: Refusal, context: RefusalContext | None = None) -> int:
    """Print `refusal` on stderr and return its exit status."""
    if sys.stdout is not None:  # None where it was closed before we began
        with contextlib.suppress(OSError):
            sys.stdout.flush()
    if context is None and not refusal.text:
        # Anyone who reads this is the admin: what is broken, and where, rather than whom to tell.
        said = _FOR_ADMIN.get(refusal.reason, "")
        refusal = refusal.but(text=said and f"{said}: {refusal.detail or 'no more is known'}")
    click.echo(first_line(refusal, context or RefusalContext()), err=True)
    if refusal.detail and refusal.detail not in refusal.text and context is None:
        click.echo(f"gitguard: {refusal.detail}", err=True)
    if refusal.hint:
        click.echo(f"gitguard: {refusal.hint}", err=True)
    if context is None and (remedy := str(refusal.facts.get("remedy", ""))):
        click.echo(f"gitguard: try: {remedy}", err=True)  # for the admin alone
    if context is not None and context.decision and refusal.is_our_fault:
        click.echo(f"id {context.decision}", err=True)
    return refusal.exit_status
