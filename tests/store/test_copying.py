"""A store moves from one kind to another, with all that it knows."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.config.schema import Settings
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.store import copying, sqlite
from gitguard.store.chain import GENESIS
from gitguard.store.contract import Store
from gitguard.store.postgresql.keeper import PostgresStore
from gitguard.store.rows import Repository
from tests.backends import Backend, PostgresBackend, SqliteBackend
from tests.conftest import NOW, Bench

STORE = Path(sqlite.FOLDER)


def columns(schema: str) -> dict[str, list[str]]:
    """Table -> its columns, in order."""
    found = {}
    for table, body in re.findall(r"^CREATE TABLE (\w+) \((.*?)^\)", schema, re.MULTILINE | re.DOTALL):
        lines = [line.strip().split()[0] for line in body.splitlines() if line.strip()]
        found[table] = [word for word in lines if word.islower()]
    return found


def test_the_two_schemas_are_one() -> None:
    """Table by table and column by column, and what a copy takes along."""
    ours = columns((STORE / "schema.sqlite.sql").read_text())
    theirs = columns((STORE / "schema.postgresql.sql").read_text())
    assert {table: theirs[table] for table in ours} == ours
    assert set(theirs) - set(ours) == {"store_schema", "servers", "pending_requests"}
    assert {
        "audit": list(copying.TRAIL),
        **{name: list(found) for name, found in copying.TABLES.items()},
    } == ours


def test_every_text_is_ordered_by_bytes() -> None:
    """Without it pages by name compare as the database's locale does."""
    text = (STORE / "schema.postgresql.sql").read_text()
    assert text.count("TEXT") == text.count('TEXT COLLATE "C"') > 50


def lived_in(folder: Path, kind: type[Backend]) -> Bench:
    """A store that has been used."""
    bench = Bench(folder, Settings(), kind)
    bench.give_recovery_codes()
    with bench.desk.store.writing() as tx:
        for number in range(30):
            tx.record("probe", NOW + number, "test", text=f"ä%?{number}")
        for number in range(3):
            tx.put_session("alice", ("key", f"k{number}", ""), Moment(NOW + number), "totp")
        tx.end_sessions("alice", "k2")
        tx.add_failure("alice", "k1", NOW)
        tx.count_guess("alice", "n", "192.0.2.9", NOW)
        tx.put_invite("alice", bytes(range(32)), NOW)
        tx.add_repository(Repository("team/App", "/srv/a", "push", 60, NOW))
        tx.add_repository_admin("team/App", "alice")
        tx.set_borrowings("team/App", ["/srv/b"])
        tx.remember_forgotten("/srv/c", NOW)
    return bench


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All rows, sorted."""
    with store.reading() as tx:
        found = {table: sorted(tx.rows(table, names), key=repr) for table, names in copying.TABLES.items()}
        return {**found, "audit": list(tx.rows("audit", copying.TRAIL))}


@pytest.fixture
def lived(tmp_path: Path) -> Iterator[Bench]:
    """One in SQLite."""
    bench = lived_in(tmp_path / "from", SqliteBackend)
    yield bench
    bench.close()


def empty(folder: Path, kind: type[Backend]) -> Store:
    """A store with nothing in it."""
    folder.mkdir(mode=0o700)
    backend = kind(folder)
    backend.create()
    return backend.open()


def quiet(*_: object) -> None:
    """Nobody watches."""


@pytest.mark.e2e
def test_there_and_back_is_the_same_store(lived: Bench, tmp_path: Path) -> None:
    """SQLite to PostgreSQL to SQLite: same rows, same chain; no session's number is given twice."""
    there, back = empty(tmp_path / "pg", PostgresBackend), empty(tmp_path / "back", SqliteBackend)
    copied = copying.copy(lived.desk.store, there, quiet)
    assert copied.rows["audit"] > 30
    copying.copy(there, back, quiet)
    assert everything(back) == everything(there) == everything(lived.desk.store)
    for store in (there, back):
        with store.writing() as tx:
            assert tx.put_session("alice", ("key", "new", ""), Moment(NOW), "totp").id == 4
            tx.add_failure("alice", "k1", NOW)
            tx.record("probe", NOW, "test")
        store.close()


