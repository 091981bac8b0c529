"""What a database says of itself, for whoever looks after it: what a failover would lose, which clock is off,
which server was not heard of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gitguard.message.moments import duration
from gitguard.store.postgresql import shared_notes
from gitguard.store.postgresql.connection import Database
from gitguard.store.postgresql.guard import TIMELINE
from gitguard.store.rows import Health, Shortcoming
from gitguard.store.two_clocks import FURTHEST_SECONDS

SILENT_SECONDS = 300  # the sweep says once a minute that its server is there
FORGOTTEN_SECONDS = 30 * 86400
_NOW = "extract(epoch FROM clock_timestamp())::bigint"


class ServerNote(NamedTuple):
    """What a server says of itself."""

    name: str
    version: str
    boot: str
    cipher_keys: list[str]


def note(db: Database, server: ServerNote, ahead_seconds: int) -> None:
    """A server is there; those that were not for a month are forgotten. Raises the driver's errors."""
    columns = ("heard_at", "ahead_seconds", "version", "boot", "cipher_keys")
    db.execute(
        f"INSERT INTO servers (name, {', '.join(columns)}) VALUES (?, {_NOW}, ?, ?, ?, ?) ON CONFLICT (name)"
        f" DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in columns)}",
        (server.name, ahead_seconds, server.version, server.boot, " ".join(server.cipher_keys)),
    )
    db.execute(f"DELETE FROM servers WHERE heard_at < {_NOW} - ?", (FORGOTTEN_SECONDS,))
    db.execute(f"DELETE FROM pending_requests WHERE at < {_NOW} - ?", (shared_notes.KEPT_SECONDS,))


def look(db: Database, ahead_seconds: int) -> Health:
    """Ask. Raises the driver's errors."""
    row = db.execute(
        "SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit'),"
        f" (SELECT count(*) FROM pg_stat_replication), {TIMELINE}, current_setting('server_version'), {_NOW}"
    ).fetchone()
    names, commit, standbys, timeline, version, now = row or ("", "", 0, "0", "", 0)
    synchronous = bool(names) and commit in ("on", "remote_apply")
    servers = [
        {"name": name, "heard_at": heard_at, "ahead_seconds": ahead, "version": theirs}
        for name, heard_at, ahead, theirs in db.execute(
            "SELECT name, heard_at, ahead_seconds, version FROM servers ORDER BY name"
        ).fetchall()
    ]
    facts: dict[str, object] = {
        "version": version, "host": db.host, "timeline": int(timeline, 16), "synchronous": synchronous, "standbys": standbys,
        "ahead_seconds": ahead_seconds, "servers": servers,
    }  # fmt: skip
    shortcomings = [*_of_replication(synchronous=synchronous, standbys=standbys)]
    for server in servers:
        shortcomings += _of_server(server["name"], now - server["heard_at"], server["ahead_seconds"])
    return Health(facts, shortcomings)


def _of_server(name: str, silent_seconds: int, ahead_seconds: int) -> Iterator[Shortcoming]:
    if silent_seconds > SILENT_SECONDS:
        what = f"the server {name} was not heard of for {duration(silent_seconds)}"
        yield Shortcoming(
            what, "is its sweep running? systemctl status gitguard-sweep.timer; it is forgotten after 30 days"
        )
    if abs(ahead_seconds) > FURTHEST_SECONDS:
        way = "ahead of" if ahead_seconds > 0 else "behind"
        what = f"the clock of {name} is {abs(ahead_seconds)} s {way} the database's: that server judges no code and no session"
        yield Shortcoming(what, "one of the two is wrong: timedatectl", closes=True)


def _of_replication(*, synchronous: bool, standbys: int) -> Iterator[Shortcoming]:
    if synchronous and not standbys:
        what = "replication is synchronous, and no standby is there: no change is made until one is"
        yield Shortcoming(what, 'start a standby; see docs/servers.md, "A standby is away"', closes=True)
    if not synchronous and standbys:
        what = "replication is asynchronous: a failover may lose what was used, and the store then closes until an admin accepts that"
        yield Shortcoming(what, "set synchronous_standby_names; see docs/servers.md, Replication")
    if not synchronous and not standbys:
        what = "there is no standby: losing the database's disk loses all since its last backup"
        yield Shortcoming(what, "see docs/servers.md, Replication")
