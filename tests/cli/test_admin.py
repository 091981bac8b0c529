"""The admin's commands, typed as an admin types them, on a real installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.server import GITGUARD, Direct, Server, run

pytestmark = pytest.mark.e2e


def test_init_again_changes_nothing(server: Server) -> None:
    """Safe to run again: keys, store and configuration stay, and it says so."""
    before = {
        path: path.read_bytes()
        for path in (server.config, server.home / "state/secret.keys", server.home / "state/grant.key")
    }
    done = server.raw_admin("init", "--home", str(server.home))
    assert f"kept {server.config}" in done.out
    assert "every key is gated and every repository has its hook" in done.out
    assert {path: path.read_bytes() for path in before} == before


def test_the_first_init_says_what_it_made(tmp_path: Path) -> None:
    """In words of the admin's: a new store is made, nothing was run; the second time
    there is nothing to say of it.
    """
    site = Direct(tmp_path / "new")
    words = ("init", "--home", str(site.home), "--account", site.account, "--host", "127.0.0.1",
             "--repositories", str(site.repositories), "--authorized-keys", str(site.key_file))  # fmt: skip
    first = site.raw_admin(*words).out
    for made in (
        "the key file " + str(site.home / "state/secret.keys"),
        f"the store {site.store}",
        site.key_file,
    ):
        assert f"made {made}" in first
    assert ".sql" not in first
    assert str(site.store) not in site.raw_admin(*words).out


def test_init_does_not_overwrite_by_flag(server: Server) -> None:
    """A flag that says other than the configuration is refused, not silently ignored."""
    done = server.raw_admin("init", "--home", str(server.home), "--port", "2200", status=2)
    assert "--port 2200, but" in done.err


def test_init_says_what_is_not_gated(server: Server) -> None:
    """Keys and repositories that are there already are named, with the way to gate them."""
    stranger = server.new_key("stranger")
    with open(server.key_file, "a") as file:
        file.write((stranger.key.with_suffix(".pub")).read_text())
    run(["git", "init", "-q", "--bare", str(server.directory("old/app"))])
    done = server.raw_admin("init", "--home", str(server.home))
    assert f"not gated: {stranger.fingerprint}" in done.out
    assert f"not known: {server.directory('old/app')}" in done.out


def test_files_are_private(server: Server) -> None:
    """0600 and 0700 for whatever holds a secret or a session."""
    server.add_user("alice")
    for path in (server.home / "state", server.home / "log"):
        assert path.stat().st_mode & 0o077 == 0, path
        for file in path.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file
    assert server.key_file.stat().st_mode & 0o077 == 0


def test_config_check(server: Server, tmp_path: Path) -> None:
    """Every fault with file, line and nearest word; exit 30; --json; the file in use is the default."""
    assert "is in order" in server.admin("config", "check").out
    broken = tmp_path / "broken.toml"
    broken.write_text("[git]\nenforcment = 'x'\n[session]\nlifetime = 8\n")
    done = server.admin("config", "check", str(broken), status=30)
    assert f"{broken}: line 2: [git] enforcment: unknown key; did you mean 'enforcement'?" in done.out
    assert "line 4" in done.out
    faults = json.loads(server.admin("config", "check", str(broken), "--json", status=30).out)["faults"]
    assert [fault["line"] for fault in faults] == [2, 4]
    server.admin("config", "check", str(tmp_path / "none.toml"), status=2)


def test_a_broken_configuration_stops_admin_commands_by_name(server: Server) -> None:
    """The admin sees file and line, not a traceback."""
    server.config.write_text("[git]\nenforcement = 'x'\n")
    done = server.admin("user", "list", status=30)
    assert f"{server.config}: line 2" in done.err


@pytest.mark.parametrize(
    "name", ["Alice", "key 1", "--user", "../bob", "al\nice", "", "-x", "a" * 65, "\u0430lice", "a:b", ".a"]
)
def test_names_that_cannot_be(shared_server: Server, name: str) -> None:
    """Look-alikes, options, paths, line breaks are not creatable."""
    done = shared_server.admin("user", "add", "--", name, status=2)
    assert "Traceback" not in done.err


def test_users(server: Server) -> None:
    """add, list, show, suspend, resume, reset, remove: each says what it did; a
    removed name stays reserved.
    """
    alice = server.new_user("alice")
    server.admin("repo", "create", "app")
    url = server.url("app")
    assert "is there already" in server.admin("user", "add", "alice", status=2).err
    listed = json.loads(server.admin("user", "list", "--json").out)
    assert [(u["user"], u["state"], u["enrolled"], len(u["keys"])) for u in listed] == [
        ("alice", "active", True, 1)
    ]
    assert alice.fingerprint in server.admin("user", "show", "alice").out

    assert "alice is now suspended" in server.admin("user", "suspend", "alice").out
    assert "user-suspended" in server.git(alice, "ls-remote", url, status=128).err
    server.ssh(alice, "2fa verify 123456", status=14)
    server.admin("user", "resume", "alice")
    server.git(alice, "ls-remote", url, status=0)

    done = server.admin("user", "reset", "alice", "--reason", "lost phone")
    alice.invite = done.out.split()[-1]
    server.ssh(alice, "2fa status --check", status=11)
    assert server.enroll(alice).status == 0

    assert "use --yes" in server.admin("user", "remove", "alice", status=2).err
    assert "removed alice and 1 key;" in server.admin("user", "remove", "alice", "--yes").out
    assert server.ssh(alice, status=255).status == 255, "its key line is gone"
    assert "stays reserved" in server.admin("user", "add", "alice", status=2).err
    assert "no user bob" in server.admin("user", "show", "bob", status=2).err


def test_unthrottle(server: Server) -> None:
    """Over ssh: five rejected, the sixth throttled with a time; the admin may end it."""
    bob = server.new_user("bob")
    server.admin("repo", "create", "app")
    server.admin("repo", "require", "app", "all")
    for _ in range(5):
        server.ssh(bob, "2fa verify 000000", status=12)
    done = server.ssh(bob, "2fa verify 000000", status=13)
    assert "try again at" in done.err
    server.git(bob, "ls-remote", server.url("app"), status=0)
    assert "5 failures of bob forgotten" in server.admin("user", "unthrottle", "bob").out
    server.clear_watermark(bob)
    server.verify(bob)


def test_keys(server: Server, tmp_path: Path) -> None:
    """add, list, remove; a key can belong to one user only; damaged and private keys are refused in words."""
    alice, bob = server.add_user("alice"), server.add_user("bob")
    done = server.admin("key", "add", "bob", f"{alice.key}.pub", status=2)
    assert "a key can belong to one user only" in done.err
    assert "private key" in server.admin("key", "add", "bob", str(bob.key), status=2).err
    (tmp_path / "damaged.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 x\n")
    assert "damaged" in server.admin("key", "add", "bob", str(tmp_path / "damaged.pub"), status=2).err
    assert "cannot read" in server.admin("key", "add", "bob", str(tmp_path / "none.pub"), status=2).err
    rows = json.loads(server.admin("key", "list", "--json").out)
    assert {(row["user"], row["key"], row["gated"]) for row in rows} == {
        ("alice", alice.fingerprint, True),
        ("bob", bob.fingerprint, True),
    }
    line = next(text for text in server.key_file.read_text().splitlines() if alice.fingerprint in text)
    assert line.startswith(
        f'restrict,command="{server.home}/bin/gitguard-shell --user alice --key {alice.fingerprint}" ssh-ed25519 '
    )
    assert f"removed {alice.fingerprint}" in server.admin("key", "remove", alice.fingerprint).out
    assert server.ssh(alice).status == 255
    server.admin("key", "remove", alice.fingerprint, status=2)


def test_foreign_lines_are_kept_byte_for_byte(server: Server) -> None:
    """Whatever else stands in the key file stays as it is, odd bytes and all."""
    foreign = b'# my own line\nfrom="10.0.0.0/8" ssh-rsa AAAA broken \xff\xfe\n\n\tcommand="x"   trailing  \n# no newline at the end'
    server.key_file.write_bytes(server.key_file.read_bytes() + foreign)
    server.add_user("alice")
    server.add_user("bob")
    assert server.key_file.read_bytes().endswith(foreign)


def test_a_key_that_stands_ungated_is_refused(server: Server) -> None:
    """Alice's key also stands above our block, or in authorized_keys2: that line would win."""
    alice = server.new_key("alice")
    line = alice.key.with_suffix(".pub").read_text()
    for path in (server.key_file, server.key_file.with_name("authorized_keys2")):
        before = path.read_bytes() if path.exists() else b""
        path.write_bytes(line.encode() + before)
        done = server.admin("user", "add", "alice", "--key", f"{alice.key}.pub", status=2)
        assert "stands ungated in" in done.err
        path.write_bytes(before)
    server.key_file.with_name("authorized_keys2").unlink()
    server.admin("user", "add", "alice", "--key", f"{alice.key}.pub")


