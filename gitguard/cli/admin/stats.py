"""`admin stats`: the installation in numbers, for people, for programs, and for Prometheus."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import click
from msgspec import to_builtins

from gitguard.action.statistics import Statistics, statistics
from gitguard.answer.log_reader import any_log, read_log
from gitguard.cli.admin import options
from gitguard.cli.admin.context import AdminContext, as_admin
from gitguard.cli.printing import number, say_json
from gitguard.config.types import format_duration, seconds_of
from gitguard.message.reasons import Refusal, readable
from gitguard.session.moment import now

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*=[\w.:/-]{1,100}", re.ASCII)


@click.command()
@click.option(
    "--since", default="1d", metavar="DURATION", help="The period of decisions, such as 7d; default 1d."
)
@click.option(
    "--prometheus",
    is_flag=True,
    help="Print Prometheus's text format, for node_exporter's textfile collector.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    help="With --prometheus: a label for every metric, such as server=git1.",
)
@options.as_json
@as_admin
def stats(
    context: AdminContext, since: str, prometheus: bool, labels: tuple[str, ...], as_json: bool
) -> None:
    """Count verifications, refusals and sizes. Refusals by reason, sessions, enrolment, throttled
    users, and what is slow to decide.
    """
    if labels and not prometheus:
        raise Refusal("usage", text="--label belongs to --prometheus")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise Refusal(
                "usage", text=f"--label {readable(label, 60)}: write NAME=VALUE, such as server=git1"
            )
    if prometheus and as_json:
        raise Refusal("usage", text="--json or --prometheus, not both")
    try:
        period = seconds_of(since)
    except ValueError as error:
        raise Refusal("usage", text=f"--since: {error}") from None
    moment, path = now(), str(context.settings.paths.access_log)
    after = moment.at - period
    entries = (
        entry
        for entry in (read_log(path, after) if any_log(path) else ())
        if entry is not None and isinstance(at := entry.get("at"), int) and at >= after
    )
    found = statistics(context.installation, moment, period, entries)
    if as_json:
        say_json(to_builtins(found))
    elif prometheus:
        click.echo("\n".join(_prometheus(found, labels)))
    else:
        _say(found)


def _say(s: Statistics) -> None:
    people = s.people
    share = f" ({100 * people.enrolled // people.active} %)" if people.active else ""
    click.echo(
        f"people        {people.active} active, {people.enrolled} enrolled{share}, {people.suspended} suspended"
    )
    click.echo(
        f"keys          {people.keys}, of which {number(people.hardware_keys, 'hardware key')} that verify their person"
    )
    click.echo(
        f"repositories  {people.repositories}, of which {people.demanding} require 2FA by their own toggle"
    )
    click.echo(
        f"now           {number(people.sessions, 'live session')}, {number(s.waiting, 'push', 'pushes')} waiting, "
        f"{number(people.open_invites, 'open invite')}, {number(people.throttled, 'user')} throttled"
    )
    if s.concerns:
        click.echo(f"needs a look  {number(s.concerns, 'thing')}; see the page or gitguard admin audit show")
    click.echo(f"\nwithin {format_duration(s.period_seconds)}")
    verified = sum(s.period.verifications.values())
    click.echo(
        f"verifications {verified}{_by(s.period.verifications)}; {number(s.period.rejected_codes, 'code')} rejected"
    )
    click.echo(f"allowed       {sum(s.allowed.values())}{_by(s.allowed)}")
    click.echo(f"refused       {sum(s.refused.values())}{_by(s.refused)}")
    click.echo(
        f"\nsizes         store {_size(s.store_bytes)}, log {_size(s.log_bytes)}, {number(s.period.records, 'audit record')}"
    )
    for slow in s.slowest:
        click.echo(
            f"slow          {slow.milliseconds} ms: {slow.user} {slow.operation} {readable(slow.repository, 200)}"
        )


def _by(counts: dict[str, int]) -> str:
    return f" ({', '.join(f'{count} {readable(name)}' for name, count in counts.items())})" if counts else ""


def _size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MB" if count >= 1 << 20 else f"{(count + 1023) >> 10} kB"


def _prometheus(s: Statistics, labels: tuple[str, ...]) -> Iterator[str]:
    """Source: Prometheus' "Text-based format". Names end in their unit; what the trail
    counts for ever is a counter.

    `labels` tell installations apart whose metrics one node_exporter collects; a HELP must
    say the same for all of them.
    """
    more = ",".join(f'{name}="{value}"' for name, _, value in (label.partition("=") for label in labels))
    for line in _metrics(s):
        if line.startswith("#") or not more:
            yield line
        else:
            name, value = line.rsplit(" ", 1)
            yield f"{name[:-1]},{more}}} {value}" if name.endswith("}") else f"{name}{{{more}}} {value}"


def _metrics(s: Statistics) -> Iterator[str]:
    people = s.people
    gauges = {
        "users_active": ("Users that are not suspended or removed.", people.active),
        "users_enrolled": ("Active users with a second factor.", people.enrolled),
        "users_suspended": ("Suspended users.", people.suspended),
        "users_throttled": ("Users who have spent their budget of wrong codes.", people.throttled),
        "keys": ("SSH keys.", people.keys),
        "hardware_keys": ("SSH keys that verify their person at each login.", people.hardware_keys),
        "sessions": ("Live 2FA sessions.", people.sessions),
        "concerns": ("What people reported, or was guessed at, and nobody has marked as seen.", s.concerns),
        "waiting_pushes": ("Pushes that wait for their person.", s.waiting),
        "open_invites": ("Invites that may still be used.", people.open_invites),
        "repositories": ("Known repositories.", people.repositories),
        "repositories_demanding": ("Repositories whose own toggle requires 2FA.", people.demanding),
        "store_bytes": ("Size of the store.", s.store_bytes),
        "access_log_bytes": ("Size of the access log.", s.log_bytes),
        "slowest_decision_seconds": (
            "The slowest of the latest requests, decided again just now.",
            max((slow.milliseconds for slow in s.slowest), default=0) / 1000,
        ),
    }
    for name, (about, value) in gauges.items():
        yield from _metric(name, "gauge", about, [("", value)])
    window = [("", s.period_seconds)]
    yield from _metric(
        "decisions_period_seconds", "gauge", "The period that decisions are counted in.", window
    )
    rows = [(f'{{verdict="allowed",reason="{reason}"}}', n) for reason, n in _words(s.allowed).items()]
    rows += [(f'{{verdict="refused",reason="{reason}"}}', n) for reason, n in _words(s.refused).items()]
    yield from _metric("decisions", "gauge", "Decisions within the period.", rows)
    rows = [(f'{{method="{method}"}}', n) for method, n in _words(s.ever.verifications).items()]
    yield from _metric("verifications_total", "counter", "2FA sessions opened.", rows)
    yield from _metric(
        "rejected_codes_total", "counter", "Codes that were rejected.", [("", s.ever.rejected_codes)]
    )
    yield from _metric(
        "audit_records_total", "counter", "Records of the audit trail.", [("", s.ever.records)]
    )


def _words(counts: dict[str, int]) -> dict[str, int]:
    """Labels are words of our own tables; anything else in a log line can
    neither end a label nor repeat one.
    """
    found: Counter[str] = Counter()
    for text, count in counts.items():
        found["".join(c for c in text if c.isalnum() or c == "-") or "unknown"] += count
    return dict(found)


def _metric(name: str, kind: str, about: str, rows: Sequence[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP gitguard_{name} {about}"
    yield f"# TYPE gitguard_{name} {kind}"
    for label, value in rows:
        yield (
            f"gitguard_{name}{label} {value:g}"
            if isinstance(value, float)
            else f"gitguard_{name}{label} {value}"
        )
