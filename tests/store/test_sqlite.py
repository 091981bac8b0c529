"""What SQLite keeps of the contract, and what is its own: files, damage, locks,
migrations, meddling, the gate's query.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitguard.cli.context import say_lag
from gitguard.message.reasons import Refusal
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment
from gitguard.store import chain, sqlite
from gitguard.store.gate_query import SCHEMA, GateQuery
from gitguard.store.rows import Repository
from tests.conftest import NOW, Bench


def damage(bench: Bench, kind: str) -> None:
    """Break the store's file in one way."""
    path = bench.folder / "gitguard.db"
    for name in ("gitguard.db-wal", "gitguard.db-shm"):
        (bench.folder / name).unlink(missing_ok=True)
    if kind == "missing":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        os.truncate(path, 5000)
    elif kind == "garbage":
        path.write_bytes(b"not a database at all" * 500)
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        version = {"newer": SCHEMA + 1, "other": 999}[kind]
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "store-unavailable"),
        ("empty", "store-unavailable"),
        ("truncated", "store-unavailable"),
        ("garbage", "store-unavailable"),
        ("folder", "store-unavailable"),
        ("newer", "store-schema"),
        ("other", "store-schema"),
    ],
)
def test_every_damage_is_a_refusal(bench: Bench, kind: str, reason: str) -> None:
    """MUST 4: for the full store and for the gate's own query alike."""
    bench.desk.store.close()
    damage(bench, kind)
    path = str(bench.folder / "gitguard.db")

    def by_gate() -> None:
        with GateQuery(path) as query:
            query.state("alice", bench.alice.credential, None, name="a")

    def by_store() -> None:
        with (
            contextlib.closing(sqlite.SqliteStore(path, str(bench.folder / "audit.head"))) as store,
            store.writing() as tx,
        ):
            tx.user("alice")
            tx.record("probe", NOW, "test")

    for ask in (by_gate, by_store):
        with pytest.raises(Refusal) as caught:
            ask()
        assert caught.value.reason == reason