def test_adopting_keys(server: Server, tmp_path: Path) -> None:
    """A server in use: lines that are there become gated, by a map; others are
    named; --dry-run changes nothing.
    """
    old, other = server.new_key("old"), server.new_key("other")
    with open(server.key_file, "a") as file:
        file.write('no-pty,from="127.0.0.1,::1" ' + old.key.with_suffix(".pub").read_text())
        file.write(other.key.with_suffix(".pub").read_text())
    server.admin("user", "add", "alice")
    mapping = tmp_path / "map"
    mapping.write_text(f"# who is who\n{old.fingerprint} alice\n")
    before = server.key_file.read_bytes()
    dry = server.admin("key", "adopt", str(mapping), "--dry-run")
    assert f"would gate {old.fingerprint}" in dry.out
    assert server.key_file.read_bytes() == before
    done = server.admin("key", "adopt", str(mapping))
    assert f"gated {old.fingerprint}" in done.out
    assert 'kept: from="127.0.0.1,::1"' in done.out
    assert f"still not gated: {other.fingerprint}" in done.err
    assert "hello alice" in server.ssh(old, status=0).out
    assert server.key_file.read_text().count(old.key.with_suffix(".pub").read_text().split()[1]) == 1
    server.admin("key", "adopt", str(mapping), status=2)
    mapping.write_text(f"{other.fingerprint} nobody\n")
    assert "the user nobody is not known" in server.admin("key", "adopt", str(mapping), status=2).err
    mapping.write_text("what is this\n")
    assert ":1:" in server.admin("key", "adopt", str(mapping), status=2).err


