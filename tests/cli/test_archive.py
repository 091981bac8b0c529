"""The older part of the trail is moved out of the store, whole and checked, and nobody can
use that to hide what was done.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitguard.action import trail
from gitguard.action.installation import open_installation
from gitguard.session.moment import Moment, now
from gitguard.store.chain import GENESIS, link, text_of
from lab.meddling import meddle, meddle_many, rows
from lab.server import Direct

pytestmark = pytest.mark.e2e

DAY = 86400


@pytest.fixture
def site(tmp_path: Path) -> Direct:
    """An installation whose trail has fifty records of two years ago, and the new ones."""
    server = Direct(tmp_path / "site")
    server.install()
    at = now().at
    last, digest, trail = 0, GENESIS, []
    for number in range(1, 51):
        text = text_of({"event": "probe", "at": at - 730 * DAY + number, "actor": "test", "number": number})
        digest = link(digest, number, text)
        trail.append((number, text, digest))
        last = number
    meddle(server.store, "DELETE FROM audit")
    meddle_many(server.store, "INSERT INTO audit VALUES (?, ?, ?)", trail)
    (server.home / "log" / "audit.head").write_text(f"{last} {digest.hex()}\n")
    server.admin("user", "add", "alice")
    return server


def test_the_older_part_moves_out_and_the_chain_goes_on(site: Direct) -> None:
    """Moved, checked in both places, shown from the file; a second time there is nothing;
    later ones continue from it.
    """
    file = site.folder / "2024.audit"
    done = site.admin("audit", "archive", "--before", "1y", str(file))
    assert "50 records (1 to 50) moved to" in done.out
    assert file.stat().st_mode & 0o777 == 0o600
    shown = json.loads(site.admin("audit", "show", "--json").out)
    assert shown[0]["seq"] == 51
    assert shown[-1]["event"] == "audit-archived"
    assert (shown[-1]["until"], shown[-1]["records"], shown[-1]["file"]) == (50, 50, "2024.audit")
    assert "the chain is whole" in site.admin("audit", "verify").out
    assert (
        "50 records, the chain is whole; the trail continues from it"
        in site.admin("audit", "verify", "--file", str(file)).out
    )
    old = json.loads(site.admin("audit", "show", "--file", str(file), "--json").out)
    assert [record["seq"] for record in old] == list(range(1, 51))
    assert (
        "nothing was moved"
        in site.admin("audit", "archive", "--before", "90d", str(site.folder / "next")).out
    )
    assert not (site.folder / "next").exists()
    site.admin("user", "add", "bob")
    assert "the chain is whole" in site.admin("audit", "verify").out
    backup = site.folder / "backup.db"
    site.admin("store", "backup", str(backup))
    site.admin("store", "restore", str(backup), "--yes")
    assert "the chain is whole" in site.admin("audit", "verify").out


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--before", "7d"), "at least 30d"), (("--before", "soon"), "soon"), ((), "--before")],
)
def test_bad_input_is_named(site: Direct, words: tuple[str, ...], said: str) -> None:
    """An age that is too young, none, or no age: the line names it, and no file is made."""
    done = site.admin("audit", "archive", *words, str(site.folder / "x"), status=2)
    assert said in done.err
    assert not (site.folder / "x").exists()


def test_what_is_there_is_not_written_over(site: Direct) -> None:
    """An archive of before stays as it is."""
    (site.folder / "x").write_text("mine")
    assert (
        "is there already"
        in site.admin("audit", "archive", "--before", "1y", str(site.folder / "x"), status=2).err
    )
    assert (site.folder / "x").read_text() == "mine"
    assert "52 records" in site.admin("audit", "verify").out


def test_a_head_that_was_cut_off_without_an_archive_shows(site: Direct) -> None:
    """ATTACK: anyone who has the store deletes the oldest records, and says that they were moved
    out. EXPECTED: named as missing.
    """
    meddle(site.store, "INSERT INTO archived SELECT seq, hash FROM audit WHERE seq = 20")
    meddle(site.store, "DELETE FROM audit WHERE seq <= 20")
    assert "records 1 to 20 are missing" in site.admin("audit", "verify", status=1).out


def test_more_than_was_archived_shows(site: Direct) -> None:
    """ATTACK: after a true archive some records more are cut off. EXPECTED: named as missing."""
    site.admin("audit", "archive", "--before", "1y", str(site.folder / "x"))
    site.admin("user", "add", "bob")
    meddle(site.store, "UPDATE archived SET seq = 51, hash = (SELECT hash FROM audit WHERE seq = 51)")
    meddle(site.store, "DELETE FROM audit WHERE seq <= 51")
    assert "records 1 to 51 are missing" in site.admin("audit", "verify", status=1).out


def test_a_forged_record_of_an_archive_counts_for_nothing(site: Direct) -> None:
    """ATTACK: a record that says so is put at the end of the chain, past the head outside. EXPECTED:
    the head does not vouch for it.
    """
    ((seq, digest),) = rows(site.store, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
    ((gone,),) = rows(site.store, "SELECT hash FROM audit WHERE seq = 20")
    text = text_of({"event": "audit-archived", "at": now().at, "actor": "x", "steps": [f"20 {gone.hex()}"]})
    meddle(site.store, "INSERT INTO audit VALUES (?, ?, ?)", (seq + 1, text, link(digest, seq + 1, text)))
    meddle(site.store, "INSERT INTO archived VALUES (20, ?)", (gone,))
    meddle(site.store, "DELETE FROM audit WHERE seq <= 20")
    assert "records 1 to 20 are missing" in site.admin("audit", "verify", status=1).out


def test_a_chain_that_is_not_whole_stays_where_it_is(site: Direct) -> None:
    """Evidence is not moved away: refused with the fault, and no file is made."""
    meddle(site.store, "UPDATE audit SET record = replace(record, 'probe', 'prose') WHERE seq = 7")
    done = site.admin("audit", "archive", "--before", "1y", str(site.folder / "x"), status=2)
    assert "record 7 was changed" in done.err
    assert not (site.folder / "x").exists()


def test_moving_out_that_was_killed_is_in_order(site: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two steps the chain is whole, and the next archive takes the rest."""
    monkeypatch.setattr(trail, "STEP", 20)
    opened = open_installation(str(site.config), now(), "test")
    with (site.folder / "x").open("wb") as target:
        written = trail.write_archive(opened, target, now().at - 365 * DAY)
    assert [step.partition(" ")[0] for step in written.steps] == ["20", "40", "50"]
    real, done = opened.store.writing, []

    def killed() -> object:
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt
        return real()

    monkeypatch.setattr(opened.store, "writing", killed)
    with pytest.raises(KeyboardInterrupt):
        trail.move_out(opened, written, "x", Moment(now().at), "test")
    opened.store.close()
    assert "the chain is whole" in site.admin("audit", "verify").out
    assert json.loads(site.admin("audit", "show", "--json").out)[0]["seq"] == 21
    assert (
        "30 records (21 to 50) moved"
        in site.admin("audit", "archive", "--before", "1y", str(site.folder / "y")).out
    )
    assert "the chain is whole" in site.admin("audit", "verify", "--file", str(site.folder / "y")).out