def test_a_locked_store_is_refused_in_time(bench: Bench) -> None:
    """MUST 4: a writer elsewhere holds the lock; ours gives up within two seconds, and readers continue."""
    other = sqlite3.connect(bench.folder / "gitguard.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(Refusal) as caught, bench.desk.store.writing():
        pytest.fail("the lock was not respected")
    assert caught.value.reason == "store-unavailable"
    assert time.monotonic() - began < 2
    with GateQuery(str(bench.folder / "gitguard.db")) as query:
        assert query.state("alice", bench.alice.credential, None).user_state == "active"
    other.execute("ROLLBACK")
    other.close()


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    """0600 from the first moment."""
    before = os.umask(0)
    try:
        sqlite.create(str(tmp_path / "new.db"))
    finally:
        os.umask(before)
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600


def test_a_new_store_is_made_whole_and_once(tmp_path: Path) -> None:
    """In one step, with the schema that this code knows; safe to run again."""
    path = str(tmp_path / "new.db")
    assert sqlite.create(path) == [sqlite.WHOLE]
    assert sqlite.create(path) == []
    assert shape_of(path)["version"] == SCHEMA


def test_migrations_lead_to_the_same_as_a_new_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table, column, key, index and condition: whoever adds to the one adds to the other."""
    new, old = str(tmp_path / "new.db"), str(tmp_path / "old.db")
    sqlite.create(new)
    monkeypatch.setattr(sqlite, "_made_whole", lambda _: [])
    assert sqlite.create(old) == [f"{number:04d}.sqlite.sql" for number in range(1, SCHEMA + 1)]
    assert sqlite.create(old) == []
    assert shape_of(old) == shape_of(new)


@pytest.mark.parametrize("version", [2, SCHEMA, 99])
def test_what_has_a_schema_and_no_tables_is_no_new_store(tmp_path: Path, version: int) -> None:
    """A store that lost its tables, or is of a later gitguard: left as it is, and still refused."""
    path = tmp_path / "odd.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    path.chmod(0o600)
    with contextlib.suppress(Refusal):
        assert sqlite.create(str(path)) != [sqlite.WHOLE]
    with (
        pytest.raises(Refusal),
        contextlib.closing(sqlite.SqliteStore(str(path), str(tmp_path / "head"))) as store,
        store.reading() as tx,
    ):
        tx.users()


def shape_of(path: str) -> dict[str, object]:
    """All that a database is: what made each part of it, in the database's words, and its rows."""
    connection = sqlite3.connect(path)
    made = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
    shape: dict[str, object] = {"version": connection.execute("PRAGMA user_version").fetchone()[0]}
    for kind, name, sql in made:
        words = " ".join(re.sub(r"--.*", "", sql).replace('"', "").split())
        shape[f"{kind} {name}"] = re.sub(r" ?([(),]) ?", r"\1", words)
        if kind == "table":
            shape[f"rows of {name}"] = connection.execute(f"SELECT * FROM {name}").fetchall()
    connection.close()
    return shape


def taken_along(tmp_path: Path, schema: int) -> sqlite.SqliteStore:
    """The store that tests/data holds of an older schema, brought to the present
    one by each migration since.
    """
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript((Path(__file__).parents[1] / "data" / f"store-{schema}.sql").read_text())
    connection.close()
    path.chmod(0o600)
    assert sqlite.create(str(path)) == [
        f"{number:04d}.sqlite.sql" for number in range(schema + 1, SCHEMA + 1)
    ]
    store = sqlite.SqliteStore(str(path), str(tmp_path / "head"))
    assert store.integrity() == ""
    return store


def test_a_store_of_the_first_schema_is_taken_along(tmp_path: Path) -> None:
    """What commit a8fb403 wrote is all there afterwards: people, keys, sessions, the toggle, the trail."""
    store = taken_along(tmp_path, 1)
    with store.reading() as tx:
        assert [(user.name, user.state, user.always) for user in tx.users()] == [
            ("alice", "active", True), ("bob", "active", False), ("carol", "suspended", False),
        ]  # fmt: skip
        assert [(key.user, key.limits, key.behind) for key in tx.keys("alice")] == [("alice", "", ())] * 2
        assert tx.has_factor("alice")
        assert tx.recovery_codes_left("alice") == 6
        assert tx.invite("bob") is not None
        app = tx.repository("team/app")
        assert app is not None
        assert (app.require, app.lifetime_seconds, app.floor_require) == ("push", 3600, "none")
        assert tx.repository_admins("team/app") == ["alice"]
        assert len(tx.sessions()) == 1
        assert len(tx.failures("alice", 0)) == 1
        assert chain.check(tx.audit(), None, outside=False).open_faults == []
    store.close()


def test_a_store_of_the_fourth_schema_is_taken_along(tmp_path: Path) -> None:
    """What commit cc1f385 wrote is all there: networks of then are known, names are
    folded, browsers stay signed in.
    """
    store = taken_along(tmp_path, 4)
    with store.reading() as tx:
        assert [user.name for user in tx.users()] == ["alice", "bob"]
        assert tx.network_known_since("alice", "127.0.0.1") == 0
        assert tx.changes("alice", 0) == []
        assert len(tx.browsers("alice")) == 1
        assert chain.check(tx.audit(), None, outside=False).open_faults == []
    store.close()
    gate = GateQuery(str(tmp_path / "old.db"))
    assert gate.is_known_by_another_form("\u00e4rger.git")
    assert gate.is_known_by_another_form("TEAM/APP")
    assert not gate.is_known_by_another_form("arger")
    gate.close()


def test_a_store_of_the_sixth_schema_is_taken_along(tmp_path: Path) -> None:
    """Browsers stay signed in; what they are and when they were last here is not known of them."""
    store = taken_along(tmp_path, 6)
    with store.reading() as tx:
        (browser,) = tx.browsers("alice")
        assert (browser.agent, browser.seen_at) == ("", 0)
        assert chain.check(tx.audit(), None, outside=False).open_faults == []
    store.close()


def test_a_store_of_the_third_schema_is_taken_along(tmp_path: Path) -> None:
    """What commit 74fddd9 wrote is all there afterwards, and nobody is signed in
    to a page that was not there.
    """
    store = taken_along(tmp_path, 3)
    with store.reading() as tx:
        assert [(user.name, user.always) for user in tx.users()] == [("alice", True), ("bob", False)]
        assert tx.has_factor("alice")
        assert tx.invite("bob") is not None
        app = tx.repository("team/app")
        assert app is not None
        assert (app.require, app.lifetime_seconds, app.floor_require) == ("push", 3600, "push")
        assert tx.repository_admins("team/app") == ["alice"]
        assert len(tx.sessions()) == 1
        assert len(tx.failures("alice", 0)) == 1
        assert tx.all_browsers() == []
        assert chain.check(tx.audit(), None, outside=False).open_faults == []
    store.close()


def test_the_gate_and_the_store_answer_alike(bench: Bench) -> None:
    """The gate's own query reads the same facts that the full store holds."""
    scope = ("address", bench.alice.credential.text, "192.0.2.1")
    with bench.desk.store.writing() as tx:
        tx.add_repository(Repository("team/app", "/srv/team/app.git", "push", 600, NOW))
        tx.set_always("alice", on=True)
        session = tx.put_session("alice", scope, Moment(NOW, "boot", 77), "totp", 900)
    query = GateQuery(str(bench.folder / "gitguard.db"))
    for by in ({"name": "team/app"}, {"directory": "/srv/team/app.git"}):
        state = query.state("alice", bench.alice.credential, scope, **by)
        assert (state.user_state, state.always, state.enrolled, state.owner) == ("active", 1, 1, "alice")
        assert (state.name, state.directory, state.require, state.toggle_lifetime_seconds) == (
            "team/app",
            "/srv/team/app.git",
            "push",
            600,
        )
        assert (
            state.session,
            state.verified_at,
            state.session_boot,
            state.session_boot_seconds,
            state.session_limit_seconds,
        ) == (session.id, NOW, "boot", 77, 900)
    assert query.repository("/srv/team/app.git") == ("team/app", "push", 600)
    nothing = query.state("mallory", ssh_key("SHA256:none"), None, name="none")
    assert all(getattr(nothing, field) in (None, 0) for field in nothing.FIELDS)
    assert query.other_sessions("alice") == [
        ("address", bench.alice.credential.text, "192.0.2.1", NOW, "boot", 77, 900)
    ]
    query.close()


def test_no_scope_finds_no_session(bench: Bench) -> None:
    """A missing scope matches no row, not even one whose columns are empty."""
    with bench.desk.store.writing() as tx:
        tx.put_session("alice", ("user", "", ""), Moment(NOW), "totp")
    query = GateQuery(str(bench.folder / "gitguard.db"))
    assert query.state("alice", bench.alice.credential, None).session is None
    assert (
        query.state("alice", bench.alice.credential, ("address", bench.alice.credential.text, "")).session
        is None
    )
    query.close()


def audit(bench: Bench) -> tuple[list[str], int]:
    """What is wrong with the chain, and the head's lag."""
    head = chain.Head(str(bench.folder / "audit.head")).read()
    with bench.desk.store.reading() as tx:
        checked = chain.check(tx.audit(), head)
    return checked.open_faults, checked.lag


def change(bench: Bench, sql: str) -> None:
    """Meddle with the store as someone with its file could."""
    bench.backend.meddle(sql)


def fill(bench: Bench) -> None:
    """Ten records."""
    for number in range(10):
        with bench.desk.store.writing() as tx:
            tx.record("probe", NOW + number, "test", number=number)


def test_the_chain_of_an_honest_store_is_whole(bench: Bench) -> None:
    """And the head outside names its newest record."""
    fill(bench)
    assert audit(bench) == ([], 0)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE audit SET record = replace(record, 'probe', 'prose') WHERE seq = 7", "record 7 was changed"),
        ("DELETE FROM audit WHERE seq = 7", "record 7 is missing"),
        ("DELETE FROM audit WHERE seq >= 10", "the tail was deleted"),
        ("DELETE FROM audit", "the tail was deleted"),
    ],
)
def test_meddling_shows(bench: Bench, sql: str, words: str) -> None:
    """ATTACK: an edited row, a deleted middle row, a deleted tail. EXPECTED: each is named."""
    fill(bench)
    change(bench, sql)
    found, _ = audit(bench)
    assert any(words in fault for fault in found), found


