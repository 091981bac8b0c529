"""How lists, counts and JSON are printed."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice

import click

from gitguard.message.reasons import readable

BLOCK = 1000  # rows that are lined up with one another: a table may be longer than memory


def say_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], nothing: str) -> None:
    """Print `rows` under `head`; `nothing` on stderr where there is none. Only what moves a cursor goes."""
    coming = iter(rows)
    shown: list[Sequence[str]] = [head]
    widths = [0] * len(head)
    count = 0
    while block := list(islice(coming, BLOCK)):
        count += len(block)
        shown += ([readable(cell, 400) for cell in row] for row in block)
        widths = [max(widths[place], *(columns(row[place]) for row in shown)) for place in range(len(head))]
        for row in shown:
            cells = [cell + " " * (widths[place] - columns(cell)) for place, cell in enumerate(row)]
            click.echo("  ".join(cells).rstrip())
        shown = []
    if not count:
        click.echo(nothing, err=True)


def columns(text: str) -> int:
    """How many columns a terminal gives `text`: wide letters take two, combining marks none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def number(count: int, noun: str, plural: str = "") -> str:
    """`1 key`, `2 keys`, `2 repositories`."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def counted(count: int, noun: str, rest: str, plural: str = "") -> None:
    """`2 sessions ended`."""
    click.echo(f"{number(count, noun, plural)} {rest}")


def say_json(value: object) -> None:
    """JSON for programs: indented, sorted as given, ASCII."""
    click.echo(json.dumps(value, indent=2))


def say_json_each(values: Iterable[object]) -> int:
    """A JSON array, an object at a time, for what may be longer than memory; how many they were."""
    count = 0
    for value in values:
        click.echo(("[\n" if count == 0 else ",\n") + json.dumps(value, indent=2), nl=False)
        count += 1
    click.echo("[]" if count == 0 else "\n]")
    return count
