"""What an admin reads and types at a bad moment: hints that can be pasted, faults that are all
said, nothing changed by a slip.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitguard.cli.admin.configuration import faults_of
from gitguard.machine.git_account import account_fault
from gitguard.machine.user_supplied_file import _is_own_way
from lab.server import Direct, Done, run

pytestmark = pytest.mark.slow


def edit(site: Direct, editor: str, *, stdin: str = "n\n", status: int | None = 0) -> Done:
    """`config edit` with this editor."""
    return run(
        [sys.executable, "-m", "gitguard", "--config", str(site.config), "admin", "config", "edit"],
        env={**os.environ, "EDITOR": editor, "VISUAL": ""},
        stdin=stdin,
        status=status,
    )


# -- hints --------------------------------------------------------------------------------------------


def test_hints_name_the_installation_that_they_are_about(site: Direct) -> None:
    """With --config, whatever is suggested carries it: refusals, findings, what init says is next, doctor."""
    named = f"GITGUARD_CONFIG={site.config} gitguard admin"
    said = site.raw_admin("init", "--home", str(site.home)).text
    assert f"{named} user add" in said
    assert "  gitguard admin" not in said
    site.add_user("alice")
    site.admin("user", "remove", "--yes", "alice")
    assert f"{named} user restore alice" in site.admin("user", "add", "alice", status=2).err
    site.directory("stranger").parent.mkdir(exist_ok=True)
    run(["git", "init", "-q", "--bare", str(site.directory("stranger"))])
    findings = json.loads(site.admin("doctor", "--json", status=None).out)["findings"]
    remedies = [finding["remedy"] for finding in findings if "gitguard" in finding["remedy"]]
    assert remedies
    assert all(remedy.count("gitguard admin") == remedy.count(named) for remedy in remedies)
    program = site.folder / "gitguard-program"
    program.mkdir()
    (program / "gitguard").write_text(f'#!/bin/sh\nexec {sys.executable} -m gitguard "$@"\n')
    (program / "gitguard").chmod(0o755)
    env = {**os.environ, "PATH": f"{program}:{os.environ['PATH']}"}
    assert "removed" in run(["sh", "-c", f"{named} user list"], env=env, status=0).out, "it can be pasted"


def test_names_in_hints_are_quoted_for_a_shell(site: Direct) -> None:
    """A repository called `a b` can be pasted back."""
    path = site.directory("a b")
    run(["git", "init", "-q", "--bare", str(path)])
    assert "repo adopt 'a b'" in site.admin("repo", "create", "a b", status=2).err
    site.admin("repo", "adopt", "a b")
    site.admin("repo", "forget", "a b")
    assert "repo adopt 'a b'" in site.admin("repo", "adopt", "--all").text


def test_help_is_a_word_too(site: Direct) -> None:
    """`gitguard help admin user add` is `gitguard admin user add --help`; an unknown word is said."""
    gitguard = [sys.executable, "-m", "gitguard"]
    told = run([*gitguard, "help", "admin", "user", "add"], status=0).out
    assert told == run([*gitguard, "admin", "user", "add", "--help"], status=0).out
    assert "Add a user" in told
    assert "no such command: admin nix" in run([*gitguard, "help", "admin", "nix"], status=2).err


# -- configuration ------------------------------------------------------------------------------------


def test_faults_of_both_kinds_are_said_at_once(site: Direct, tmp_path: Path) -> None:
    """An unknown key does not hide that a group is unknown; a group that has a
    fault is there all the same.
    """
    draft = tmp_path / "draft.toml"
    draft.write_text(
        '[git]\nenforcment = "off"\nadmins = ["@nobody", "@some"]\n[groups]\nsome = ["Not OK"]\n'
    )
    said = site.admin("config", "check", str(draft), status=30).out
    assert "line 2" in said
    assert "no group @nobody" in said
    assert "no group @some" not in said
    assert "3 faults" in said


def test_a_configuration_that_names_no_account_is_not_put_in_place(site: Direct) -> None:
    """`config edit` with a slip in [host] account would close all of Git: it is said with its line."""
    before = site.config.read_text()
    done = edit(site, "sed -i 's/^account = .*/account = \"nobody-such\"/'", status=30)
    assert "[host] account: no account 'nobody-such' on this machine" in done.err
    assert "line " in done.err
    assert site.config.read_text() == before
    draft = site.folder / "draft"
    draft.write_text(before.replace("account = ", 'account = "nobody-such" #'))
    facts = json.loads(site.admin("config", "check", "--json", str(draft), status=30).out)
    assert facts["faults"][0]["where"] == "[host] account"


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may name another account")
def test_another_account_that_would_not_own_the_state_is_a_fault(site: Direct) -> None:
    """It exists, and would find everything unreadable."""
    assert "would not own" in account_fault("nobody", str(site.home / "state"))
    text = site.config.read_bytes().replace(b'account = "root"', b'account = "nobody"')
    assert [fault.where for fault in faults_of(text, str(site.config))] == ["[host] account"]


@pytest.mark.parametrize(
    ("editor", "word"),
    [
        ("no-such-editor", "No such file"),
        ("false", "the editor exited 1"),
        ("vi 'half", "cannot be read"),
        ("rm", "cannot be read"),
        ("true", "nothing was changed"),
    ],
)
def test_whatever_the_editor_does_the_file_stays(site: Direct, editor: str, word: str) -> None:
    """No such editor, one that fails, a quoting fault, a draft that is gone, no change."""
    before = site.config.read_bytes()
    assert word in edit(site, editor, status=0 if editor == "true" else 2).text
    assert site.config.read_bytes() == before


def test_a_blank_editor_is_none(site: Direct) -> None:
    """`EDITOR=" "` means vi, not an internal error."""
    done = edit(site, " ", status=None)
    assert "internal-error" not in done.text


def test_nobody_overwrites_what_another_admin_changed_meanwhile(site: Direct) -> None:
    """Two editors at once: the later one is told, and the file stays."""
    script = site.folder / "editor"
    script.write_text(f'#!/bin/sh\necho "# other" >> {site.config}\necho "# mine" >> "$1"\n')
    script.chmod(0o755)
    assert "someone else changed" in edit(site, str(script), status=2).err
    assert "# other" in site.config.read_text()
    assert "# mine" not in site.config.read_text()


def test_a_configuration_that_is_not_there(site: Direct) -> None:
    """`config edit` says so, not that one may not write."""
    done = site.raw_admin("config", "check", "", status=2)
    assert "name a file" in done.err
    missing = run(
        [sys.executable, "-m", "gitguard", "--config", "/nowhere/x.toml", "admin", "config", "edit"], status=2
    )
    assert "no configuration at /nowhere/x.toml" in missing.err


def test_init_makes_nothing_for_wishes_that_cannot_be(tmp_path: Path) -> None:
    """A host name with a blank is refused before the first folder is made."""
    home = tmp_path / "new"
    words = ["admin", "init", "--home", str(home), "--host", "git example"]
    done = run([sys.executable, "-m", "gitguard", *words], status=2)
    assert "[host] name" in done.err
    assert "nothing was made" in done.err
    assert not home.exists()


# -- break-glass, reasons -----------------------------------------------------------------------------


def test_break_glass_leaves_the_commands_options_alone(site: Direct) -> None:
    """Without `--`, what stands behind the program is the program's; a mistyped option of ours is not run."""
    assert site.admin("break-glass", "--reason", "why", "echo", "-n", "--reason", "x").out == "--reason x"
    assert "No such option" in site.admin("break-glass", "--resaon", "why", "echo", status=2).err


