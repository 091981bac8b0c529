"""How much a right code asks of a database, and for how long everyone waits for it: each is a round trip."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitguard.config.schema import Settings
from gitguard.factor.verification import verify
from gitguard.store.postgresql.connection import Database
from gitguard.store.postgresql.late import CHAIN
from tests.backends import PostgresBackend
from tests.conftest import Bench

pytestmark = pytest.mark.e2e


def test_a_right_code_holds_the_chain_for_two_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most 24 round trips in its transaction, at most 4 of them under the lock that all servers wait for.
    Who is refused anyway (throttled, suspended) has been refused before it, by seven questions more.
    """
    bench = Bench(tmp_path / "bench", Settings(), PostgresBackend)
    seen: list[str] = []
    for name in ("execute", "script"):
        whole = getattr(Database, name)

        def counted(self: Database, sql: str, *words: object, whole: object = whole) -> object:
            seen.append(sql)
            return whole(self, sql, *words)  # type: ignore[operator]

        monkeypatch.setattr(Database, name, counted)
    verify(bench.desk, bench.alice, bench.code(), bench.now)
    # `script` runs on the connection itself, so each is seen once.
    begins = next(number for number, sql in enumerate(seen) if "READ COMMITTED" in sql)
    assert begins <= 7, "\n".join(seen)
    assert len(seen) - begins <= 24, "\n".join(seen)
    taken = next(number for number, sql in enumerate(seen) if str(CHAIN) in sql)
    assert len(seen) - taken <= 4, "\n".join(seen[taken:])
    bench.close()


def test_people_go_on_beside_each_other(tmp_path: Path) -> None:
    """One transaction of alice's is open, and bob's begins and ends; their records are one chain."""
    bench = Bench(tmp_path / "bench", Settings(), PostgresBackend)
    other = bench.open(Settings())
    with bench.desk.store.writing_for("alice") as hers:
        hers.record("probe", 1, "alice")
        with other.store.writing_for("bob") as his:
            his.record("probe", 2, "bob")
    with bench.desk.store.reading() as tx:
        assert [record.record["actor"] for record in tx.newest_audit(None, 2)] == ["alice", "bob"]
    bench.close()