def test_a_rewritten_tail_shows(bench: Bench) -> None:
    """ATTACK: the last record is replaced and the chain is computed again. EXPECTED:
    the outside head does not fit.
    """
    fill(bench)
    with bench.desk.store.reading() as tx:
        records = list(tx.audit())
    text = records[-1].text.replace('"number":9', '"number":8')
    digest = chain.link(records[-2].hash, records[-1].seq, text)
    bench.backend.meddle("UPDATE audit SET record = ?, hash = ? WHERE seq = ?", text, digest, records[-1].seq)
    found, _ = audit(bench)
    assert any("head outside" in fault for fault in found)


def test_a_head_that_lags_is_in_order(bench: Bench) -> None:
    """A crash between commit and head leaves an ancestor: no fault, and the lag is said."""
    fill(bench)
    with bench.desk.store.reading() as tx:
        record = list(tx.audit())[-4]
    chain.Head(str(bench.folder / "audit.head")).write(record.seq, record.hash)
    assert audit(bench) == ([], 3)


_DRIVER = """
import sys
sys.path.insert(0, {root!r})
{before}
import gitguard.store.driver as driver
assert driver.connect(":memory:").execute("SELECT 1").fetchone() == (1,)
{after}
"""


def _in_fresh_python(before: str, after: str) -> None:
    root = str(Path(__file__).resolve().parents[2])
    probe = _DRIVER.format(root=root, before=before, after=after)
    subprocess.run([sys.executable, "-I", "-S", "-c", probe], check=True)


