"""What did not work in life: key lines with limits, odd comments, lost stores, typos at night."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.meddling import meddle
from lab.server import Direct, Person

pytestmark = pytest.mark.slow


def adopt(site: Direct, person: Person, user: str, *words: str, status: int = 0) -> str:
    """`key adopt` of one line; everything it said."""
    mapping = site.folder / "map"
    mapping.write_text(f"{person.fingerprint} {user}\n")
    return site.admin("key", "adopt", *words, str(mapping), status=status).text


def test_adopting_keeps_what_limits_a_key(site: Direct) -> None:
    """From, expiry and program stay through every rewrite; the file as it was is
    kept; a dry run says the same.
    """
    key = site.new_key("carol")
    limits = 'from="192.0.2.0/24",expiry-time="20300101"'
    line = f'{limits},command="/bin/true carol",no-pty {key.public_line}'
    site.key_file.write_text(line)
    assert "kept: " + limits in adopt(site, key, "carol", "--add-users", "--dry-run")
    assert site.key_file.read_text() == line
    assert "gated" in adopt(site, key, "carol", "--add-users")
    assert Path(f"{site.key_file}.before-gitguard").read_text() == line
    for change in (
        ("user", "add", "erin", "--key", f"{site.new_key('erin').key}.pub"),
        ("user", "suspend", "erin"),
    ):
        site.admin(*change)
    site.raw_admin("init", "--home", str(site.home))
    text = site.key_file.read_text()
    assert limits in text
    assert f"--user carol --key {key.fingerprint} -- /bin/true carol" in text
    assert "/bin/true" in site.admin("export").out


@pytest.mark.parametrize(
    "options", ["cert-authority", 'environment="A=b"', 'command="a; b"', "no-touch-required", "strange"]
)
def test_what_cannot_be_kept_changes_nothing(site: Direct, options: str) -> None:
    """The line is refused and named, dry or not, exit 2, and the file and the store are as they were."""
    key, other = site.new_key("carol"), site.new_key("dave")
    site.key_file.write_text(f"{options} {key.public_line}{other.public_line}")
    before = site.key_file.read_bytes()
    mapping = site.folder / "map"
    mapping.write_text(f"{other.fingerprint} dave\n{key.fingerprint} carol\n")
    for words in (("--dry-run",), ()):
        done = site.admin("key", "adopt", "--add-users", *words, str(mapping), status=2)
        assert "line 2 of the map" in done.err
        assert "nothing was changed" in done.err
    assert site.key_file.read_bytes() == before
    assert json.loads(site.admin("user", "list", "--json").out) == []


@pytest.mark.parametrize(
    "comment",
    [
        "# gitguard end",
        "# gitguard begin: this block is written by `gitguard admin`; edits are lost",
        "schlüssel von zoë",
        "\\n",
    ],
)
def test_comments_are_data(site: Direct, comment: str) -> None:
    """ATTACK: a comment that holds our own mark. EXPECTED: it is a comment, and keys come and go as ever."""
    key = site.new_key("alice")
    Path(f"{key.key}.pub").write_text(" ".join(key.public_line.split()[:2]) + f" {comment}\n")
    site.admin("user", "add", "alice", "--key", f"{key.key}.pub")
    assert comment in site.key_file.read_text()
    assert "hello alice" in site.ssh(key, status=0).out
    site.admin("key", "remove", key.fingerprint)
    assert key.fingerprint not in site.key_file.read_text()


def test_a_commented_line_lets_nobody_in(site: Direct) -> None:
    """A key in a comment can be added."""
    key = site.new_key("alice")
    site.key_file.write_text(site.key_file.read_text() + "# old: " + key.public_line)
    site.admin("user", "add", "alice", "--key", f"{key.key}.pub")
    assert "# old: " in site.key_file.read_text()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_keys_as_windows_saves_them(site: Direct, encoding: str) -> None:
    """A byte-order mark and UTF-16 are read; other formats are refused with
    the command that converts them.
    """
    key = site.new_key("alice")
    path = Path(f"{key.key}.pub")
    path.write_bytes(key.public_line.replace("\n", "\r\n").encode(encoding))
    site.admin("user", "add", "alice", "--key", str(path))
    path.write_text("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n")
    assert f"ssh-keygen -i -f {path}" in site.admin("key", "add", "alice", str(path), status=2).err
    path.write_text("PuTTY-User-Key-File-3: ssh-ed25519\n")
    assert f"puttygen {path} -O public-openssh" in site.admin("key", "add", "alice", str(path), status=2).err


def test_a_lost_store_is_not_a_new_one(site: Direct) -> None:
    """Init refuses to begin again beside secrets and key lines, unless told; and the block
    is copied before it shrinks.
    """
    site.add_user("alice")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{site.store}{suffix}").unlink(missing_ok=True)
    before = site.key_file.read_bytes()
    done = site.raw_admin("init", "--home", str(site.home), status=40)
    assert "1 key line" in done.err
    assert "--new-store" in done.err
    assert site.key_file.read_bytes() == before
    site.raw_admin("init", "--home", str(site.home), "--new-store")
    assert Path(f"{site.key_file}.previous").read_bytes() == before


def test_a_floor_is_only_tightened(site: Direct) -> None:
    """ATTACK: a repository's admin undoes what the server's admin required.
    EXPECTED: refused; tightening works.
    """
    alice = site.new_user("alice")
    site.new_repository("app", "push", "alice")
    site.admin("repo", "lifetime", "app", "1h")
    for words in ("require app none", "lifetime app default", "lifetime app 2h"):
        assert "[forbidden]" in site.ssh(alice, f"2fa repo {words}", status=14).err
    assert "now requires all" in site.ssh(alice, "2fa repo require app all", status=0).out
    assert (
        "the server requires at least: push, lifetime 1h"
        in site.ssh(alice, "2fa repo show app", status=0).out
    )
    trail = site.admin("audit", "show", "--event", "toggle-set").out.count("toggle-set")
    assert "already" in site.ssh(alice, "2fa repo require app all", status=0).out
    assert site.admin("audit", "show", "--event", "toggle-set").out.count("toggle-set") == trail


def test_the_log_needs_the_log_alone(site: Direct) -> None:
    """With a typo in the configuration and the store gone, the first command of the night still answers."""
    alice = site.new_user("alice")
    site.admin("repo", "create", "app")
    site.ssh(alice, "git-upload-pack 'app'", stdin="0000")
    site.config.write_text(site.config.read_text() + "\n[gti]\n")
    site.store.unlink()
    assert "alice  read app: allowed" in site.admin("log").out
    found = json.loads(site.admin("doctor", "--json", status=1).out)["findings"]
    assert any(f["name"] == "configuration" and f["remedy"] for f in found)


def test_rotations_are_read(site: Direct) -> None:
    """Plain and compressed ones, in time's order."""
    alice = site.new_user("alice")
    site.admin("repo", "create", "app")
    site.ssh(alice, "git-upload-pack 'app'", stdin="0000")
    first = site.log()[0]["id"]
    with gzip.open(f"{site.access_log}.2.gz", "wb") as old:
        old.write(site.access_log.read_bytes())
    site.access_log.unlink()
    site.ssh(alice, "git-upload-pack 'app'", stdin="0000")
    shown = site.admin("log", str(first)).out
    assert f"from 127.0.0.1 with {alice.fingerprint}  id {first}" in shown
    assert "x2 since" in site.admin("log").out


