"""What an interrupted, misled or silenced admin met in review; each was open once."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import time
from pathlib import Path

import pyotp
import pytest

from gitguard.doctor import code, sshd
from gitguard.doctor.dependencies import leaning_findings
from gitguard.doctor.git_account import shell_findings
from gitguard.doctor.reach import Reach
from gitguard.factor import keyring
from gitguard.host import key_file
from gitguard.store import chain
from gitguard.store.sqlite import SqliteStore, create
from lab.meddling import meddle, rows
from lab.server import Direct, Person, enroll, run
from tests.cli.asking_doctor import doctor

pytestmark = pytest.mark.e2e


@pytest.fixture
def site(tmp_path: Path) -> Direct:
    """An installation with alice enrolled and a repository that requires 2FA."""
    server = Direct(tmp_path / "site")
    server.install()
    server.prepare_sshd()
    server.new_user("alice")
    server.new_repository("app", "push", "alice")
    return server


@pytest.mark.parametrize("kind", ["empty", "foreign", "damaged", "edited"])
def test_restore_takes_only_a_whole_store(site: Direct, kind: str) -> None:
    """ATTACK on an admin at night: the backup was made on a full disk, is another database, or was changed.
    EXPECTED: refused, the live store stays.
    """
    backup = site.folder / "backup.db"
    site.admin("store", "backup", str(backup))
    if kind == "empty":
        backup.write_bytes(b"")
    elif kind == "foreign":
        backup.unlink()
        meddle(backup, "CREATE TABLE x (y)")
    elif kind == "damaged":
        data = bytearray(backup.read_bytes())
        data[2 * 4096 : 3 * 4096] = os.urandom(4096)
        backup.write_bytes(data)
    else:
        meddle(backup, "DELETE FROM audit WHERE seq = 2")
    done = site.admin("store", "restore", str(backup), "--yes", status=None)
    assert done.status in (2, 40), done.text
    site.ssh(site.people["alice"], "2fa status --check", status=0)
    assert "Traceback" not in done.err


def test_a_failed_backup_leaves_no_file(site: Direct) -> None:
    """Half a backup is none: nothing is left that a restore could take."""
    target = site.folder / "backup.db"
    command = (
        f"ulimit -f 8; exec {' '.join(GITGUARD_COMMAND)} --config {site.config} admin store backup {target}"
    )
    done = run(["sh", "-c", command], status=None)
    assert done.status == 40, done.text
    assert not target.exists()


GITGUARD_COMMAND = [os.sys.executable, "-m", "gitguard"]  # type: ignore[attr-defined]


def test_a_used_invite_does_not_come_back(site: Direct) -> None:
    """ATTACK: bob's key and his old invite, after a restore to before he used
    it. EXPECTED: invite-required.
    """
    bob = site.add_user("bob")
    backup = site.folder / "backup.db"
    site.admin("store", "backup", str(backup))
    site.enroll(bob)
    done = site.admin("store", "restore", str(backup), "--yes")
    assert "1 invite voided" in done.out
    assert Path(f"{site.store}.before-restore").stat().st_mode & 0o777 == 0o600
    assert enroll(site, bob, bob.invite)[0].status == 11


def test_a_restore_that_is_killed(site: Direct) -> None:
    """Killed at random instants: the old store or the new one, no false alarm, no copies left behind."""
    backup = site.folder / "backup.db"
    site.admin("store", "backup", str(backup))
    for tenths in range(2, 14):
        process = subprocess.Popen(
            [*GITGUARD_COMMAND, "--config", str(site.config), "admin", "store", "restore", str(backup), "--yes"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(tenths * 0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert site.admin("audit", "verify", status=None).status == 0, tenths
        assert "whole" in site.admin("store", "status").out
    site.admin("store", "restore", str(backup), "--yes")
    assert not list((site.home / "state").glob(".restore*"))


@pytest.mark.parametrize("line", ["{rsa} rsa-sha2", "{type} {blob}\0A comment", "{type} {blob}= odd padding"])
def test_lines_that_only_sshd_understands(site: Direct, line: str) -> None:
    """ATTACK: a key line that sshd takes and we do not. EXPECTED: adding that key is
    refused, and doctor is not silent.
    """
    mallory = site.new_key("mallory")
    words = mallory.key.with_suffix(".pub").read_text().split()
    if "rsa" in line.split(maxsplit=1)[0]:
        run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(site.folder / "rsa")])
        rsa = (site.folder / "rsa.pub").read_text().split()
        text, public = f"rsa-sha2-512 {rsa[1]} x\n", site.folder / "rsa.pub"
    else:
        text, public = (
            line.format(type=words[0], blob=words[1], rsa="") + "\n",
            mallory.key.with_suffix(".pub"),
        )
    with open(site.key_file, "a") as file:
        file.write(text)
    assert "stands ungated" in site.admin("user", "add", "mallory", "--key", str(public), status=2).err
    out = site.admin("doctor", "--quiet", "--sshd-config", str(site.folder / "sshd" / "config"), status=1).out
    assert "key-not-gated" in out or "key-line-unread" in out


@pytest.mark.parametrize(
    "options",
    [
        'restrict,command="{gate} --user alice --key {fingerprint}; id"',
        'restrict,port-forwarding,pty,command="{gate} --user alice --key {fingerprint}"',
        'restrict,command="{gate} --user bob --key {fingerprint}"',
    ],
)
def test_lines_that_begin_like_ours(site: Direct, options: str) -> None:
    """ATTACK: a line for a known key that only begins as gitguard writes it. EXPECTED: doctor names it."""
    alice: Person = site.people["alice"]
    public = alice.key.with_suffix(".pub").read_text()
    with open(site.key_file, "a") as file:
        file.write(
            options.format(gate=f"{site.home}/bin/gitguard-shell", fingerprint=alice.fingerprint)
            + " "
            + public
        )
    assert (
        "key-line-altered"
        in site.admin(
            "doctor", "--quiet", "--sshd-config", str(site.folder / "sshd" / "config"), status=1
        ).out
    )


@pytest.mark.parametrize(
    "match",
    [
        "Match Address 10.0.0.0/8\n    AcceptEnv *",
        "Match LocalPort 2222\n    ForceCommand /bin/true",
        "Match Host example.com\n    AuthorizedKeysFile /tmp/x",
    ],
)
def test_blocks_for_other_connections(site: Direct, match: str) -> None:
    """ATTACK on doctor: a block that `sshd -T` for loopback does not show. EXPECTED:
    named, also inside an Include.
    """
    assert "sshd-match" in doctor(site, sshd=SAFE_WITH + match + "\n", status=1)
    included = site.folder / "included"
    included.write_text(match + "\nMatch all\n")
    assert "sshd-match" in doctor(site, sshd=f"Include {included}\n" + SAFE_WITH, status=1)


SAFE_WITH = __import__("tests.cli.test_operations", fromlist=["SAFE"]).SAFE


def test_tokens_of_key_files() -> None:
    """%U is the uid, %% a percent sign; what is not known stays visible, and is a gap."""
    effective = sshd.Sshd(values={"authorizedkeysfile": ["/keys/%u /keys/%U %h/k /a%%b rel"]})
    assert sshd.key_files(effective, "/home/git", "git", 998) == [
        "/keys/git",
        "/keys/998",
        "/home/git/k",
        "/a%b",
        "/home/git/rel",
    ]
    strange = sshd.Sshd(values={"authorizedkeysfile": ["/keys/%k"]})
    assert "sshd-key-file" in {finding.name for finding in sshd.findings(strange, "snippet")}


def test_a_session_of_a_fast_clock(site: Direct) -> None:
    """ATTACK: a session from when the clock was ahead, of another boot. EXPECTED:
    gone once the clock is accepted.
    """
    meddle(site.store, "UPDATE sessions SET verified_at = verified_at + 3600, boot = 'other'")
    site.admin("store", "accept-clock", "--reason", "was ahead")
    assert rows(site.store, "SELECT count(*) FROM sessions") == [(0,)]


def test_a_rotation_during_an_enrolment(site: Direct) -> None:
    """The key is rotated while a QR code is on the screen: the confirmed factor works,
    and so does the next rotation.
    """
    bob = site.add_user("bob")
    process = subprocess.Popen(
        site.ssh_command(bob, f"2fa enroll {bob.invite} --qr none"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = b""
    while b"digits): " not in said:
        said += process.stdout.read(4096)
    site.admin("store", "rotate-key")

    found = re.search(rb"secret=([A-Z2-7]+)", said)
    assert found is not None
    bob.secret = found[1].decode()
    process.stdin.write(pyotp.TOTP(bob.secret).now().encode() + b"\n")
    process.stdin.close()
    assert b"is set up" in process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    site.clear_watermark(bob)
    site.verify(bob)
    site.admin("store", "rotate-key")
    text = site.admin("doctor", "--sshd-config", str(site.folder / "sshd" / "config"), status=None).out
    assert "ok    secrets: 2 secrets decrypt" in text
    meddle(site.store, "UPDATE factors SET cipher_key = 'gone' WHERE user_name = 'bob'")
    text = site.admin(
        "doctor", "--quiet", "--sshd-config", str(site.folder / "sshd" / "config"), status=1
    ).out
    assert "GAP   secrets: the secrets of 1 of 2 people do not decrypt: bob" in text


def test_a_deleted_tail_stays_visible(site: Direct) -> None:
    """ATTACK: delete the tail, then make an ordinary change so that the head is renewed. EXPECTED: the head
    stays as evidence, until an admin accepts.
    """
    meddle(site.store, "DELETE FROM audit WHERE seq > (SELECT max(seq) - 3 FROM audit)")
    for number in range(6):
        site.admin("repo", "require", "app", ("all", "push")[number % 2])
        assert "FAULT" in site.admin("audit", "verify", status=1).out
    site.admin("audit", "accept", "--reason", "looked into it")
    assert "the chain is whole" in site.admin("audit", "verify").out
    assert "looked into it" in site.admin("audit", "show", "--event", "audit-accepted").out
    assert "nothing to accept" in site.admin("audit", "accept", "--reason", "again").out


def test_a_removed_head_stays_visible(site: Direct) -> None:
    """ATTACK: remove the head outside, then change something. EXPECTED: still missing, still said."""
    head = site.home / "log" / "audit.head"
    head.unlink()
    site.admin("repo", "require", "app", "all")
    assert "head outside the store is missing" in site.admin("audit", "verify", status=1).out


def test_a_head_noted_by_a_restore_is_a_lag(tmp_path: Path) -> None:
    """A restore that was killed before it renewed the head is no tampering; its
    record names the head before.
    """
    path, head = str(tmp_path / "s.db"), chain.Head(str(tmp_path / "head"))

    create(path)
    store = SqliteStore(path, head.path)
    for number in range(3):
        with store.writing() as tx:
            tx.record("probe", number, "test")
    head.write(99, b"z" * 32)
    with store.writing() as tx:
        tx.record("store-restored", 5, "test", head_before=f"99 {(b'z' * 32).hex()}")
    with store.reading() as tx:
        checked = chain.check(tx.audit(), head.read())
        assert (checked.open_faults, checked.lag) == ([], 1)
        assert chain.check(tx.audit(), (98, b"z" * 32)).open_faults


def test_code_that_others_may_write(site: Direct, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ATTACK: a file of the package is writable by others: they own the gate. EXPECTED: doctor names it."""
    package = tmp_path / "copy"
    (package / "gitguard").mkdir(parents=True)
    (package / "gitguard" / "x.py").write_text("")
    monkeypatch.setattr(code, "PACKAGE", str(package))
    before = [finding.level for finding in leaning_findings(code.code_leans(), Reach(os.geteuid()))]
    (package / "gitguard" / "x.py").chmod(0o666)
    found = leaning_findings(code.code_leans(), Reach(os.geteuid()))
    after = [finding.what for finding in found if finding.level == "gap"]
    assert any("x.py" in what for what in after), (before, after)