def test_the_stand_in_for_functools_goes_again() -> None:
    """Whoever imports functools after the gate's driver gets the real one, whole."""
    _in_fresh_python(
        "assert 'functools' not in sys.modules",
        "assert 'functools' not in sys.modules\n"
        "import functools\n"
        "assert functools.partial(max, 3)(2) == 3 and functools.wraps and functools.lru_cache.__module__ == 'functools'",
    )


def test_another_build_of_python_gets_the_real_functools() -> None:
    """Where the C part cannot be had, the driver loads all the same, by the long way."""
    _in_fresh_python(
        "import builtins\n"
        "real = builtins.__import__\n"
        "def without(name, globals=None, *rest):\n"
        "    if name == '_functools' and (globals or {}).get('__name__', '').startswith('gitguard'):\n"
        "        raise ImportError(name)\n"
        "    return real(name, globals, *rest)\n"
        "builtins.__import__ = without",
        "assert 'functools' in sys.modules and hasattr(sys.modules['functools'], 'partial')",
    )


def test_the_newest_migration_is_the_schema_that_the_code_knows() -> None:
    """One number, in one place: a migration that is added without it is not forgotten."""
    folder = Path(sqlite.__file__).parent / "migrations"
    assert max(int(file.name[:4]) for file in folder.glob("*.sqlite.sql")) == SCHEMA


def test_a_head_that_cannot_be_written_is_said_after_what_was_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk: the change stands, the store knows why the head lags, and the command
    line says it without a path.
    """

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    site: Any = SimpleNamespace(store=bench.desk.store)
    say_lag(site)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(chain.Head, "write", full)
    with bench.desk.store.writing() as tx:
        tx.record("probe", NOW, "test")
    say_lag(site)
    said = capsys.readouterr().err
    assert "the audit head could not be written (No space left on device), so it lags" in said
    assert str(bench.folder) not in said
    with bench.desk.store.reading() as asked:
        assert list(asked.audit())[-1].record["event"] == "probe"


def test_a_log_that_goes_while_somebody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes last takes the log beside the store away; someone who comes just then is not refused."""
    path = str(tmp_path / "store.db")
    sqlite.create(path)
    keeper = sqlite.SqliteStore(path, str(tmp_path / "head"))
    with keeper.writing() as tx:
        tx.record("probe", NOW, "test")
    assert Path(f"{path}-wal").exists()
    may_access = os.access

    def goes(asked: str, mode: int) -> bool:
        if asked.endswith("-wal") and Path(asked).exists():
            keeper.close()
            return False
        return may_access(asked, mode)

    monkeypatch.setattr(os, "access", goes)
    store = sqlite.SqliteStore(path, str(tmp_path / "head"))
    with store.reading() as seen:
        assert len(list(seen.audit())) == 1
    store.close()
    keeper.close()


def test_a_store_of_the_fifth_schema_is_taken_along(tmp_path: Path) -> None:
    """What commit ff2e95f wrote is all there: what is to be told, whose guesses, and a chain of
    which nothing was moved out.
    """
    store = taken_along(tmp_path, 5)
    with store.reading() as tx:
        assert [user.name for user in tx.users()] == ["alice", "bob"]
        assert [change.event for change in tx.changes("alice", 0)] == ["recovery-codes-replaced"]
        assert tx.users_guessed_since(0) == ["alice"]
        assert len(tx.failures("alice", 0)) == 1
        assert tx.archived() == (0, chain.GENESIS)
        assert chain.check(tx.audit(), None, outside=False).open_faults == []
    store.close()
