"""Which kind of store a URL names: the one place that knows the kinds. Everyone else works with contract.py.

A URL is what `[store] url` may be: `sqlite:///` and an absolute path, or a PostgreSQL database's. Its driver
is loaded only where one is opened.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitguard.message.reasons import machine_fault
from gitguard.store import sqlite
from gitguard.store.contract import Store

if TYPE_CHECKING:
    from gitguard.store.postgresql.keeper import PostgresStore


def open_store(url: str, head: str, password_file: str = "") -> Store:
    """The store at `url`, with its newest audit hash in the file `head`. Raises
    Refusal("store-unavailable", "store-schema" or "store-went-back").
    """
    if not _is_file(url):
        from gitguard.store.postgresql.keeper import PostgresStore

        return PostgresStore(url, password_file, head)
    return sqlite.SqliteStore(_path(url), head)


def open_lost_store(url: str, head: str, password_file: str) -> PostgresStore:
    """The database at `url`, also where it is closed since it has lost something. Raises Refusal."""
    from gitguard.store.postgresql.keeper import PostgresStore

    return PostgresStore(url, password_file, head, although_lost=True)


def audit_head(access_log: str) -> str:
    """Where the newest audit hash stands outside the store: beside the access log."""
    return os.path.join(os.path.dirname(access_log), "audit.head")


def create(url: str, password_file: str = "") -> list[str]:
    """Create the store, or bring it up to date; the names of the files of SQL that ran. Raises Refusal."""
    if not _is_file(url):
        from gitguard.store.postgresql import schema as postgresql_schema

        return postgresql_schema.create(url, password_file)
    return sqlite.create(_path(url))


def exists(url: str, password_file: str = "") -> bool:
    """Whether a store is there, or what was one. Raises Refusal for a database that does not answer."""
    if not _is_file(url):
        from gitguard.store.postgresql import schema as postgresql_schema

        return postgresql_schema.exists(url, password_file)
    return os.path.exists(_path(url))


def replace_store(url: str, copy: str, head: str, password_file: str, kept: str) -> str:
    """Put the store at `copy`, a file, in the place of the one at `url`, under the locks of those who
    use it; where that one is kept: for a database, in the file `kept`.

    "" if there was none. What is no store any more is kept and replaced as a file. Raises Refusal.
    """
    if not _is_file(url):
        return _replace_database(url, copy, head, password_file, kept)
    path, kept = _path(url), ""
    if os.path.exists(path):
        kept = f"{path}.before-restore"
        sqlite.keep_copy(path, kept)
    sqlite.copy_file(_path(copy), path)
    return kept


def _replace_database(url: str, copy: str, head: str, password_file: str, kept: str) -> str:
    from gitguard.store.copying import put_in_place_of

    there = exists(url, password_file)
    create(url, password_file)
    source, target = open_store(copy, f"{_path(copy)}.head"), open_lost_store(url, head, password_file)
    try:
        target.be_patient()
        if there:
            keep_copy(target, kept)
        with source.reading() as ours, target.opening_again() as tx:
            put_in_place_of(ours, tx)
    finally:
        source.close()
        target.close()
    return kept if there else ""


def keep_copy(store: Store, path: str) -> None:
    """Copy a store to a file of SQLite's, which takes the place of an earlier one. Raises Refusal."""
    import tempfile

    try:
        with tempfile.TemporaryDirectory(dir=os.path.dirname(path), prefix=".backup-") as folder:
            store.backup(f"{folder}/copy")
            os.replace(f"{folder}/copy", path)
    except OSError as error:
        raise machine_fault(f"cannot write {path}", error) from None


def is_no_store(url: str) -> bool:
    """Whether what is there is empty, no database, or a database of something else."""
    return sqlite.is_no_store(_path(url))


def url_of(path: str) -> str:
    """The URL of a store in the file at `path`, which is absolute."""
    return f"sqlite:///{path}"


def _is_file(url: str) -> bool:
    return url.startswith("sqlite:")


def _path(url: str) -> str:
    return url.removeprefix("sqlite:///")