def test_adopting_repositories(server: Server) -> None:
    """A server in use: refused until adopted, then live with its old hook behind
    ours; renamed on disk: refused.
    """
    alice = server.new_user("alice")
    directory = server.directory("old/app")
    run(["git", "init", "-q", "--bare", str(directory)])
    said = directory / "said"
    (directory / "hooks/pre-receive").write_text(f"#!/bin/sh\ncat > {said}\n")
    (directory / "hooks/pre-receive").chmod(0o755)
    url = server.url("old/app")
    assert "no-such-repository" in server.git(alice, "ls-remote", url, status=128).err
    dry = server.admin("repo", "adopt", "--all", "--dry-run")
    assert (
        "old/app: would be adopted, would move its pre-receive to hooks.kept/pre-receive, where it still runs"
        in dry.out
    )
    assert "no-such-repository" in server.git(alice, "ls-remote", url, status=128).err
    done = server.admin("repo", "adopt", "--all")
    assert (
        "old/app: adopted, requires none, moved its pre-receive to hooks.kept/pre-receive, where it still runs"
        in done.out
    )
    assert "was in order" in server.admin("repo", "adopt", "old/app").out
    tree = server.work_tree(alice, "old/app")
    server.git(alice, "push", "--quiet", "origin", "main", cwd=tree, status=0)
    assert "refs/heads/main" in said.read_text()

    directory.rename(server.directory("old/new"))
    assert "no-such-repository" in server.git(alice, "ls-remote", server.url("old/new"), status=128).err
    assert "no-such-repository" in server.git(alice, "ls-remote", url, status=128).err