@pytest.mark.parametrize(
    "words", [("audit", "accept"), ("store", "accept-clock"), ("session", "open", "alice", "--for", "1m")]
)
def test_an_empty_reason_is_none(site: Direct, words: tuple[str, ...]) -> None:
    """The trail is for people who ask why."""
    assert "say why" in site.admin(*words, "--reason", " ", status=2).err


# -- output that nobody takes -------------------------------------------------------------------------


def test_a_refusal_with_stdout_closed_is_a_refusal(site: Direct) -> None:
    """`>&-` is no reason for a traceback."""
    line = f"exec {sys.executable} -m gitguard --config {site.config} admin user show nobody >&-"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no user nobody" in done.stderr
    assert "Traceback" not in done.stderr


def test_output_that_cannot_be_written_is_said_as_that(site: Direct) -> None:
    """A full disk behind `>`: the change stands, and the message does not call it a fault of ours."""
    site.add_user("alice")
    with open("/dev/full", "w") as full:
        command = [
            sys.executable,
            "-m",
            "gitguard",
            "--config",
            str(site.config),
            "admin",
            "user",
            "suspend",
            "alice",
        ]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode != 0
    assert "what was asked for is done" in done.stderr
    assert "suspended" in site.admin("user", "show", "alice").out


# -- people, keys, repositories -----------------------------------------------------------------------


