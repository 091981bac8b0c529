"""`admin audit`: show the trail, verify the chain, move its older part out."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from gitguard.action import trail, upkeep
from gitguard.cli.admin import options
from gitguard.cli.admin.context import check_reason, open_admin_context, open_settings_or_say
from gitguard.cli.printing import counted, number, say_json, say_json_each
from gitguard.cli.progress import watched
from gitguard.command_line import Group
from gitguard.config.types import seconds_of
from gitguard.machine.new_file import NewFile
from gitguard.machine.user_supplied_file import open_as_caller
from gitguard.message.moments import clock
from gitguard.message.reasons import Refusal, machine_fault, readable
from gitguard.session.moment import now
from gitguard.store.chain import check
from gitguard.store.rows import AuditRecord

YEAR = 365 * 86400


@click.group(cls=Group)
def audit() -> None:
    """Read and check the audit trail."""


@audit.command()
@click.option("--user", help="Records about this user.")
@click.option("--repository", help="Records about this repository.")
@click.option("--event", help="Records of this event, such as session-opened.")
@click.option("--since", metavar="DURATION", help="How far back, such as 7d; default everything.")
@click.option("--file", "file", metavar="ARCHIVE", help="Those of a file that archive wrote.")
@options.as_json
@click.pass_context
def show(
    ctx: click.Context,
    user: str | None,
    repository: str | None,
    event: str | None,
    since: str | None,
    file: str | None,
    as_json: bool,
) -> None:
    """Show the audit trail. Changes to accounts, sessions and policy: who did what, when."""
    try:
        after = now().at - seconds_of(since) if since else 0
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    wanted = {
        name: value
        for name, value in (("user", user), ("repository", repository), ("event", event))
        if value is not None
    }
    with _records(ctx, file) as found:
        _show(_chosen(watched(found, "looking through the trail, records"), wanted, after), as_json=as_json)


@contextmanager
def _records(ctx: click.Context, file: str | None) -> Iterator[Iterator[AuditRecord]]:
    """The trail's in the store, or those of an archive."""
    if file is None:
        yield trail.records(open_admin_context(ctx, although_lost=True).installation.store)
        return
    with open_as_caller(file, open_settings_or_say(ctx).keeper) as source:
        yield trail.read_archive(source, file)


def _show(chosen: Iterator[AuditRecord], *, as_json: bool) -> None:
    if as_json:
        say_json_each({"seq": r.seq, **r.record} for r in chosen)
        return
    today = now().at
    any_ = False
    for r in chosen:
        any_ = True
        click.echo(_line(r, today))
    if not any_:
        click.echo("no records", err=True)


def _chosen(records: Iterable[AuditRecord], wanted: dict[str, str], after: int) -> Iterator[AuditRecord]:
    """Entries that say each of `wanted`, from `after` on; a line without the word is not parsed."""
    words = [json.dumps(value) for value in wanted.values()]
    for r in records:
        if r.at >= after and all(word in r.text for word in words):
            said = r.record if wanted else {}
            if all(said.get(name) == value for name, value in wanted.items()):
                yield r


def _line(r: AuditRecord, today: int) -> str:
    said = r.record
    at, what, actor = said.get("at"), said.get("event"), said.get("actor")
    details = {name: value for name, value in said.items() if name not in ("at", "event", "actor")}
    words = " ".join(f"{name}={_value(value)}" for name, value in sorted(details.items()))
    when = clock(at, today) if isinstance(at, int) else "?"
    return f"{r.seq:>6}  {when}  {readable(str(actor), 80)}  {what}  {words}".rstrip()


def _value(value: object) -> str:
    """A value of a record as one word; what holds blanks or quotes is quoted, so none can look like two."""
    text = ",".join(str(part) for part in value) if isinstance(value, list) else str(value)
    return readable(shlex.quote(text) if text else "''", 200)