@pytest.mark.parametrize("damage", ["changed", "cut", "foreign"])
def test_a_damaged_archive_is_named(site: Direct, damage: str) -> None:
    """One record changed, its end cut off, or another file: said, with exit 1 or 2."""
    file = site.folder / "x"
    site.admin("audit", "archive", "--before", "1y", str(file))
    lines = file.read_text().splitlines(keepends=True)
    if damage == "changed":
        lines[7] = lines[7].replace("probe", "prose")
    elif damage == "cut":
        lines = lines[:-5]
    else:
        lines = ["hello\n"]
    file.write_text("".join(lines))
    done = site.admin("audit", "verify", "--file", str(file), status=None)
    expected = {
        "changed": "record 7 was changed",
        "cut": "it was cut",
        "foreign": "no archive of the audit trail",
    }
    assert done.status in (1, 2)
    assert expected[damage] in done.text


def test_prune_takes_away_what_cannot_count(site: Direct) -> None:
    """By hand what the sweep does; what may still count stays."""
    site.admin("store", "prune")
    meddle_many(
        site.store,
        "INSERT INTO failures (user_name, credential, at) VALUES ('alice', 'k', ?)",
        [(1,)] * 5000 + [(now().at,)],
    )
    assert "5000 rows that could not count any more went" in site.admin("store", "prune").out
    assert "0 rows" in site.admin("store", "prune").out
