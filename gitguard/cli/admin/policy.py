"""`admin policy`: try the rules before they bite."""

from __future__ import annotations

import os

import click
from msgspec import to_builtins

from gitguard.action import replay as again
from gitguard.action.expectations import Outcome, read_expectations, tried
from gitguard.answer.log_reader import read_log
from gitguard.cli.admin import options
from gitguard.cli.admin.context import config_of, open_admin_context, read_file, say_faults
from gitguard.cli.printing import number, say_json
from gitguard.command_line import Group
from gitguard.config.faults import LONGEST_FILE, LONGEST_LIST, ConfigurationError
from gitguard.config.parse import parse, read_settings
from gitguard.config.types import seconds_of
from gitguard.machine.user_supplied_file import read_as_caller
from gitguard.message.reasons import Refusal, readable
from gitguard.session.moment import now


@click.group(cls=Group)
def policy() -> None:
    """The rules: test, replay."""


@policy.command()
@click.argument("expectations", type=click.Path())
@click.option(
    "--config", "other", default=None, metavar="FILE", help="Judge by this file instead of the one in use."
)
@options.as_json
@click.pass_context
def test(ctx: click.Context, expectations: str, other: str | None, as_json: bool) -> int:
    """Check what the policy should answer. Judges every [[expect]] of EXPECTATIONS by the configuration
    alone; exit 1 if one differs. Needs no store and no root.
    """
    path = os.path.abspath(other) if other else config_of(ctx)
    try:
        settings = read_settings(path)
    except ConfigurationError as error:
        raise say_faults(error) from None
    try:
        rows = read_expectations(read_as_caller(expectations, settings.keeper, LONGEST_LIST), expectations)
    except ConfigurationError as error:
        for fault in error.faults:
            click.echo(f"{readable(expectations)}: {fault}", err=True)
        text = f"{number(len(error.faults), 'fault')} in {readable(expectations)}; nothing was tried"
        raise Refusal("usage", text=text) from None
    if not rows:
        raise Refusal("usage", text=f"{readable(expectations)} holds no [[expect]]")
    outcomes = tried(settings, rows, now().at)
    wrong = [outcome for outcome in outcomes if outcome.differs]
    if as_json:
        say_json(
            {
                "rows": len(outcomes),
                "differing": [
                    {"line": o.expected.line, "expected": o.expected.wanted, "got": o.got} for o in wrong
                ],
            }
        )
        return 1 if wrong else 0
    for outcome in wrong:
        _say(expectations, outcome)
    click.echo(f"{number(len(outcomes), 'expectation')}, {len(wrong)} differing")
    return 1 if wrong else 0


def _say(path: str, outcome: Outcome) -> None:
    """One row that differs: what was asked, and expected and got side by side."""
    asked = outcome.expected
    words = " ".join(f"{name}={value}" for name, value in asked.asked.items())
    click.echo(f"{readable(path)}:{asked.line}: {readable(words, 400)}")
    for name in outcome.differs:
        expected, got = _shown(asked.wanted[name]), _shown(outcome.got[name])
        click.echo(f"    {name:<9} expected {expected:<16} got {got}")


def _shown(value: object) -> str:
    return "none" if value is None else str(value)


@policy.command()
@click.option(
    "--config", "other", default=None, metavar="FILE", help="Judge by this file instead of the one in use."
)
@click.option("--since", default="7d", metavar="DURATION", help="How far back, such as 30d; default 7d.")
@options.as_json
@click.pass_context
def replay(ctx: click.Context, other: str | None, since: str, as_json: bool) -> None:
    """Judge past requests by a new policy. Who would be refused, where, how often, by which rule;
    who would no longer be asked.
    """
    try:
        after = now().at - seconds_of(since)
    except ValueError as error:
        raise Refusal("usage", text=f"--since: {error}") from None
    try:
        settings = (
            None if other is None else parse(read_file(ctx, other, LONGEST_FILE), os.path.abspath(other))
        )
    except ConfigurationError as error:
        raise say_faults(error) from None
    context = open_admin_context(ctx)
    entries = (
        entry
        for entry in read_log(str(context.settings.paths.access_log), after)
        if entry is not None and int(str(entry.get("at", 0))) >= after
    )
    done = again.replay(context.installation, settings or context.settings, entries)
    if as_json:
        say_json(
            {
                "judged": done.judged,
                "left_out": done.left_out,
                "rows": [to_builtins(row) for row in done.rows],
            }
        )
        return
    for row in done.rows:
        about = f"{row.user} {row.operation} {readable(row.repository)}"
        by = f" by {readable(row.because)}" if row.because else ""
        if row.newly:
            how = "" if row.enrolled else ", and has no second factor"
            click.echo(f"{about}: would be refused {number(row.newly, 'time')}{by}{how}")
        if row.freed:
            click.echo(f"{about}: would no longer be asked, {number(row.freed, 'time')}")
        if row.by_refs:
            click.echo(f"{about}: {number(row.by_refs, 'time')} it would hang on the refs{by}")
    asked = len({row.user for row in done.rows if row.newly})
    left = (
        f"; {number(done.left_out, 'line')} about what is not known any more left out"
        if done.left_out
        else ""
    )
    click.echo(
        f"{number(done.judged, 'decision')} of {since} judged; "
        f"{number(asked, 'person', 'people')} would be asked more often{left}"
    )