def test_repositories(server: Server) -> None:
    """create, list, show, rename, forget, require: each says what it did; toggle
    and admins go with a rename.
    """
    alice = server.new_user("alice")
    done = server.admin("repo", "create", "team/app", "--admin", "alice")
    assert f"created team/app in {server.directory('team/app')}; admins: alice" in done.out
    assert server.url("team/app") in done.out
    assert "is there already" in server.admin("repo", "create", "team/app.git", status=2).err
    for name in ("-x", "../up", "a/../b", "~x", ""):
        server.admin("repo", "create", "--", name, status=2)
    server.admin("repo", "create", "x", "--admin", "nobody", status=2)
    server.admin("repo", "require", "team/app", "push")
    assert "team/app is now team/web" in server.admin("repo", "rename", "team/app", "team/web").out
    shown = json.loads(server.admin("repo", "show", "team/web", "--json").out)
    assert (shown["require"], shown["admins"]) == ("push", ["alice"])
    server.git(alice, "ls-remote", server.url("team/app"), status=128)
    server.git(alice, "ls-remote", server.url("team/web"), status=0)
    listed = json.loads(server.admin("repo", "list", "--json").out)
    assert [(row["repository"], row["hook"]) for row in listed] == [("team/web", "live")]
    server.admin("repo", "forget", "team/web")
    assert "no-such-repository" in server.git(alice, "ls-remote", server.url("team/web"), status=128).err
    assert server.directory("team/web").exists()
    assert "NOT KNOWN" in server.admin("repo", "list").out


def test_two_roots_one_name(server: Server, tmp_path: Path) -> None:
    """The same name in two roots: the second adopt is refused."""
    other = tmp_path / "second"
    server.configure(paths={"extra_roots": [str(other)]})
    server.raw_admin("init", "--home", str(server.home))
    server.admin("repo", "create", "app")
    run(["git", "init", "-q", "--bare", str(other / "app.git")])
    done = server.admin("repo", "adopt", str(other / "app.git"), status=2)
    assert "the name app is taken" in done.err
    run(["git", "init", "-q", "--bare", str(other / "web.git")])
    server.admin("repo", "adopt", "web")
    alice = server.add_user("alice")
    server.git(alice, "ls-remote", server.url("web"), status=0)
    absolute = f"ssh://{server.account}@127.0.0.1:{server.port}{other}/web.git"
    server.git(alice, "ls-remote", absolute, status=0)
    wrong_root = f"ssh://{server.account}@127.0.0.1:{server.port}{server.repositories}/web.git"
    server.git(alice, "ls-remote", wrong_root, status=128)


def test_sessions(server: Server) -> None:
    """Open for a while with a reason, list, revoke."""
    alice = server.new_user("alice")
    bob = server.add_user("bob")
    server.admin("repo", "create", "app")
    server.admin("repo", "require", "app", "all")
    server.ssh(alice, "2fa leave", status=0)
    words = ["session", "open", "alice", "--for", "30m", "--reason", "phone is flat"]
    assert "scope address needs" in server.admin(*words, status=2).err
    done = server.admin(*words, "--key", alice.fingerprint, "--from", "127.0.0.1")
    assert "(30 minutes left)" in done.out
    server.git(alice, "ls-remote", server.url("app"), status=0)
    server.age_sessions(1800)
    server.git(alice, "ls-remote", server.url("app"), status=128)
    server.admin(
        "session",
        "open",
        "bob",
        "--for",
        "30m",
        "--reason",
        "x",
        "--key",
        bob.fingerprint,
        "--from",
        "127.0.0.1",
        status=11,
    )
    server.admin(
        "session",
        "open",
        "alice",
        "--for",
        "9h",
        "--reason",
        "x",
        "--key",
        alice.fingerprint,
        "--from",
        "127.0.0.1",
        status=2,
    )
    server.clear_watermark(alice)
    server.verify(alice)
    rows = json.loads(server.admin("session", "list", "--json").out)
    assert [(row["user"], row["key"], row["network"], row["method"]) for row in rows] == [
        ("alice", alice.fingerprint, "127.0.0.1", "totp")
    ]
    assert "1 session ended" in server.admin("session", "revoke", "alice").out
    server.git(alice, "ls-remote", server.url("app"), status=128)
    server.admin("session", "revoke", status=2)


def test_explain(server: Server) -> None:
    """The verdict and what made it, for any situation; exit 0 whatever it is; changes nothing."""
    alice = server.new_user("alice")
    server.admin("repo", "create", "app")
    server.admin("repo", "require", "app", "push")
    lines = len(server.log())
    assert "allowed [verified]: alice push app" in server.admin("explain", "alice", "app", "push").out
    assert (
        "required by toggle: a verification no older than 8h"
        in server.admin("explain", "alice", "app", "push").out
    )
    assert "allowed [not-required]" in server.admin("explain", "alice", "app", "read").out
    elsewhere = server.admin("explain", "alice", "app", "push", "--from", "198.51.100.1")
    assert "refused [verification-required]" in elsewhere.out
    later = json.loads(
        server.admin("explain", "alice", "app", "push", "--at", "2090-01-01T00:00", "--json").out
    )
    assert (later["verdict"], later["reason"]) == ("refused", "verification-expired")
    assert "no-such-repository" in server.admin("explain", "alice", "nope", "read").out
    other = server.admin("explain", "alice", "app", "read", "--key", "SHA256:" + "x" * 43)
    assert "refused [no-identity]" in other.out
    server.admin("explain", "nobody", "app", "read", status=2)
    server.admin("explain", "alice", "app", "write", status=2)
    assert len(server.log()) == lines
    assert alice.fingerprint in elsewhere.out


