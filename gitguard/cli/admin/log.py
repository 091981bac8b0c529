"""`admin log`: past decisions from the access log, repeats folded. It needs the log alone: no
store, no valid configuration.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator

import click

from gitguard.agent.accounts import become_keeper
from gitguard.answer.log_reader import Fold, LogEntry, any_log, fold, read_log, unread
from gitguard.cli.admin.context import config_of, open_settings
from gitguard.cli.printing import say_json_each
from gitguard.config.faults import ConfigurationError
from gitguard.config.load import last_known
from gitguard.config.types import seconds_of
from gitguard.host.places import SYSTEM_CONFIG, places_of
from gitguard.machine.git_account import become, own_command_line
from gitguard.message.moments import clock
from gitguard.message.reasons import Refusal, readable
from gitguard.repository.registry import spelled_roots
from gitguard.repository.spelling import name_of
from gitguard.session.moment import now


@click.command()
@click.argument("what", required=False, metavar="[USER|REPO|ID]")
@click.option("--since", default="1d", metavar="DURATION", help="How far back, such as 2h; default 1d.")
@click.option("--refused", is_flag=True, help="Only refusals.")
@click.option(
    "--file", "path", default="", metavar="LOG", help="Read this log (default: the configured one)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a decision, nothing folded.")
@click.pass_context
def log(ctx: click.Context, what: str | None, since: str, refused: bool, path: str, as_json: bool) -> None:
    """Show past decisions. Of a user, about a repository, or one by its id; rotated logs are read too."""
    try:
        after = now().at - seconds_of(since)
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    found, roots = _log_of(config_of(ctx), path)
    if not any_log(found):
        if not path and os.path.isdir(os.path.dirname(found)):
            click.echo(f"no decisions yet: {found} begins with the first request", err=True)
            return
        raise Refusal(
            "log-unavailable",
            f"{found} is not there",
            text=f"{found} is not there",
            hint="another one: --file LOG",
        )
    broken = 0

    def chosen() -> Iterator[LogEntry]:
        nonlocal broken
        names = _names(roots, what)
        for entry in read_log(found, 0 if _is_id(what) else after):
            if entry is None:
                broken += 1
            elif _is_chosen(entry, names, after) and (not refused or entry.get("verdict") == "refused"):
                yield entry

    count = 0
    if as_json:
        count = say_json_each(chosen())
    else:
        for group in fold(chosen()):
            count += 1
            click.echo(_line(group))
    for name in (passed_over := unread(found, 0 if _is_id(what) else after)):
        click.echo(
            f"not read: {name} is packed in a way that gitguard does not unpack; unpack it, or use --file LOG",
            err=True,
        )
    if broken:
        click.echo(f"{broken} lines are not JSON and were left out", err=True)
    if not count and not as_json:
        about = f" about {readable(what)}" if what else ""
        where = " in what could be read" if passed_over else " in that time"
        click.echo(f"no decisions{about}{where}", err=True)


def _log_of(config: str, path: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """(the log, the repositories roots), read as the Git account where that is known."""
    try:
        settings = open_settings(config)
    except ConfigurationError as error:
        if path:
            return path, ()
        click.echo(f"gitguard: {error.path} has faults, so the log is read where it was before", err=True)
    except Refusal as refusal:
        if not path or refusal.reason != "usage":
            raise
        return path, ()  # a log of another machine, say
    else:
        become_keeper(settings, own_command_line())
        return path or str(settings.paths.access_log), spelled_roots(settings)
    places = places_of(config)
    known = _known_before(config, places.compiled)
    if known is not None:
        return path or known[0], known[1]
    home = os.path.dirname(config)
    default = "/var/log/gitguard/access.log" if config == SYSTEM_CONFIG else f"{home}/log/access.log"
    return path or default, ()


def _known_before(config: str, compiled: str) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """What the compiled form says, read as its owner: the configuration cannot tell the account just now."""
    with contextlib.suppress(OSError, KeyError, Refusal):
        owner = os.stat(compiled).st_uid
        if os.geteuid() == 0:
            become(pwd.getpwuid(owner).pw_name, own_command_line())
        found = last_known(config, compiled)
        if found is not None:
            return found.access_log, found.roots
    return None


def _is_id(what: str | None) -> bool:
    return what is not None and len(what) == 8 and all(c in "0123456789abcdef" for c in what)


def _names(roots: tuple[tuple[str, str], ...], what: str | None) -> set[str]:
    """`what` as an id, a user, or any spelling of a repository; empty for everything."""
    if what is None:
        return set()
    names = {what}
    with contextlib.suppress(Refusal):
        names.add(name_of(what, roots)[0])
    return names


def _is_chosen(entry: LogEntry, names: set[str], after: int) -> bool:
    at = entry.get("at")
    if entry.get("id") in names:
        return True
    recent = isinstance(at, int) and at >= after
    return recent and (not names or entry.get("user") in names or entry.get("repository") in names)


def _line(group: Fold) -> str:
    entry = group.last
    today = now().at
    at = entry.get("at")
    first = group.first.get("at")
    when = clock(at, today) if isinstance(at, int) else "?"

    def text(name: str, nothing: str = "-", most: int = 1100) -> str:
        return readable(str(entry.get(name) or nothing), most)

    line = f"{when}  {text('user')}  {text('operation', 'command')} {text('repository')}: {text('verdict')} [{text('reason')}]"
    if entry.get("because"):
        line += f" ({text('because', most=400)})"
    if group.count > 1 and isinstance(first, int):
        line += f"  x{group.count} since {clock(first, today)}"
    return f"{line}  from {text('address')} with {text('key')}  id {text('id')}"
