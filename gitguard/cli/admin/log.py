"""`admin log`: past decisions from the access log, repeats folded."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field

import click

from gitguard.cli.admin.office import Office, open_office
from gitguard.cli.here import say_json
from gitguard.config.schema import duration as seconds_of
from gitguard.message.moments import clock
from gitguard.message.reasons import Refusal, printable
from gitguard.repository.registry import canonical
from gitguard.session.moment import now

_SAME = ("user", "key", "address", "repository", "operation", "verdict", "reason")


@dataclass(slots=True)
class Fold:
    """Lines that say the same one after another, of one user."""

    first: dict[str, object]
    last: dict[str, object]
    count: int = 1
    ids: list[str] = field(default_factory=list)


@click.command()
@click.argument("what", required=False, metavar="USER|REPO|ID")
@click.option("--since", default="1d", metavar="DURATION", help="How far back, as 2h; default 1d.")
@click.option("--refused", is_flag=True, help="Only refusals.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a decision, nothing folded.")
@click.pass_context
def log(ctx: click.Context, what: str | None, since: str, refused: bool, as_json: bool) -> None:
    """Past decisions: of a user, about a repository, or one by its id."""
    office = open_office(ctx)
    try:
        after = now().at - seconds_of(since)
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    names = _names(office, what)
    entries, broken = read_log(str(office.settings.paths.access_log))
    chosen = [
        e for e in entries if _chosen(e, names, after) and (not refused or e.get("verdict") == "refused")
    ]
    if broken:
        click.echo(f"{broken} lines are not JSON and were left out", err=True)
    if as_json:
        say_json(chosen)
        return
    for group in fold(chosen):
        click.echo(_line(group))
    if not chosen:
        about = f" about {printable(what)}" if what else ""
        click.echo(f"no decisions{about} in that time", err=True)


def read_log(path: str) -> tuple[list[dict[str, object]], int]:
    """(decisions, how many lines were no JSON) of the log and its last rotation, oldest first."""
    entries: list[dict[str, object]] = []
    broken = 0
    for name in (path + ".1", path):
        if not os.path.exists(name):
            continue
        try:
            with open(name, encoding="utf-8", errors="replace") as file:
                lines = file.readlines()
        except OSError as error:
            raise Refusal("log-unavailable", f"{name}: {error.strerror}") from None
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                broken += 1
                continue
            if isinstance(entry, dict):
                entries.append(entry)
    return entries, broken


def _names(office: Office, what: str | None) -> set[str]:
    """`what` as an id, a user, or any spelling of a repository; empty for everything."""
    if what is None:
        return set()
    names = {what}
    with contextlib.suppress(Refusal):
        names.add(canonical(office.settings, what))
    return names


def _chosen(entry: dict[str, object], names: set[str], after: int) -> bool:
    at = entry.get("at")
    if entry.get("id") in names:
        return True
    recent = isinstance(at, int) and at >= after
    return recent and (not names or entry.get("user") in names or entry.get("repository") in names)


def fold(entries: list[dict[str, object]]) -> list[Fold]:
    """Neighbours of the same user that say the same become one, with a count."""
    open_folds: dict[object, Fold] = {}
    folds: list[Fold] = []
    for entry in entries:
        user = entry.get("user")
        group = open_folds.get(user)
        if group is not None and all(group.last.get(name) == entry.get(name) for name in _SAME):
            group.last = entry
            group.count += 1
        else:
            group = Fold(entry, entry)
            open_folds[user] = group
            folds.append(group)
    return folds


def _line(group: Fold) -> str:
    entry = group.last
    today = now().at
    at = entry.get("at")
    first = group.first.get("at")
    when = clock(at, today) if isinstance(at, int) else "?"
    what = f"{entry.get('operation') or 'command'} {entry.get('repository') or '-'}"
    text = f"{when}  {entry.get('user') or '-'}  {what}: {entry.get('verdict')} [{entry.get('reason')}]"
    if entry.get("because"):
        text += f" ({printable(str(entry['because']), 120)})"
    if group.count > 1 and isinstance(first, int):
        text += f"  x{group.count} since {clock(first, today)}"
    return f"{text}  id {entry.get('id')}"
