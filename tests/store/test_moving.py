"""The store moves into a database, and a backup is put in a database's place: on whole servers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.failures import Scene, reason_of
from lab.meddling import meddle
from lab.server import Direct

pytestmark = pytest.mark.e2e


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Git servers and a database that are thrown away."""
    tmp_path.chmod(0o755)
    made = Scene(tmp_path)
    made.database.make()
    made.database.start()
    yield made
    made.close()


def switch(scene: Scene, url: str) -> None:
    """What the admin writes into every configuration."""
    assert scene.estate is not None
    scene.estate.configure(store={"url": url})


def the_two(scene: Scene) -> tuple[Direct, Direct]:
    """Both servers of an estate."""
    assert scene.estate is not None
    first, second = scene.estate.servers
    assert isinstance(first, Direct)
    assert isinstance(second, Direct)
    return first, second


def test_a_store_moves_into_a_database_with_its_people(scene: Scene) -> None:
    """Sessions live on, and the adversary who saw a code being typed finds it used there as well."""
    old = f"sqlite:///{scene.folder}/store.db"
    scene.open(old)
    code = scene.server.fresh_code(scene.bob)
    assert reason_of(scene.verify(code)) == "allowed"
    new = scene.database.database("store")
    done = scene.server.admin("store", "copy", "--to", new)
    assert "2 users, 2 keys, 1 repository" in done.out
    assert "its chain is whole" in done.out
    again = json.loads(scene.server.admin("store", "copy", "--to", new, "--json").out)
    assert again["ran"] == []
    assert again["rows"]["users"] == 2
    switch(scene, new)
    assert reason_of(scene.read()) == "allowed"
    assert reason_of(scene.verify(code)) == "code-rejected"
    status = json.loads(scene.server.admin("store", "status", "--json").out)
    assert status["database"]["synchronous"] is False
    assert status["shortcomings"][0]["what"].startswith("there is no standby")
    scene.server.admin("audit", "verify")
    assert "nothing was changed" in scene.server.admin("store", "migrate").out

    scene.server.admin("store", "copy", "--to", f"sqlite:///{scene.folder}/back.db")
    switch(scene, f"sqlite:///{scene.folder}/back.db")
    assert reason_of(scene.read()) == "allowed"
    assert reason_of(scene.verify(code)) == "code-rejected"
    scene.server.admin("audit", "verify")


def test_what_was_changed_after_the_copy_is_missed_before_it_counts(scene: Scene) -> None:
    """The adversary's session is revoked between the copy and the switch."""
    old = f"sqlite:///{scene.folder}/store.db"
    scene.open(old)
    new = scene.database.database("store")
    scene.server.admin("store", "copy", "--to", new)
    scene.server.admin("session", "revoke", "alice")
    switch(scene, new)
    assert reason_of(scene.read()) == "store-went-back"
    switch(scene, old)
    assert reason_of(scene.read()) == "verification-required"
    scene.server.admin("store", "copy", "--to", new)
    switch(scene, new)
    assert reason_of(scene.read()) == "verification-required"
    scene.server.admin("audit", "verify")


def test_a_file_of_something_else_stays_where_it_is(scene: Scene) -> None:
    """A typo names another store, or no store at all: it is refused, and nothing of it is gone."""
    scene.open(f"sqlite:///{scene.folder}/store.db")
    scene.server.admin("store", "copy", "--to", f"sqlite:///{scene.folder}/other.db")
    meddle(scene.folder / "other.db", "DELETE FROM audit WHERE seq > 2")
    meddle(scene.folder / "other.db", "UPDATE audit SET record = '{}' WHERE seq = 2")
    (scene.folder / "letter.txt").write_text("a letter")
    for name in ("other.db", "letter.txt"):
        before = (scene.folder / name).read_bytes()
        assert scene.server.admin(
            "store", "copy", "--to", f"sqlite:///{scene.folder}/{name}", status=None
        ).status
        assert (scene.folder / name).read_bytes() == before
    assert not list(scene.folder.glob("*.copying"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://g@db/d?sslmode=require", "verify-full"),
        ("mysql://x", "is not a store"),
        ("postgresql://g:secret@db/d", "password_file"),
    ],
)
def test_a_place_that_is_none_is_named(scene: Scene, url: str, words: str) -> None:
    """What the admin typed wrongly is said, and nothing is tried."""
    scene.open(f"sqlite:///{scene.folder}/store.db")
    assert words in scene.server.admin("store", "copy", "--to", url, status=2).text


def test_one_server_restores_for_all(scene: Scene) -> None:
    """A backup goes in the database's place under two servers that are at work: neither believes what was,
    and no other server has to be told.
    """
    scene.open(scene.database.database("store"), count=2)
    first, second = the_two(scene)
    backup = scene.folder / "backup.db"
    first.admin("store", "backup", str(backup))
    carol = second.new_user("carol")
    code = second.fresh_code(scene.bob)
    assert reason_of(scene.verify(code, second)) == "allowed"
    assert reason_of(second.ssh(carol, "2fa", "status")) == "allowed"
    done = first.admin("store", "restore", str(backup), "--yes")
    assert "What was there before is in" in done.out
    assert reason_of(scene.read()) == "verification-required"
    assert reason_of(scene.verify(code, second)) == "code-rejected"
    assert reason_of(second.ssh(carol, "2fa", "status")) == "user-unknown"
    for server in (first, second):
        server.admin("audit", "verify")
        shown = json.loads(server.admin("user", "list", "--json").out)
        assert {person["user"] for person in shown} == {"alice", "bob"}
    kept = next((first.home / "state").glob("*.before-restore"))
    assert kept.stat().st_size > 100_000
    later = f"{int(time.time())}"
    first.admin("store", "backup", str(scene.folder / later))
    first.admin("store", "restore", str(scene.folder / later), "--yes")
    assert reason_of(scene.read()) == "verification-required"