def test_a_name_given_twice_gets_one_invite(site: Direct) -> None:
    """The second would void the first, and both would be printed."""
    site.add_user("alice")
    site.add_user("bob")
    assert site.admin("user", "invite", "alice", "alice").out.count("enroll") == 1
    assert site.admin("user", "reset", "alice", "alice").out.count("enroll") == 1
    rows = [line.split("\t") for line in site.admin("user", "invite", "--all").out.splitlines()]
    assert [row[0] for row in rows] == ["alice", "bob"]
    assert all("2fa enroll " in row[1] for row in rows)


def test_an_ungated_key_that_is_to_be_removed_is_shown(site: Direct) -> None:
    """`key remove` cannot take away what gitguard did not write: it says file and
    line, as they stand in the file.
    """
    person = site.new_key("old")
    site.add_user("alice")
    with open(site.key_file, "a") as file:
        file.write("# a comment\n" + Path(f"{person.key}.pub").read_text())
    number = site.key_file.read_text().splitlines().index(Path(f"{person.key}.pub").read_text().strip()) + 1
    said = site.admin("key", "remove", person.fingerprint, status=2).err
    assert f"{site.key_file}, line {number}" in said


def test_a_damaged_block_names_its_lines(site: Direct) -> None:
    """Which lines the begin and end marks are in."""
    text = site.key_file.read_text()
    site.key_file.write_text(text + text)
    said = site.admin("key", "list", status=2).err
    assert "line 1, 2, 3, 4" in said


def test_the_map_shows_every_line_that_needs_a_hand(site: Direct) -> None:
    """Each line that is not understood, and each that adopt would refuse, with why; the
    rest can be adopted as it is.
    """
    good, odd = site.new_key("good"), site.new_key("odd")
    with open(site.key_file, "a") as file:
        file.write("what is this\nand this\n")
        file.write("cert-authority " + Path(f"{odd.key}.pub").read_text())
        file.write(Path(f"{good.key}.pub").read_text())
    mapping = site.admin("key", "list", "--map").out
    assert mapping.count("# not understood") == 2
    assert f"# {odd.fingerprint}" in mapping
    path = site.folder / "map"
    path.write_text(mapping)
    assert "gated " + good.fingerprint in site.admin("key", "adopt", "--add-users", str(path)).out
    again = site.admin("key", "adopt", str(path), status=2).err
    assert "is gated already, as a key of good" in again


def test_forgetting_what_is_gone_from_disk(site: Direct) -> None:
    """It does not say that the directory was left as it is."""
    site.admin("repo", "create", "app")
    shutil.rmtree(site.directory("app"))
    assert "was not there any more" in site.admin("repo", "forget", "app").out


def test_explain_invents_no_key(site: Direct) -> None:
    """A user without a key gets nowhere near the gate; an address that is none is refused."""
    site.admin("user", "add", "keyless")
    assert "keyless has no key" in site.admin("explain", "keyless", "x", "read", status=2).err
    site.add_user("alice")
    assert (
        "is not an IP address" in site.admin("explain", "alice", "x", "read", "--from", "here", status=2).err
    )