def test_editing_the_configuration(site: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a fault does not get in place; what is right is in use at once."""
    before = site.config.read_bytes()
    monkeypatch.setenv("EDITOR", "sed -i s/opt-in/optin/")
    done = site.admin("config", "edit", status=30, stdin="n\n")
    assert "did you mean 'opt-in'?" in done.err
    assert site.config.read_bytes() == before
    monkeypatch.setenv("EDITOR", "sed -i s/opt-in/enforced/")
    assert "in use from the next request on" in site.admin("config", "edit").out
    assert b"enforced" in site.config.read_bytes()


def test_accepted_faults_stay_accepted(site: Direct) -> None:
    """After `audit accept` verify and doctor do not fail for ever; a new fault is said again."""
    site.add_user("alice")
    meddle(site.store, "UPDATE audit SET record = replace(record, 'alice', 'mallory') WHERE seq = 1")
    site.admin("audit", "verify", status=1)
    site.admin("audit", "accept", "--reason", "looked into it")
    site.admin("audit", "verify")
    site.admin("user", "suspend", "alice")
    site.admin("audit", "verify")
    meddle(site.store, "UPDATE audit SET record = replace(record, 'mallory', 'eve') WHERE seq = 1")
    assert "record 1 was changed" in site.admin("audit", "verify", status=1).out


def test_people_come_back_and_come_in_bulk(site: Direct) -> None:
    """A removed colleague returns; commands that are typed twice do no harm; invites for everyone."""
    key = site.new_key("alice")
    site.admin("user", "add", "alice", "--key", f"{key.key}.pub")
    assert (
        "is there already"
        in site.admin("user", "add", "alice", "--key", f"{key.key}.pub", "--if-missing").out
    )
    site.admin("user", "remove", "alice", "--yes")
    assert "2fa enroll INV-" in site.admin("user", "restore", "alice").out
    site.admin("user", "add", "bob")
    assert site.admin("user", "invite", "--all").out.count("2fa enroll INV-") == 2
    site.admin("repo", "create", "app")
    assert "is there already" in site.admin("repo", "create", "app", "--if-missing").out


def test_no_address_is_said_at_once(site: Direct) -> None:
    """Sshd over a pipe tells no address; no verification can count, and the first refusal says so."""
    alice = site.new_user("alice")
    site.new_repository("app", "push")
    done = site.ssh(alice, "git-receive-pack 'app'", host="UNKNOWN", status=10)
    assert "sessions here are bound to the client's address, and sshd names none" in done.out


def test_tuning_is_not_our_business(site: Direct) -> None:
    """MALLOC_ARENA_MAX stops nobody; what loads code is refused with where it may come from."""
    alice = site.new_user("alice")
    command = site.ssh_command(alice, "2fa status")
    place = command.index("-i") + 1
    fine = [*command[:place], "MALLOC_ARENA_MAX=2", *command[place:]]
    assert subprocess.run(fine, capture_output=True, check=False).returncode == 0
    bad = [*command[:place], "BASH_ENV=/x", *command[place:]]
    done = subprocess.run(bad, capture_output=True, check=False)
    assert done.returncode == 30
    assert "/etc/environment" in str(site.log()[-1]["because"])


def test_removing_names_nothing_before_the_code(site: Direct) -> None:
    """ATTACK: the key alone, asking `2fa remove` for the names of protected repositories.
    EXPECTED: numbers, no names.
    """
    alice = site.new_user("alice")
    site.new_repository("secret-project", "all")
    done = site.ssh(alice, "2fa remove", stdin="000000\n", status=12)
    assert "secret-project" not in done.text
    assert "you cannot read 1 repository" in done.err
    site.clear_watermark(alice)
    done = site.ssh(alice, "2fa remove", stdin=site.fresh_code(alice) + "\n", status=0)
    assert "secret-project" in done.out


def test_the_qr_code_fits_an_ordinary_terminal(site: Direct) -> None:
    """From its first row to the prompt at most 24 lines of at most 80 columns, the prompt right below."""
    bob = site.add_user("bob")
    done = site.ssh(bob, f"2fa enroll {bob.invite}", stdin="x\n")
    rows = [line for line in done.out.splitlines() if "\u2580" in line]
    assert 0 < len(rows) + 1 <= 24
    assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", row)) <= 80 for row in rows)
    assert done.out.rstrip().endswith("\x1b[0m"), "nothing stands between the code and the prompt"


def test_a_configuration_that_names_another_account(tmp_path: Path) -> None:
    """ATTACK: the account's own configuration names root. EXPECTED: root does not act on it."""
    if os.geteuid() != 0:
        pytest.skip("only root can be led astray")
    site = Direct(tmp_path / "server")
    site.install()
    shutil.chown(site.config, 65533, 65533)
    assert "it must belong to root or to" in site.admin("user", "list", status=30).err
