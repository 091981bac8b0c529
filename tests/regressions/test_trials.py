"""What first trials on real servers showed, each row by its letter and number: the
rest of them, small and hard.
"""

from __future__ import annotations

import email
import email.policy
import getpass
import grp
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitguard.action import keys
from gitguard.decision.still import is_waiting
from gitguard.host.connections import GATE, GateProcess
from gitguard.host.key_file import foreign_lines
from gitguard.session.credential import NONE
from lab.faults import CAN_MOUNT
from lab.meddling import meddle
from lab.server import Direct, Done, Server, run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


# -- doctor and installing ----------------------------------------------------------------------------


def test_people_who_are_not_enrolled_are_a_note(site: Direct) -> None:
    """A nightly job does not mail for ever because someone has not set up yet."""
    site.add_user("alice")
    site.new_repository("app", "push")
    findings = json.loads(site.admin("doctor", "--json", status=None).out)["findings"]
    about = [f for f in findings if f["name"] == "not-enrolled"]
    assert about
    assert {f["level"] for f in about} == {"note"}


def test_mending_voids_no_invite_that_is_on_its_way(site: Direct) -> None:
    """Alice was invited a second ago, bob's invite expired: the line names bob alone, and for alice by
    herself says that hers is open.
    """

    def remedy() -> str:
        findings = json.loads(site.admin("doctor", "--json", status=None).out)["findings"]
        return str(next(f["remedy"] for f in findings if f["name"] == "not-enrolled"))

    alice = site.add_user("alice")
    site.new_repository("app", "push")
    assert "each of them has an open invite" in remedy()
    bob = site.add_user("bob")
    meddle(site.store, "UPDATE invites SET expires_at = 1 WHERE user_name = 'bob'")
    assert remedy().endswith("gitguard admin user invite bob")
    meddle(site.store, "DELETE FROM invites")
    assert remedy().endswith("gitguard admin user invite --all")
    assert alice.invite
    assert bob.invite


def test_what_a_killed_command_left_is_named(site: Direct) -> None:
    """Half a copy of the store, an hour old: named with its path, and gone by the line that mends it."""
    left = site.store.parent / ".backup-abc"
    left.mkdir()
    (left / "copy").write_bytes(b"half")
    os.utime(left, (1, 1))
    said = site.admin("doctor", status=None).out
    assert f"left-over: commands that were killed left {left}" in said
    site.admin("session", "sweep")
    assert not left.exists()
    assert "left-over" not in site.admin("doctor", status=None).out


def test_the_mail_that_notices_send_is_a_mail(tmp_path: Path) -> None:
    """It has a date, says what it is encoded in, has no line that a mail server
    cuts, and a header is one line.
    """
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f"#!/bin/sh\ncat > {tmp_path}/mail\n")
    sendmail.chmod(0o755)
    notice = {"server": "git\nBcc: x", "event": "emergency", "text": "Gr\u00fc\u00dfe " * 300}
    run(
        ["sh", str(ROOT / "etc/notify/mail"), "admins@example.com"],
        stdin=json.dumps(notice),
        env={"PATH": os.environ["PATH"], "SENDMAIL": str(sendmail)},
    )
    raw = (tmp_path / "mail").read_bytes()
    raw.decode("ascii")
    assert max(len(line) for line in raw.splitlines()) <= 78
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["MIME-Version"] == "1.0"
    assert mail["Date"]
    assert mail["Bcc"] is None
    assert "Gr\u00fc\u00dfe" in mail.get_content()


@pytest.mark.skipif(not CAN_MOUNT, reason="needs a mount of its own")
def test_a_file_system_that_runs_nothing(site: Direct) -> None:
    """On noexec, `chmod +x` is the wrong advice: the mount is named."""
    run(["mount", "-t", "tmpfs", "-o", "noexec,mode=755", "none", str(site.repositories)])
    try:
        run(["git", "init", "-q", "--bare", "--template=", str(site.directory("app"))])
        said = site.admin("repo", "adopt", "app", status=None).text + site.admin("repo", "list").out
        assert "mounted noexec" in said
        assert "chmod +x" not in said
    finally:
        run(["umount", str(site.repositories)])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mark a folder immutable")
def test_a_folder_that_cannot_be_written_is_named(site: Direct) -> None:
    """The key file's folder, and not the file, is what is to be mended."""
    folder = site.key_file.parent
    person = site.new_key("bob")
    if subprocess.run(["chattr", "+i", str(folder)], check=False, capture_output=True).returncode != 0:
        pytest.skip("this file system knows no immutable folders")
    try:
        said = site.admin("user", "add", "bob", "--key", f"{person.key}.pub", status=40).err
    finally:
        run(["chattr", "-i", str(folder)])
    assert f"cannot write in the folder {folder}" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="--drop-in and --timers are root's")