@pytest.mark.e2e
def test_a_second_copy_brings_what_came_since(
    lived: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that was cut off stays, and the next goes on behind it; what went since, goes."""
    monkeypatch.setattr(copying, "AT_A_TIME", 7)
    there = empty(tmp_path / "pg", PostgresBackend)

    def cut(what: str, done: int, of: int) -> None:
        if done == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copying.copy(lived.desk.store, there, cut)
    with there.reading() as tx:
        assert tx.counts().records == 14
        assert tx.counts().users == 0
    copying.copy(lived.desk.store, there, quiet)
    with lived.desk.store.writing() as tx:
        tx.end_sessions("alice")
        tx.record("probe", NOW, "test")
    copying.copy(lived.desk.store, there, quiet)
    assert everything(there) == everything(lived.desk.store)
    there.close()


@pytest.mark.e2e
def test_another_store_is_no_target(lived: Bench, tmp_path: Path) -> None:
    """What is in use by others, or has gone on by itself, is not overwritten."""
    there = empty(tmp_path / "pg", PostgresBackend)
    copying.copy(lived.desk.store, there, quiet)
    with there.writing() as tx:
        tx.record("probe", NOW, "somebody else")
    before = everything(there)
    with pytest.raises(Refusal) as caught:
        copying.copy(lived.desk.store, there, quiet)
    assert "something else" in caught.value.text
    assert everything(there) == before
    there.close()


@pytest.mark.e2e
def test_archived_records_stay_out(lived: Bench, tmp_path: Path) -> None:
    """What was moved out between two copies goes from the copy as well."""
    there = empty(tmp_path / "pg", PostgresBackend)
    copying.copy(lived.desk.store, there, quiet)
    with lived.desk.store.writing() as tx:
        row = list(tx.rows("audit", copying.TRAIL))[9]
        tx.move_out(10)
        tx.record("audit-archived", NOW, "test", steps=[f"10 {row[2].hex()}"])
    copying.copy(lived.desk.store, there, quiet)
    assert everything(there) == everything(lived.desk.store)
    there.close()


@pytest.mark.e2e
def test_a_backup_of_a_database_is_a_file(tmp_path: Path) -> None:
    """`store backup` of a PostgreSQL store is an SQLite store with all of it."""
    bench = lived_in(tmp_path / "from", PostgresBackend)
    bench.desk.store.backup(str(tmp_path / "copy.db"))
    copied = sqlite.SqliteStore(str(tmp_path / "copy.db"), str(tmp_path / "head"))
    assert everything(copied) == everything(bench.desk.store)
    copied.close()
    bench.close()


@pytest.mark.e2e
def test_a_copy_that_was_cut_off_is_believed_by_nobody(lived: Bench, tmp_path: Path) -> None:
    """Killed between the trail and the tables: whoever is suspended in the one is active in the other."""
    (tmp_path / "pg").mkdir(mode=0o700)
    backend = PostgresBackend(tmp_path / "pg")
    backend.create()
    target = PostgresStore(backend.url, "", str(tmp_path / "pg" / "audit.head"), although_lost=True)
    target.begin_copy()
    copying.copy(lived.desk.store, target, quiet)
    with pytest.raises(Refusal) as caught:
        backend.open()
    assert caught.value.reason == "store-went-back"
    target.open_if_whole()
    backend.open().close()
    target.note_server("git1:22", "1", "boot", [])
    with pytest.raises(Refusal, match="in use by git1:22"):
        target.begin_copy()
    target.close()


@pytest.mark.e2e
def test_what_was_done_in_the_target_meanwhile_is_not_undone(lived: Bench, tmp_path: Path) -> None:
    """A live server revokes in the target while the copy is at its last step."""
    there = empty(tmp_path / "pg", PostgresBackend)
    copying.copy(lived.desk.store, there, quiet)
    with lived.desk.store.writing() as tx:
        tx.record("probe", NOW, "test")

    def meanwhile(what: str, *_: object) -> None:
        if what == "records":
            with there.writing() as tx:
                tx.record("probe", NOW, "a live server")

    with pytest.raises(Refusal, match="something else"):
        copying.copy(lived.desk.store, there, meanwhile)
    there.close()


@pytest.mark.e2e
def test_a_head_never_steps_back(tmp_path: Path) -> None:
    """Of two processes of one server, the one that has committed first may write last; and it follows what
    others record, also past what was moved out.
    """
    backend = PostgresBackend(tmp_path)
    backend.create()
    store = backend.open()
    for number in range(3):
        with store.writing() as tx:
            tx.record("probe", NOW + number, "test")
    store.head.advance(1, bytes(32))
    head = store.head.read()
    assert head is not None
    assert head[0] == 3
    other = PostgresStore(backend.url, "", str(tmp_path / "other.head"))
    other.note_server("b", "1", "boot", [])
    assert other.head.read() == store.head.read()
    with store.writing() as tx:
        tx.record("probe", NOW, "test")
    with store.writing() as tx:
        row = list(tx.rows("audit", copying.TRAIL))[3]
        tx.record("audit-archived", NOW, "test", steps=[f"4 {row[2].hex()}"])
        tx.move_out(4)
    other.close()
    other = PostgresStore(backend.url, "", str(tmp_path / "other.head"))
    assert other.head.read() == store.head.read()
    backend.meddle("DELETE FROM audit WHERE seq = 5")
    other.close()
    with pytest.raises(Refusal, match="has lost what"):
        PostgresStore(backend.url, "", str(tmp_path / "other.head"))
    store.close()


@pytest.mark.e2e
def test_a_server_that_joins_before_the_first_record_has_a_head(tmp_path: Path) -> None:
    """Without one its `audit verify` would say that the head is missing, until it has recorded something."""
    backend = PostgresBackend(tmp_path)
    backend.create()
    store = backend.open()
    store.renew_head()
    assert store.head.read() == (0, GENESIS)
    store.close()


@pytest.mark.e2e
def test_whoever_waits_has_patience(tmp_path: Path) -> None:
    """A queue of seconds is waited for, and only a standby that is away is said to be."""
    backend = PostgresBackend(tmp_path)
    backend.create()
    one, two = backend.open(), backend.open()
    begun = threading.Event()

    def hold() -> None:
        with one.writing() as tx:
            begun.set()
            for _ in range(10):
                time.sleep(0.25)
                one._db.allow(2)  # type: ignore[union-attr]
                tx.latest_at()

    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait()
    with two.writing() as tx:
        tx.record("probe", NOW, "test")
    holder.join()
    for store in (one, two):
        store.close()