# -- store and log ------------------------------------------------------------------------------------


def test_a_store_that_cannot_be_opened_has_a_status(site: Direct) -> None:
    """Exit 1 and JSON, with the way out; not a bare refusal."""
    site.store.write_bytes(b"garbage" * 1000)
    facts = json.loads(site.admin("store", "status", "--json", status=1).out)
    assert facts["whole"] is False
    assert "store restore FILE" in site.admin("store", "status", status=1).out


def test_restoring_into_an_empty_place_names_no_file_that_is_not_there(site: Direct) -> None:
    """`.before-restore` is mentioned only where there was a store before; the question says what ends."""
    backup = site.folder / "backup.db"
    site.admin("store", "backup", str(backup))
    assert "a backup goes to a file" in site.admin("store", "backup", "-", status=2).err
    asked = site.admin("store", "restore", "--keep-recovery-codes", str(backup), stdin="n\n", status=2).err
    assert "recovery codes and" not in asked
    assert "before-restore" in site.admin("store", "restore", "--yes", str(backup)).out
    site.store.unlink()
    assert "before-restore" not in site.admin("store", "restore", "--yes", str(backup)).out


def test_the_log_can_be_read_when_only_rotations_are_there(site: Direct) -> None:
    """Between a rotation and the next request there is no file of the name; before
    the first there is none at all.
    """
    assert "begins with the first request" in site.admin("log").err
    alice = site.add_user("alice")
    site.ssh(alice, "nonsense")
    os.rename(site.access_log, f"{site.access_log}.1")
    assert "unknown-command" in site.admin("log").out
    copy = site.folder / "copy.log"
    shutil.copy(f"{site.access_log}.1", copy)
    elsewhere = [
        sys.executable,
        "-m",
        "gitguard",
        "--config",
        "/nowhere/x.toml",
        "admin",
        "log",
        "--file",
        str(copy),
    ]
    assert "unknown-command" in run(elsewhere, status=0).out


def test_a_head_that_is_no_head_is_said_in_words(site: Direct) -> None:
    """Not as Python's words about unpacking."""
    site.add_user("alice")
    (site.access_log.parent / "audit.head").write_text("nonsense\n")
    said = site.admin("audit", "verify", status=1).out
    assert "does not hold one line of a number and a hash" in said


def test_values_of_the_trail_are_single_words(site: Direct) -> None:
    """A reason that holds `user=mallory` does not look like another field."""
    site.add_user("alice")
    site.admin("user", "suspend", "alice", "--reason", "lost user=mallory")
    assert "reason='lost user=mallory'" in site.admin("audit", "show", "--event", "user-suspended").out


# -- root and files of others -------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could be misled")
def test_a_link_in_the_middle_of_a_chain_is_looked_at(tmp_path: Path) -> None:
    """A local account's link between two of root's own: root would follow it, so the
    file is read as the Git account.
    """
    theirs = Path(f"/tmp/gitguard-theirs-{os.getpid()}")
    mine = Path(f"/root/.gitguard-test-{os.getpid()}")
    theirs.mkdir()
    mine.mkdir()
    try:
        target = mine / "target"
        target.write_text("x")
        os.chown(theirs, 65534, 65534)
        middle = theirs / "middle"
        middle.symlink_to(target)
        first = mine / "first"
        first.symlink_to(middle)
        assert _is_own_way(str(target))
        assert not _is_own_way(str(middle))
        assert not _is_own_way(str(first))
        around = mine / "around"
        around.symlink_to(around)
        assert not _is_own_way(str(around))
        dots = mine / "dots"
        dots.symlink_to("../" + mine.name + "/target")
        assert _is_own_way(str(dots))
    finally:
        shutil.rmtree(theirs)
        shutil.rmtree(mine)