@pytest.mark.parametrize("flag", ["--drop-in", "--timers"])
def test_roots_own_files_are_not_written_from_somebody_elses_configuration(tmp_path: Path, flag: str) -> None:
    """The account could have written the snippet that root would copy."""
    home = tmp_path / "theirs"
    server = Direct(home)
    server.install()
    os.chown(server.home, 65534, 65534)
    os.chown(server.config, 65534, 65534)
    try:
        done = server.raw_admin("init", "--home", str(server.home), flag, status=None)
    finally:
        os.chown(server.home, 0, 0)
        os.chown(server.config, 0, 0)
    assert done.status != 0
    assert not Path("/etc/ssh/sshd_config.d/00-gitguard.conf").exists()
    assert not Path("/etc/cron.d/gitguard").exists()


# -- words --------------------------------------------------------------------------------------------


def test_an_admins_own_words_keep_their_letters(site: Direct) -> None:
    """The help line in a refusal, and a reason in the trail, in people's own language."""
    alice = site.add_user("alice")
    site.configure(help={"line": "Hilfe: büro@beispiel.de, Łódź, 手伝い"})
    site.new_repository("app", "push")
    assert "Hilfe: büro@beispiel.de, Łódź, 手伝い" in site.ssh(alice, "git-receive-pack 'app'").text
    site.admin("user", "suspend", "alice", "--reason", "Gerät gestohlen, ß")
    assert "Gerät gestohlen, ß" in site.admin("audit", "show", "--user", "alice").out


@pytest.mark.parametrize(
    "program", ["/usr/bin/git-upload-pack", "/usr/local/bin/git-receive-pack", "git  upload-pack"]
)
def test_a_remotes_own_program_is_refused_in_gits_protocol(site: Direct, program: str) -> None:
    """`remote.X.uploadpack` with a path: Git prints our words, and guesses nothing about access rights."""
    alice = site.add_user("alice")
    done = site.ssh(alice, f"{program} 'app'")
    assert re.match(r"[0-9a-f]{4}ERR gitguard: ", done.out), done.text
    assert done.status != 0


@pytest.mark.parametrize("verb", ["git-lfs-authenticate app download", "git-lfs-transfer app upload"])
def test_lfs_goes_on_over_http(site: Direct, verb: str) -> None:
    """Newer git-lfs looks for `not found` and then asks over HTTP."""
    site.admin("repo", "create", "app")
    alice = site.add_user("alice")
    said = site.ssh(alice, verb)
    assert "not found" in said.text
    assert "[unknown-command]" in said.text


@pytest.mark.parametrize("hidden", ["\u00a0", "\ufeff", "\t", "\u200b", "\u202a"])
def test_something_invisible_in_a_code_is_named(site: Direct, hidden: str) -> None:
    """Pasted text brings what nobody sees; it is not-a-code, and the character is named."""
    alice = site.new_user("alice")
    site.clear_watermark(alice)
    code = site.fresh_code(alice)
    done = site.ssh(alice, "2fa verify", stdin=f"{code[:3]}{hidden}{code[3:]}\n")
    assert done.status == 12, done.text
    assert f"U+{ord(hidden):04X}" in done.err


def test_later_hooks_are_told_what_is_documented() -> None:
    """Every GITGUARD_ variable that the gate sets for others stands in the reference."""
    page = (ROOT / "docs" / "reference.md").read_text()
    source = (ROOT / "gitguard" / "answer" / "git_process.py").read_text()
    own = {"GITGUARD_STATE", "GITGUARD_PID"}  # for our own processes; not promised to anyone
    named = set(re.findall(r'"(GITGUARD_[A-Z]+)"', source)) - own
    assert len(named) >= 7
    assert not [name for name in named if f"`{name}`" not in page]


def test_what_a_polling_key_does_to_its_neighbours_is_said() -> None:
    """Git-shell's own commands end; a removed key draws sshd's penalties on everyone behind its address."""
    page = (ROOT / "docs" / "operations.md").read_text()
    assert "PerSourcePenalties" in page
    assert "git-shell-commands" in page


# -- keys ---------------------------------------------------------------------------------------------


def test_a_key_in_a_second_file_is_not_adopted(site: Direct, tmp_path: Path) -> None:
    """Gitguard does not write that file, so the line would stay ungated there: it is to be moved first."""
    person = site.new_key("carol")
    second = tmp_path / "authorized_keys2"
    second.write_text(person.public_line)
    lines = foreign_lines(str(second))
    answer = keys._taken(lines, "carol", "/gate", 0, (), str(site.key_file))
    assert isinstance(answer, str)
    assert str(second) in answer