def test_log(server: Server) -> None:
    """Decisions by user, repository or id; repeats are folded when shown, not when written."""
    alice = server.add_user("alice")
    server.admin("repo", "create", "app")
    server.admin("repo", "require", "app", "all")
    for _ in range(5):
        server.git(alice, "ls-remote", server.url("app"), status=128)
    assert len(server.log()) == 5
    shown = server.admin("log").out.strip().splitlines()
    assert len(shown) == 1
    assert "x5 since" in shown[0]
    id_ = str(server.log()[2]["id"])
    assert id_ in server.admin("log", id_).out
    assert server.admin("log", "bob").out == ""
    assert len(json.loads(server.admin("log", "app", "--since", "1h", "--json").out)) == 5
    server.admin("log", "--since", "yesterday", status=2)


def test_unknown_words_get_the_nearest(server: Server) -> None:
    """A typo costs one line of reading."""
    assert "did you mean: user?" in server.admin("usr", status=20).err
    assert "did you mean: add?" in server.admin("user", "ad", status=20).err
    assert "[usage]" in server.admin("user", "add", status=2).err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_root_becomes_the_account(tmp_path: Path) -> None:
    """Run as root, every command takes the account's uid first; as anyone else it prints the line to type."""
    python = Path(sys.executable).resolve()
    folder = tmp_path / "site"
    home = folder / "gitguard"
    folder.mkdir()
    for path in (*tmp_path.parents, tmp_path, folder):
        if str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o011)
    copy = folder / "package"
    source = Path(__file__).resolve().parents[2]
    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    copy.mkdir()
    subprocess.run(["cp", "-r", str(source / "gitguard"), str(copy)], check=True)
    subprocess.run(f"cp -r {site}/* {copy}", shell=True, check=True)
    subprocess.run(["chmod", "-R", "go+rX", str(copy)], check=True)
    env = {**os.environ, "PYTHONPATH": str(copy)}
    command = [str(python), "-m", "gitguard"]
    outside = run(
        [
            *command,
            "admin",
            "init",
            "--home",
            str(home),
            "--account",
            "nobody",
            "--repositories",
            str(folder / "repositories"),
            "--authorized-keys",
            str(folder / "keys" / "authorized_keys"),
            "--host",
            "h",
        ],
        env=env,
        status=None,
        cwd=folder,
    )
    assert outside.status == 0, outside.text
    state = home / "state"
    assert state.owner() == "nobody"
    assert {path.owner() for path in state.iterdir()} == {"nobody"}
    assert home.owner() == "root"
    assert (home / "bin" / "gitguard-shell").owner() == "root"
    run(
        [*command, "--config", str(home / "gitguard.toml"), "admin", "repo", "create", "a/b"],
        env=env,
        cwd=folder,
    )
    assert (folder / "repositories" / "a" / "b.git" / "HEAD").owner() == "nobody"
    stranger = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", *command]
    other = run(
        [*stranger, "--config", str(home / "gitguard.toml"), "admin", "repo", "list"],
        env=env,
        status=14,
        cwd=folder,
    )
    assert "run this as root or as nobody" in other.err
    assert "type: sudo" in other.err
    # What test_without_home_only_root says, shown here for a run as root.
    bare = run([*stranger, "admin", "init"], env=env, status=14, cwd=folder)
    assert "type: sudo" in bare.err


def test_without_home_only_root(tmp_path: Path) -> None:
    """The system's own places are root's; anyone else gets the line to type."""
    if os.geteuid() == 0:
        pytest.skip("runs as root here; test_root_becomes_the_account shows it for another uid")
    done = run([*GITGUARD, "admin", "init"], status=14)
    assert "type: sudo" in done.err