# -- completion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("gitguard ver", "verify"),
        ("gitguard admin user in", "invite"),
        ("gitguard admin repo adopt --d", "--dry-run"),
        ("gitguard repo re", "require"),
        ("git guard ver", "verify"),
        ("git guard repo sh", "show"),
    ],
)
def test_commands_are_completed(tmp_path: Path, typed: str, wanted: str) -> None:
    """In bash, for `gitguard` and, by git's own completion, for `git guard`."""
    program = tmp_path / "gitguard"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gitguard "$@"\n')
    program.chmod(0o755)
    words = typed.split()
    call = "_git_guard" if words[0] == "git" else "_gitguard_completion gitguard"
    script = (
        'eval "$(gitguard completion bash)"\n'
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; words=({typed}); cword={len(words) - 1}; COMPREPLY=()\n"
        f'{call}\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    env["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    done = run(["bash", "-c", script], env=env, status=0)
    assert wanted in done.out.split(), done.text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_own(shell: str) -> None:
    """And an unknown one is refused by name."""
    assert "_GITGUARD_COMPLETE" in run([sys.executable, "-m", "gitguard", "completion", shell]).out
    assert "csh" in run([sys.executable, "-m", "gitguard", "completion", "csh"], status=2).err


def test_where_something_broke_is_shown_to_the_admin_who_asks(
    site: Direct, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the switch one line with the place; with it the whole way there. Over
    SSH there is no such switch.
    """
    words = ("--config", str(site.config), "admin", "user", "list")
    script = (
        "import sys\nfrom gitguard import __main__ as program\nfrom gitguard.cli.admin import user\n"
        "def broken(*_): raise KeyError('for')\nuser.open_admin_context = broken\nprogram.main()\n"
    )
    short = run([sys.executable, "-c", script, *words], status=1)
    assert "KeyError: 'for' (at <string>" in short.err
    assert "Traceback" not in short.err
    whole = run([sys.executable, "-c", script, "--traceback", *words], status=1)
    assert "Traceback" in whole.err
    assert "in broken" in whole.err
    monkeypatch.setenv("GITGUARD_TRACEBACK", "1")
    alice = site.add_user("alice")
    assert "Traceback" not in site.ssh(alice, "2fa", "--traceback").text


def test_an_emergency_is_one_step(site: Direct) -> None:
    """Suspended, sessions ended, the last day listed: what a night shift types when a laptop is stolen."""
    alice = site.new_user("alice")
    site.admin("repo", "create", "app")
    for _ in range(3):
        site.ssh(alice, "git-upload-pack 'app'", stdin="0000")
    assert "say why" in site.admin("user", "emergency", "alice", "--reason", " ", status=2).err
    done = site.admin("user", "emergency", "alice", "--reason", "laptop stolen")
    assert "alice is now suspended; 1 session ended" in done.out
    assert "read app from 127.0.0.1  x3" in done.out
    assert "gitguard admin user reset alice" in done.err
    assert "[user-suspended]" in site.ssh(alice, "git-upload-pack 'app'", stdin="0000").text
    again = site.admin("user", "emergency", "alice", "--reason", "again")
    assert "already suspended; 0 sessions ended" in again.out
    assert "x3" in again.out
    told = json.loads(site.admin("user", "emergency", "alice", "--reason", "again", "--json").out)
    assert len(told["entries"]) == 3
    assert "no user bob" in site.admin("user", "emergency", "bob", "--reason", "x", status=2).err


def test_who_is_not_enrolled_or_not_seen(site: Direct) -> None:
    """Before a requirement begins: who has no second factor, and who has not verified for how long."""
    site.new_user("alice")
    site.add_user("bob")
    site.add_user("carol")
    site.admin("user", "suspend", "carol")
    names = [row["user"] for row in json.loads(site.admin("user", "list", "--not-enrolled", "--json").out)]
    assert names == ["bob"]
    idle = json.loads(site.admin("user", "list", "--not-verified-since", "30d", "--json").out)
    assert [row["user"] for row in idle] == ["bob"]
    assert "not a duration" in site.admin("user", "list", "--not-verified-since", "long", status=2).err
    site.admin("user", "suspend", "bob")
    assert "nobody" in site.admin("user", "list", "--not-enrolled").text