def test_one_key_with_two_meanings_is_not_adopted(site: Direct) -> None:
    """Two lines of a key with different options, or two commands in one line:
    which would count is not guessed.
    """
    person = site.new_key("carol")
    mapping = site.folder / "map"
    mapping.write_text(f"{person.fingerprint} carol\n")
    for text in (
        f'no-pty {person.public_line}from="192.0.2.1" {person.public_line}',
        f'command="/bin/a",command="/bin/b" {person.public_line}',
    ):
        site.key_file.write_text(text)
        said = site.admin("key", "adopt", "--add-users", str(mapping), status=2).err
        assert "nothing was changed" in said
        assert site.key_file.read_text() == text


def test_a_stored_key_keeps_its_limits_when_its_line_says_other(site: Direct) -> None:
    """A line pasted again without its `from`: adopting it would widen the key that the store limits."""
    person = site.new_key("carol")
    mapping = site.folder / "map"
    mapping.write_text(f"{person.fingerprint} carol\n")
    site.key_file.write_text(f'from="192.0.2.0/24" {person.public_line}')
    site.admin("key", "adopt", "--add-users", str(mapping))
    with open(site.key_file, "a") as file:
        file.write(person.public_line)
    said = site.admin("key", "adopt", str(mapping), status=2).err
    assert "is stored already with other limits" in said
    assert 'from="192.0.2.0/24"' in site.key_file.read_text()


# -- running things -----------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["2fa enroll", "'2fa' 'enroll'", "'2fa' enroll", "2fa_verify"])
def test_what_waits_at_a_prompt_is_known_however_it_is_quoted(site: Direct, line: str) -> None:
    """Judged as the gate parses it, not by a look at the client's bytes."""
    del site
    assert is_waiting(GateProcess(1, 1, 1, GATE, "alice", NONE, line=line))
    assert not is_waiting(GateProcess(1, 1, 1, GATE, "alice", NONE, line=line.replace("2fa", "3fa")))


def test_a_code_that_comes_byte_by_byte(site: Direct) -> None:
    """A line dribbled in is one line: the time runs over all of it, and nothing is lost between the bytes."""
    alice = site.new_user("alice")
    site.clear_watermark(alice)
    process = subprocess.Popen(
        site.ssh_command(alice, "2fa verify"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None
    for character in site.fresh_code(alice) + "\n":
        process.stdin.write(character.encode())
        process.stdin.flush()
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"verified until" in said


def test_a_clones_own_variant_decides_nothing(server: Server) -> None:
    """`ssh.variant` in a clone's configuration would choose the options that our words are sent with."""
    alice = server.new_user("alice")
    server.admin("repo", "create", "app")
    tree = server.work_tree(alice, "app")
    run(["git", "-C", str(tree), "config", "ssh.variant", "tortoiseplink"])
    env = {**server.git_env(alice), "PYTHONPATH": str(ROOT)}
    done = run([sys.executable, "-m", "gitguard", "status"], cwd=tree, env=env, status=None)
    assert "alice" in done.text, done.text


# -- rotations ----------------------------------------------------------------------------------------


@pytest.mark.skipif(
    shutil.which("logrotate", path="/usr/sbin:/sbin:/usr/bin") is None,
    reason="logrotate is not here (make test installs it)",
)
def test_logrotate_with_the_file_that_we_ship(site: Direct) -> None:
    """After a real rotation what is open and what requires 2FA are both logged, and the
    log is read over both files.
    """
    alice = site.new_user("alice")
    for name, require in (("open", "none"), ("closed", "all")):
        site.new_repository(name, require)
    user, group = getpass.getuser(), grp.getgrgid(os.getegid()).gr_name
    text = (ROOT / "etc" / "logrotate.gitguard").read_text()
    text = text.replace("/var/log/gitguard/access.log", str(site.access_log)).replace(
        "git git", f"{user} {group}"
    )
    if os.geteuid() != 0:
        text = "\n".join(line for line in text.splitlines() if not line.strip().startswith("su "))
    stanza = site.folder / "logrotate"
    stanza.write_text(text + "\n")
    stanza.chmod(0o644)

    def reads() -> list[Done]:
        return [site.ssh(alice, f"git-upload-pack '{name}'", stdin="0000") for name in ("open", "closed")]

    reads()
    for _ in range(3):
        run(["/usr/sbin/logrotate", "-f", "-s", str(site.folder / "state"), str(stanza)])
        assert all(done.status == 0 for done in reads())
    assert list(site.access_log.parent.glob("access.log.*.gz"))
    text = site.admin("log", "--json").out
    assert len(json.loads(text)) == 8, "two before, two after each of three rotations"
    names = [
        f["name"]
        for f in json.loads(site.admin("doctor", "--json", status=None).out)["findings"]
        if f["level"] == "gap"
    ]
    assert "access" not in names
