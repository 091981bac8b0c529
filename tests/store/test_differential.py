"""One store in SQLite and in PostgreSQL: what the gate asks is answered alike; what is long stays small."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from gitguard.action.keys import key_row
from gitguard.config.schema import Settings
from gitguard.host.key_options import NewKey
from gitguard.session.credential import NONE, credential_of
from gitguard.session.moment import Moment
from gitguard.store import copying
from gitguard.store.chain import text_of
from gitguard.store.gate_query import GateQuery, State
from gitguard.store.postgresql.query import PostgresQuery
from gitguard.store.rows import Repository
from tests.backends import PostgresBackend, SqliteBackend
from tests.conftest import NOW, Bench, key_of

pytestmark = pytest.mark.e2e
SITUATIONS = 3000
PEOPLE = ["alice", "Alice", "bob", "ärger", "z-z", "al%ce", "al_ce", "removed"]
NAMES = ["app", "App", "team/app", "team/app.git", "ünï", "a%b", "a_b", "x" * 200]


def lived(folder: Path, seed: int) -> Bench:
    """A store in which a lot is the case, by chance."""
    chance = random.Random(seed)
    bench = Bench(folder, Settings(), SqliteBackend)
    with bench.desk.store.writing() as tx:
        for number, name in enumerate(PEOPLE, 10):
            if tx.user(name) is None:
                tx.add_user(name, NOW)
            tx.add_key(key_row(name, NewKey(key_of(number)), NOW))
            tx.add_credential(credential_of(f"web:{number:040x}"), name, NOW)
            tx.set_user_state(name, chance.choice(["active", "active", "suspended", "removed"]))
            tx.set_always(name, on=chance.random() < 0.3)
            for kind in ("key", "user", "address"):
                if chance.random() < 0.7:
                    scope = (
                        kind,
                        key_of(number).fingerprint if kind != "user" else "",
                        "192.0.2.1" if kind == "address" else "",
                    )
                    tx.put_session(
                        name, scope, Moment(NOW + number, "boot", 7), "totp", chance.choice([None, 60])
                    )
        for number, name in enumerate(NAMES):
            require = chance.choice(["none", "push", "all"])
            tx.add_repository(Repository(name, f"/srv/{number}.git", "none", None, NOW))
            if require != "none":
                tx.set_toggle(name, require, chance.choice([None, 3600]))
        tx.set_borrowings("app", ["/srv/2.git", "/srv/nowhere"])
    return bench


def fields(state: State) -> list[object]:
    """All that it says."""
    return [getattr(state, name) for name in State.FIELDS]


def test_the_gate_is_told_the_same(tmp_path: Path) -> None:
    """Three thousand situations of person, credential, repository and scope, and the smaller questions."""
    for seed in range(3):
        here = lived(tmp_path / f"sqlite{seed}", seed)
        (tmp_path / f"pg{seed}").mkdir(mode=0o700)
        there = PostgresBackend(tmp_path / f"pg{seed}")
        there.create()
        target = there.open()
        copying.copy(here.desk.store, target, lambda *_: None)
        one = GateQuery(str(here.folder / "gitguard.db"))
        two = PostgresQuery(there.url, "", str(there.folder / "audit.head"))
        chance = random.Random(seed)
        fingerprints = [key_of(number).fingerprint for number in range(10, 20)]
        for _ in range(SITUATIONS // 3):
            number = chance.randrange(8, 20)
            credential = chance.choice(
                [credential_of(key_of(number).fingerprint), credential_of(f"web:{number:040x}"), NONE]
            )
            kind = chance.choice(["key", "user", "address"])
            scope = chance.choice(
                [None, (kind, chance.choice(["", *fingerprints]), chance.choice(["", "192.0.2.1"]))]
            )
            name, directory = chance.choice([*NAMES, "nothing", ""]), ""
            if chance.random() < 0.5:
                name, directory = "", f"/srv/{chance.randrange(9)}.git"
            asked = (chance.choice([*PEOPLE, "nobody"]), credential, scope)
            said = [fields(query.state(*asked, name=name, directory=directory)) for query in (one, two)]
            assert said[0] == said[1], (asked, name, directory)
        for name in [*NAMES, "APP", "app.git", " app"]:
            assert one.is_known_by_another_form(name) == two.is_known_by_another_form(name)
        for number in range(9):
            assert one.repository(f"/srv/{number}.git") == two.repository(f"/srv/{number}.git")
            assert one.borrowers(f"/srv/{number}.git") == two.borrowers(f"/srv/{number}.git")
        for operation in ("read", "push"):
            assert one.shortest_demand(operation, 99) == two.shortest_demand(operation, 99)
        for name in PEOPLE:
            assert one.other_sessions(name) == two.other_sessions(name)
        for query in (one, two):
            query.close()
        target.close()
        here.close()


def test_two_records_of_a_hundred_thousand_are_two(tmp_path: Path) -> None:
    """The page's newest records, and the whole trail one by one: never all of it in memory."""
    backend = PostgresBackend(tmp_path)
    backend.create()
    store = backend.open()
    with store.writing() as tx:
        text = text_of({"event": "probe", "at": NOW, "actor": "x" * 100})
        tx.put_rows("audit", copying.TRAIL, ((seq, text, bytes(32)) for seq in range(1, 100_001)))
    with store.reading() as tx:
        tracemalloc.start()
        newest = tx.newest_audit(None, 2)
        counted = sum(1 for _ in tx.audit())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert [record.seq for record in newest] == [100_000, 99_999]
    assert counted == 100_000
    assert most < 2_000_000
    store.close()
