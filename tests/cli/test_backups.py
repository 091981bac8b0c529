"""A backup is whole or not there; a restore looks first whether anything would open afterwards."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from gitguard.factor import keyring
from gitguard.machine.new_file import NewFile
from gitguard.message.reasons import Refusal
from lab.meddling import meddle_many
from lab.server import ACCOUNT, Direct

pytestmark = pytest.mark.e2e


@pytest.fixture
def site(tmp_path: Path) -> Direct:
    """An installation with alice enrolled."""
    server = Direct(tmp_path / "site")
    server.install()
    server.new_user("alice")
    return server


def grow(site: Direct, megabytes: int) -> None:
    """Make the store so large that copying it takes a while."""
    meddle_many(
        site.store,
        "INSERT INTO changes (user_name, at, event, subject, credential, network, address) VALUES ('alice', 0, ?, '', '', '', '')",
        (("x" * 100_000,) for _ in range(megabytes * 10)),
    )


def test_a_backup_that_is_killed(site: Direct) -> None:
    """Kill -9 at any instant: under the name that was asked for stands a whole copy or
    nothing, beside it nothing at all.
    """
    grow(site, 60)
    folder = site.folder / "backups"
    folder.mkdir()
    seen = set()
    for hundredths in (5, 20, 25, 30, 35, 40, 50, 70):
        target = folder / f"{hundredths}.db"
        process = subprocess.Popen(
            [sys.executable, "-m", "gitguard", "--config", str(site.config), "admin", "store", "backup", str(target)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        time.sleep(hundredths / 100)
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 10
        while _lives(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)  # the process that would have named it ends with the command
        seen.add(target.exists())
        if target.exists():
            copy = sqlite3.connect(target)
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            copy.close()
        assert {path.name for path in folder.iterdir()} <= {f"{n}.db" for n in range(100)}
    assert False in seen, "none was killed in time"
    first = folder / "5.db"
    assert not first.exists()
    assert "wrote" in site.admin("store", "backup", str(first)).out, "the name is free"


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(params=["nameless", "named"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One that has files without a name, and one that has not, as NFS."""
    kind: str = request.param
    if kind == "named":
        real = os.open

        def without(path: str, flags: int, mode: int = 0o777) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "not here")
            return real(path, flags, mode)

        monkeypatch.setattr(os, "open", without)
    return kind


def test_a_new_file_stands_when_it_is_whole(tmp_path: Path, file_system: str) -> None:
    """Not before it is kept, then under its name alone; given up, it leaves nothing."""
    new = NewFile(str(tmp_path / "copy"), ACCOUNT)
    os.write(new.handle, b"whole")
    assert not (tmp_path / "copy").exists()
    new.keep()
    new.close()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("copy", b"whole")]
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    other = NewFile(str(tmp_path / "other"), ACCOUNT)
    os.write(other.handle, b"half")
    other.close()
    assert not (tmp_path / "other").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["copy"], file_system


def test_a_name_that_was_taken_meanwhile(tmp_path: Path, file_system: str) -> None:
    """Someone else's file under the name, before or meanwhile: refused by name, and theirs stays as it is."""
    theirs = tmp_path / "copy"
    new = NewFile(str(theirs), ACCOUNT)
    theirs.write_text("theirs")
    with pytest.raises(Refusal, match="is there already"):
        new.keep()
    new.close()
    with pytest.raises(Refusal, match="is there already"):
        NewFile(str(theirs), ACCOUNT)
    assert theirs.read_text() == "theirs"
    assert len(list(tmp_path.iterdir())) == 1, file_system


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_root_writes_into_a_folder_of_the_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the account's rights, from a folder that the account may not enter: kept under its name, the
    account's, and nothing beside.
    """
    monkeypatch.chdir(tmp_path)
    with tempfile.TemporaryDirectory() as made:  # the way to pytest's own folders is root's alone
        folder = Path(made)
        shutil.chown(folder, "nobody")
        new = NewFile(str(folder / "copy"), "nobody")
        os.write(new.handle, b"whole")
        new.keep()
        new.close()
        assert [path.name for path in folder.iterdir()] == ["copy"]
        assert (folder / "copy").owner() == "nobody"
        NewFile(str(folder / "other"), "nobody").close()
        assert [path.name for path in folder.iterdir()] == ["copy"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The message names the path that was typed."""
    with pytest.raises(Refusal, match=r"cannot write .*/gone/copy: No such file"):
        NewFile(str(tmp_path / "gone" / "copy"), ACCOUNT)


def backed_up(site: Direct) -> Path:
    """A backup of the store."""
    backup = site.folder / "backup.db"
    site.admin("store", "backup", str(backup))
    return backup


def key_file(site: Direct) -> Path:
    """Where secrets' keys lie."""
    return next(site.home.rglob("secret.keys"))


def test_a_restore_without_its_key_file_changes_nothing(site: Direct) -> None:
    """Looked at first: the line says what is missing and where it belongs; everyone is still verified."""
    backup, keys = backed_up(site), key_file(site)
    kept = keys.read_bytes()
    keys.unlink()
    done = site.admin("store", "restore", str(backup), "--yes", status=2)
    assert f"{backup} opens nothing, and nothing was changed" in done.err
    assert f"put the key file that belongs to it at {keys} first" in done.err
    keys.write_bytes(kept)
    keys.chmod(0o600)
    site.ssh(site.people["alice"], "2fa status --check", status=0)


def test_a_restore_with_another_key_file_changes_nothing(site: Direct) -> None:
    """As on a new machine, where `init` has made a new one: refused with the count, unless it is
    said that the right one is lost.
    """
    bob = site.new_user("bob")
    backup, keys = backed_up(site), key_file(site)
    kept = keys.read_bytes()
    keys.unlink()
    keyring.create(str(keys))
    done = site.admin("store", "restore", str(backup), "--yes", status=2)
    assert (
        f"{keys} is not the key file of {backup}: it decrypts 0 of 2 secrets; nothing was changed" in done.err
    )
    assert "--key-file-lost" in done.err
    site.ssh(bob, "2fa status --check", status=0)
    done = site.admin("store", "restore", str(backup), "--yes", "--key-file-lost")
    assert "2 second factors did not decrypt and went" in done.out
    assert "gitguard admin user invite --all" in done.out
    assert "not enrolled" in site.admin("user", "list").out
    assert site.admin("audit", "verify").status == 0
    assert kept != keys.read_bytes()


def test_a_restore_from_a_pipe(site: Direct) -> None:
    """A compressed backup goes straight in; without `--yes` there is nobody to ask."""
    backup = backed_up(site)
    command = f"{sys.executable} -m gitguard --config {site.config} admin store restore -"
    done = subprocess.run(["sh", "-c", f"{command} < {backup}"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    done = subprocess.run(
        ["sh", "-c", f"gzip -c {backup} | gzip -dc | {command} --yes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "restored" in done.stdout


def test_what_was_there_before_a_restore_is_kept_whole(site: Direct) -> None:
    """Also what stood in the log beside the store, which a copy of the file alone would lack."""
    backup = backed_up(site)
    holder = sqlite3.connect(site.store)  # holds the log open, so that nothing is moved out of it
    holder.execute("SELECT count(*) FROM users").fetchone()
    site.add_user("late")
    site.admin("store", "restore", str(backup), "--yes")
    holder.close()
    before = sqlite3.connect(f"{site.store}.before-restore")
    assert before.execute("SELECT count(*) FROM users WHERE name = 'late'").fetchone() == (1,)
    before.close()