@pytest.mark.parametrize("name", ["bash", "bash-static", "zsh5", "ksh93", "fish"])
def test_shells_that_are_not_known_to_be_plain(tmp_path: Path, name: str) -> None:
    """An allow-list: a shell that doctor does not know is a gap."""
    shell = tmp_path / name
    shell.write_text("#!/bin/sh\n")
    shell.chmod(0o755)
    entry = pwd.struct_passwd(("git", "*", 998, 998, "", "/home/git", str(shell)))
    assert [finding.level for finding in shell_findings(entry, "/nowhere", "gate")] == ["gap"]
    plain = pwd.struct_passwd(("git", "*", 998, 998, "", "/home/git", "/bin/dash"))
    assert [finding.level for finding in shell_findings(plain, "/nowhere", "gate")] == ["ok"]


def test_an_interrupted_init(tmp_path: Path) -> None:
    """A key file is whole or not there, so init can be run again."""
    path = tmp_path / "secret.keys"
    keyring.create(str(path))
    assert keyring.read(str(path)).newest
    with pytest.raises(FileExistsError):
        keyring.create(str(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret.keys"]


def test_a_rename_that_was_killed(site: Direct) -> None:
    """Between the move and the transaction: adopting does not drop admins and
    lifetime; renaming again converges.
    """
    site.admin("repo", "require", "app", "none")
    site.admin("repo", "lifetime", "app", "5m")
    site.directory("app").rename(site.directory("moved"))
    assert "are missing on disk" in site.admin("repo", "adopt", "moved", status=2).err
    site.admin("repo", "create", "brand-new")  # which can be no moved one
    site.admin("repo", "rename", "app", "moved")
    assert "lifetime 5m" in site.admin("repo", "show", "moved").out


def test_no_oracle_by_case(site: Direct) -> None:
    """ATTACK: behind a downstream program, `APP` and `nope` without a session. EXPECTED: the same answer."""
    show = site.folder / "show"
    show.write_text("#!/bin/sh\necho ran\n")
    show.chmod(0o755)
    alice = site.people["alice"]
    site.ssh(alice, "2fa leave", status=0)
    site.admin("repo", "require", "app", "all")
    command = [*site.ssh_command(alice, "git-upload-pack 'APP'"), "--", str(show)]
    twin = run(command, status=None)
    other = run([word.replace("APP", "nope") for word in command], status=None)
    assert (twin.status, other.status) == (10, 10)
    site.clear_watermark(alice)
    site.verify(alice)
    assert run(command, status=None).status == 21
    assert "ran" in run([word.replace("APP", "nope") for word in command], status=None).out


def test_what_is_not_understood_is_listed(tmp_path: Path) -> None:
    """No line of the key file is passed over in silence."""
    path = tmp_path / "authorized_keys"
    path.write_text("# a comment\n\nwhat is this\nssh-ed25519 notbase64!\n")
    assert [line.fingerprint for line in key_file.foreign_lines(str(path))] == ["", ""]
