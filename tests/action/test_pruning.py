"""What can no longer count goes with the sweep; what may still count, or is not ours, stays."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from gitguard.action import pruning, sessions, steps
from gitguard.factor.changes import TOLD_SECONDS
from gitguard.session.moment import Moment
from gitguard.session.scope import scope_of
from gitguard.store.opening import audit_head
from gitguard.store.rows import Change
from gitguard.store.sqlite import SqliteStore, _is_closed_to_us
from lab.meddling import rows
from lab.server import Direct
from tests.house import ACTOR, House

LONG = TOLD_SECONDS + pruning.KEPT_SECONDS


def counts(house: House) -> dict[str, int]:
    """Rows of each table that is pruned."""
    tables = ("sessions", "failures", "invites", "changes")
    return {table: rows(house.server.store, f"SELECT count(*) FROM {table}")[0][0] for table in tables}


def test_a_year_is_pruned_to_what_counts(house: House) -> None:
    """Sessions, failures, ended invites and told changes of before go, those of the last weeks
    stay, and answers are the same.
    """
    person, _ = house.enrolled()
    invited, _ = house.invited()
    at = house.moment.at
    with house.site.store.writing() as tx:
        scope = scope_of("address", person.credential, "198.51.100.1")
        assert scope is not None
        tx.put_session(person.user, scope, Moment(at - LONG - 5, "", 0), "totp", None)
        for age in (LONG + 5, LONG - 5, 5):
            tx.add_failure(person.user, person.budget_key, at - age)
            tx.note_change(
                person.user, Change(at - age, "always-off", "", person.budget_key, "192.0.2.1"), "192.0.2.1"
            )
        steps.new_invite(tx, house.site.keyring, invited.user, at - LONG - 8 * 86400, ACTOR)
    before = counts(house)
    sessions.sweep(house.site, house.moment)
    after = counts(house)
    assert {table: before[table] - after[table] for table in before} == {
        "sessions": 1,
        "failures": 1,
        "invites": 1,
        "changes": 1,
    }
    with house.site.store.reading() as tx:
        assert tx.sessions(person.user)
        assert not tx.has_before(at - LONG)
    assert pruning.prune(house.site, house.moment) == 0, "nothing to do is nothing written"


def test_much_is_taken_away_in_parts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is shut out while a year's failures go: so many in one
    transaction, the rest at the next sweep.
    """
    person, _ = house.enrolled()
    while pruning.prune(house.site, house.moment):
        pass
    with house.site.store.writing() as tx:
        for _ in range(25):
            tx.add_failure(person.user, person.budget_key, house.moment.at - LONG - 5)
    monkeypatch.setattr(pruning, "MOST", 10)
    assert [pruning.prune(house.site, house.moment) for _ in range(4)] == [10, 10, 5, 0]


def test_what_killed_commands_left_is_cleared_away(house: House) -> None:
    """Our own temporary names, once they are an hour old; younger ones are in
    use, other names are not ours.
    """
    state = Path(str(house.site.settings.paths.state))
    old = state / ".backup-abc"
    old.mkdir()
    (old / "copy").write_text("a whole store")
    for name in (".quiet-1", ".keys-2", ".audit-3", ".restore-4"):
        (state / name).write_text("half")
    stays = [state / ".quiet-young", state / "mine", state / ".other"]
    for path in stays:
        path.write_text("x")
    for name in (".quiet-1", ".keys-2", ".audit-3", ".restore-4", ".backup-abc", "mine", ".other"):
        os.utime(state / name, (1, 1))
    link = state / ".backup-link"
    link.symlink_to("/etc")
    os.utime(link, (1, 1), follow_symlinks=False)
    assert pruning.clear_away(house.site) == 6
    assert all(path.exists() for path in stays)
    assert not link.is_symlink()
    assert Path("/etc/passwd").exists()
    assert not list(state.glob(".backup-*"))


def test_beside_the_key_file_and_the_log_too(house: House) -> None:
    """A kill while the key file or the audit head is written leaves a name
    there; other people's files stay.
    """
    keys = Path(house.site.key_file)
    log = Path(str(house.site.settings.paths.access_log)).parent
    ours = [keys.parent / f".{keys.name}-0123456789abcdef", log / ".audit-fedcba9876543210"]
    theirs = [keys.parent / ".authorized_keys-old", keys.parent / "id_ed25519", log / ".audit-notes"]
    for path in (*ours, *theirs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
        os.utime(path, (1, 1))
    assert set(pruning.left_behind(house.site)) == {str(path) for path in ours}
    assert pruning.clear_away(house.site) == 2
    assert all(path.exists() for path in theirs)


def test_a_log_that_comes_and_goes_closes_nothing(site: Direct) -> None:
    """Fifty thousand page views beside commands that open and close the store: none is
    told that it may not read it.
    """
    path = f"{site.store}-coming"
    over = threading.Event()

    def flicker() -> None:
        while not over.is_set():
            Path(path).touch(0o600)
            os.unlink(path)

    flickering = threading.Thread(target=flicker)
    flickering.start()
    try:
        assert not any(_is_closed_to_us(path) for _ in range(20_000))
    finally:
        over.set()
        flickering.join()
    SqliteStore(str(site.store), audit_head(str(site.home / "log" / "access.log"))).close()