@audit.command()
@click.option(
    "--before",
    "before",
    required=True,
    metavar="AGE",
    help="Records that are older, such as 1y or 90d; at least 30d.",
)
@click.argument("file", type=click.Path(dir_okay=False))
@click.pass_context
def archive(ctx: click.Context, before: str, file: str) -> None:
    """Move older records of the trail to a file. The chain continues from the last hash of FILE."""
    try:
        age = (
            int(before[:-1]) * YEAR
            if before.endswith("y") and before[:-1].isdecimal()
            else seconds_of(before)
        )
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    if age < trail.YOUNGEST_SECONDS:
        raise Refusal(
            "usage", text=f"--before {before}: at least 30d, since what is younger is still counted"
        )
    new = NewFile(file, open_settings_or_say(ctx).keeper)
    try:
        context, moment = open_admin_context(ctx), now()
        with os.fdopen(new.handle, "wb", closefd=False) as target:
            written = trail.write_archive(context.installation, target, moment.at - age)
        if not written.records:
            click.echo(f"no record is older than {before}; nothing was moved")
            return
        new.keep()
        trail.move_out(context.installation, written, os.path.basename(file), moment, context.actor)
    except OSError as error:
        raise machine_fault(f"cannot write {new.path}", error) from None
    finally:
        new.close()
    counted(written.records, "record", f"({written.first} to {written.until}) moved to {new.path}")
    click.echo("keep it: the chain continues from its last record")


@audit.command()
@click.option("--file", "file", metavar="ARCHIVE", help="Check a file that archive wrote.")
@options.as_json
@click.pass_context
def verify(ctx: click.Context, file: str | None, as_json: bool) -> int:
    """Check that the trail was not altered. Against itself and the head outside
    the store; exit 1 if it was.
    """
    if file is not None:
        return _verify_archive(ctx, file, as_json=as_json)
    context = open_admin_context(ctx, although_lost=True)
    store = context.installation.store
    # The head first: a record that is written meanwhile must not look like a missing one.
    try:
        head, unread = context.installation.store.head.read(), ""
    except (OSError, ValueError) as error:
        head, unread = None, f"the head outside the store cannot be read: {error}"
    with context.installation.store.reading() as tx:
        checked = check(watched(tx.audit(), "checking the chain, records"), head, begins=tx.archived())
    found, lag = ([unread], 0) if unread else (checked.open_faults, checked.lag)
    if as_json:
        say_json({"records": checked.records, "faults": found, "lag": lag})
        return 1 if found else 0
    for fault in found:
        click.echo(f"FAULT: {fault}")
    if not found:
        click.echo(f"{number(checked.records, 'record')}, the chain is whole")
        if lag:
            click.echo(
                f"the head outside lags by {number(lag, 'record')}, {store.why_head_lags}; the next change renews it"
            )
    return 1 if found else 0


def _verify_archive(ctx: click.Context, file: str, *, as_json: bool) -> int:
    """The same for an archive, and whether the trail in the store continues from it."""
    with open_as_caller(file, open_settings_or_say(ctx).keeper) as source:
        context = open_admin_context(ctx)
        checked, (last, digest) = trail.check_archive(watched(source, "checking the archive, lines"), file)
    with context.installation.store.reading() as tx:
        begun, begins = tx.archived()
    joined = (last, digest) == (begun, begins.hex())
    if as_json:
        say_json({"records": checked.records, "faults": checked.open_faults, "until": last, "joined": joined})
        return 1 if checked.open_faults else 0
    for fault in checked.open_faults:
        click.echo(f"FAULT: {fault}")
    if not checked.open_faults:
        goes_on = (
            "the trail continues from it"
            if joined
            else f"another archive, or another store, continues from record {last}"
        )
        click.echo(f"{number(checked.records, 'record')}, the chain is whole; {goes_on}")
    return 1 if checked.open_faults else 0


@audit.command()
@options.obligatory_reason
@click.pass_context
def accept(ctx: click.Context, reason: str) -> None:
    """Continue a damaged audit trail. For after someone has looked into its faults;
    they are written down with it.
    """
    check_reason(reason)
    context = open_admin_context(ctx)
    noted = upkeep.accept_chain(context.installation.store, now(), context.actor, reason)
    if noted == 0:
        click.echo("the chain is whole; nothing to accept")
        return
    counted(noted, "fault", "noted; the head outside was renewed")
