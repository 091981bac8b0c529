"""`admin audit`: show the trail, verify the chain."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator

import click

from gitguard.action import trail, upkeep
from gitguard.cli.admin import options
from gitguard.cli.admin.office import Office, check_reason, in_office, open_office
from gitguard.cli.printing import counted, number, say_json, say_json_each
from gitguard.cli.progress import watched
from gitguard.command_line import Group
from gitguard.config.types import seconds_of
from gitguard.message.moments import clock
from gitguard.message.reasons import Refusal, readable
from gitguard.session.moment import now
from gitguard.store.chain import check
from gitguard.store.rows import AuditRecord


@click.group(cls=Group)
def audit() -> None:
    """The audit trail: show, verify, accept."""


@audit.command()
@click.option("--user", help="Records about this user.")
@click.option("--repository", help="Records about this repository.")
@click.option("--event", help="Records of this event, such as session-opened.")
@click.option("--since", metavar="DURATION", help="How far back, such as 7d; default everything.")
@options.as_json
@in_office
def show(
    office: Office,
    user: str | None,
    repository: str | None,
    event: str | None,
    since: str | None,
    as_json: bool,
) -> None:
    """Changes to accounts, sessions and policy: who did what, when."""
    try:
        after = now().at - seconds_of(since) if since else 0
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    wanted = {
        name: value
        for name, value in (("user", user), ("repository", repository), ("event", event))
        if value is not None
    }
    chosen = _chosen(
        watched(trail.records(office.site.store), "looking through the trail, records"), wanted, after
    )
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
    """Those that say each of `wanted`, from `after` on. What does not hold the word at all is not read further."""
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
    """A value of a record as one word; what holds blanks or quotes is quoted, so that none can look like two."""
    text = ",".join(str(part) for part in value) if isinstance(value, list) else str(value)
    return readable(shlex.quote(text) if text else "''", 200)


@audit.command()
@options.as_json
@in_office
def verify(office: Office, as_json: bool) -> int:
    """Check the hash chain against itself and the head outside the store; exit 1 if it was meddled with."""
    # The head first: a record that is written meanwhile must not look like a missing one.
    try:
        head, unread = office.site.sqlite.head.read(), ""
    except (OSError, ValueError) as error:
        head, unread = None, f"the head outside the store cannot be read: {error}"
    with office.site.store.reading() as tx:
        checked = check(watched(tx.audit(), "checking the chain, records"), head, begins=tx.archived())
    found, lag = ([unread], 0) if unread else (checked.faults, checked.lag)
    if as_json:
        say_json({"records": checked.records, "faults": found, "lag": lag})
        return 1 if found else 0
    for fault in found:
        click.echo(f"FAULT: {fault}")
    if not found:
        click.echo(f"{number(checked.records, 'record')}, the chain is whole")
        if lag:
            click.echo(
                f"the head outside lags by {number(lag, 'record')}, as after a crash; the next change renews it"
            )
    return 1 if found else 0


@audit.command()
@options.obligatory_reason
@click.pass_context
def accept(ctx: click.Context, reason: str) -> None:
    """Go on from the chain as it is, after somebody looked into its faults; they are written down with it."""
    check_reason(reason)
    office = open_office(ctx)
    noted = upkeep.accept_chain(office.site.sqlite, now(), office.actor, reason)
    if noted == 0:
        click.echo("the chain is whole; nothing to accept")
        return
    counted(noted, "fault", "noted; the head outside was renewed")
