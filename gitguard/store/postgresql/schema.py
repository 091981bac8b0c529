"""A PostgreSQL store begins, and is brought up to date: by numbered files of SQL, each in one transaction."""

from __future__ import annotations

import os

from gitguard.machine.postgresql_address import read as read_address
from gitguard.message.reasons import Refusal
from gitguard.store.gate_query import SCHEMA
from gitguard.store.postgresql import guard
from gitguard.store.postgresql.connection import Database, DatabaseError, OverdueError, connect, quoted, said

FOLDER = os.path.dirname(os.path.dirname(__file__))
WHOLE = "schema.postgresql.sql"  # the present schema, for a new store
OLDEST_READER = 7  # the oldest code that reads the present schema rightly
_LONG_SECONDS = 300  # an upgrade may take its time
# Set for the account, since a pooler lets no connection bring settings of its own along.
_BOUNDS = {"statement_timeout": 1000, "lock_timeout": 1000, "idle_in_transaction_session_timeout": 1000}


def create(url: str, password_file: str) -> list[str]:
    """Make a store in the empty database, or bring it up to date; the names of the files of SQL that ran.
    Raises Refusal.
    """
    address = read_address(url)
    db = connect(address, password_file)
    try:
        db.allow(_LONG_SECONDS)
        _check_place(db)
        ran = []
        while (file := _next(db, version := version_of(db))) is not None:
            _run(db, file, version)
            ran.append(os.path.basename(file))
        if lacks_bounds(db):
            _set_bounds(db)
    except (DatabaseError, OverdueError, OSError) as error:
        raise Refusal("store-unavailable", f"{address.shown}: {said(error)}") from error
    finally:
        db.close()
    return ran


def exists(url: str, password_file: str) -> bool:
    """Whether the database holds a store. Raises Refusal."""
    address = read_address(url)
    db = connect(address, password_file)
    try:
        return version_of(db) is not None
    except (DatabaseError, OverdueError) as error:
        raise Refusal("store-unavailable", f"{address.shown}: {said(error)}") from error
    finally:
        db.close()


def version_of(db: Database) -> int | None:
    """The schema's version; None where there is no store."""
    row = db.execute("SELECT to_regclass('store_schema')").fetchone()
    if row is None or row[0] is None:
        return None
    found = db.execute("SELECT version FROM store_schema").fetchone()
    return int(found[0]) if found is not None else None


def _next(db: Database, version: int | None) -> str | None:
    if version is None:
        tables = db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()").fetchone()
        if tables is not None and tables[0]:
            raise Refusal(
                "store-unavailable", "the database holds something else; give gitguard one of its own"
            )
        return os.path.join(FOLDER, WHOLE)
    if version > SCHEMA:
        raise Refusal("store-schema", f"the store has schema {version}, this gitguard knows {SCHEMA}")
    folder = os.path.join(FOLDER, "migrations")
    names = [
        name for name in os.listdir(folder) if name.endswith(".postgresql.sql") and int(name[:4]) > version
    ]
    return os.path.join(folder, min(names)) if names else None


def _run(db: Database, path: str, before: int | None) -> None:
    """For a store of version `before`. MUST: under the lock that every writer takes, and only if nobody else
    was quicker.
    """
    with open(path, encoding="utf-8") as file:
        sql = file.read()
    db.script(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;"
        f" SELECT pg_advisory_xact_lock({guard.LOCK})"
    )
    if version_of(db) != before:
        db.execute("ROLLBACK")
        return
    db.script(sql)
    if before is None:
        sql = f"INSERT INTO store_schema VALUES (?, ?, ('x' || {guard.TIMELINE})::bit(32)::bigint, '', 0, {guard.SYNCHRONOUS}, {guard.SYSTEM})"
        db.execute(sql, (SCHEMA, OLDEST_READER))
    else:
        db.execute(
            "UPDATE store_schema SET version = ?, oldest_reader = ?",
            (int(os.path.basename(path)[:4]), OLDEST_READER),
        )
    db.execute("COMMIT")


def _check_place(db: Database) -> None:
    """Raises Refusal where the database is no place for a store."""
    row = db.execute(
        "SELECT current_database(), current_setting('server_encoding'), current_setting('is_superuser')"
    ).fetchone()
    name, encoding, superuser = row or ("", "", "")
    hint = "make a role and a database of its own for gitguard: docs/servers.md, Set up"
    if superuser == "on":
        raise Refusal(
            "store-unavailable", "the role of [store] url is a superuser of the database server", hint=hint
        )
    if name in ("postgres", "template0", "template1"):
        raise Refusal("store-unavailable", f"the database {name} is the database server's own", hint=hint)
    if encoding != "UTF8":
        raise Refusal(
            "store-unavailable", f"the database {name} keeps texts as {encoding}, not as UTF8", hint=hint
        )


def lacks_bounds(db: Database) -> bool:
    """Whether the role's bounds are not set, as after the database was made anew from a dump."""
    row = db.execute(
        "SELECT count(*) FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole"
        " JOIN pg_database ON pg_database.oid = setdatabase WHERE rolname = current_user AND datname = current_database()"
        f" AND setconfig @> ARRAY[{', '.join(f'{name!r}' for name in _wanted())}]"
    ).fetchone()
    return row is None or row[0] == 0


def _wanted() -> list[str]:
    return [f"{name}={milliseconds}" for name, milliseconds in _BOUNDS.items()]


def _set_bounds(db: Database) -> None:
    row = db.execute("SELECT current_database()").fetchone()
    name = quoted(row[0] if row else "")
    for setting, milliseconds in _BOUNDS.items():
        db.script(f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET {setting} = {milliseconds}")
