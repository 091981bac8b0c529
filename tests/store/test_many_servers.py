"""What belonged to one machine, where several servers share a store."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from gitguard.action import break_glass
from gitguard.factor import keyring
from gitguard.session.moment import now
from gitguard.store.rows import BreakGlass
from lab.estate import Estate
from lab.failures import reason_of
from tests.store.sites import site_of

pytestmark = pytest.mark.e2e


def test_one_verification_counts_on_all_and_so_does_its_end(estate: Estate) -> None:
    """A code at the first server, a push at the second; a revocation at the second closes the first."""
    first, second = estate.servers
    second.admin("repo", "create", "two")
    first.admin("repo", "create", "one")
    alice = first.new_user("alice", in_session=False)
    second.admin("session", "sweep")
    assert reason_of(second.ssh(alice, "git-upload-pack", "two")) == "verification-required"
    first.ssh(alice, "2fa", "verify", stdin=first.fresh_code(alice) + "\n")
    assert reason_of(second.ssh(alice, "git-upload-pack", "two", stdin="0000")) == "allowed"
    assert reason_of(first.ssh(alice, "git-upload-pack", "one", stdin="0000")) == "allowed"
    second.admin("session", "revoke", "alice")
    assert reason_of(first.ssh(alice, "git-upload-pack", "one")) == "verification-required"
    for server in estate.servers:
        server.admin("audit", "verify")


def test_a_transfer_that_runs_elsewhere_ends_with_the_next_sweep(estate: Estate) -> None:
    """Revoked at the first server, while the adversary's clone is under way at the second."""
    first, second = estate.servers
    second.admin("repo", "create", "large")
    hugo = first.new_user("hugo")
    second.admin("session", "sweep")
    second.admin(
        "session",
        "open",
        "hugo",
        "--key",
        hugo.fingerprint,
        "--from",
        "127.0.0.1",
        "--for",
        "1h",
        "--reason",
        "x",
    )
    clone = subprocess.Popen(
        second.ssh_command(hugo, "git-upload-pack 'large'"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert clone.stdout is not None
        assert clone.stdout.read(4) != b""
        first.admin("session", "revoke", "hugo")
        assert "1 connection ended" in second.admin("session", "sweep").out
        clone.communicate(timeout=10)
        assert clone.returncode != 0
    finally:
        clone.kill()
        clone.communicate()


def test_servers_are_heard_of(estate: Estate) -> None:
    """`store status` names each that sweeps, and doctor one that does not any more."""
    first, second = estate.servers
    for server in estate.servers:
        server.admin("session", "sweep")
    status = json.loads(first.admin("store", "status", "--json").out)
    names = {server["name"].rpartition(":")[2] for server in status["database"]["servers"]}
    assert {str(first.port), str(second.port)} <= names
    with site_of(first) as site, site.store.writing() as tx:
        tx.run("UPDATE servers SET heard_at = heard_at - 1000 WHERE name LIKE ?", f"%:{second.port}")
    assert f":{second.port} was not heard of for 16 minutes" in first.admin("store", "status").out
    found = first.admin("doctor", status=None).text
    assert f":{second.port} was not heard of for 16 minutes" in found
    assert "repository-missing" not in found


def test_a_key_that_one_server_removed_is_gone_from_every_key_file(estate: Estate) -> None:
    """Within a minute: the sweep brings the file in line, and the store refuses it at once."""
    first, second = estate.servers
    bob = first.new_user("bob")
    second.admin("session", "sweep")
    assert bob.fingerprint in second.admin("key", "list").out
    blob = bob.key.with_suffix(".pub").read_text().split()[1]
    assert blob in second.key_file.read_text()
    first.admin("key", "remove", bob.fingerprint)
    assert reason_of(second.ssh(bob, "2fa", "status")) != "allowed"
    second.admin("session", "sweep")
    assert blob not in second.key_file.read_text()


def test_a_repository_is_made_on_each_server_that_is_to_have_it(estate: Estate) -> None:
    """Its requirement and its admins are those that the store knows."""
    first = estate.servers[0]
    first.admin("repo", "create", "shared")
    directory = first.repositories / "shared.git"
    shutil.move(directory, directory.with_suffix(".away"))
    assert "not on this server" in first.admin("repo", "list").out
    assert "more are on other servers" in first.admin("doctor", status=None).text
    assert "shared.git" not in first.admin("init").text
    done = first.admin("repo", "create", "shared")
    assert f"made {directory} on this server" in done.out
    assert (directory / "hooks" / "pre-receive").exists()
    again = first.admin("repo", "create", "shared", status=2)
    assert "is there already" in again.text


def test_a_key_is_rotated_while_every_server_decrypts(estate: Estate) -> None:
    """Three steps; none goes before the key file of every server allows it, and codes count all along."""
    first, second = estate.servers
    theirs, ours = (server.home / "state" / "secret.keys" for server in (second, first))
    erin = first.new_user("erin", in_session=False)
    second.admin("session", "sweep")

    def rotate(status: int = 0) -> str:
        return first.admin("store", "rotate-key", status=status).text

    assert "it encrypts nothing yet" in rotate()
    assert "has another secret.keys than this server" in rotate(2)
    shutil.copy2(ours, theirs)
    second.admin("session", "sweep")
    assert "step 2 of 3: " in rotate()
    assert reason_of(second.ssh(erin, "2fa", "verify", stdin=second.fresh_code(erin) + "\n")) == "allowed"
    assert "has another secret.keys" in rotate(2)
    shutil.copy2(ours, theirs)
    second.admin("session", "sweep")
    assert "step 3 of 3: " in rotate()
    assert len(ours.read_text().splitlines()) == 2
    assert len(theirs.read_text().splitlines()) == 3
    shutil.copy2(ours, theirs)
    second.admin("session", "sweep")
    for server in estate.servers:
        assert "do not decrypt" not in server.admin("doctor", status=None).text


def test_a_server_with_another_key_file(estate: Estate) -> None:
    """It says so and lets nobody in; the copy of another server's is all that it needs."""
    first, second = estate.servers
    fred = first.new_user("fred", in_session=False)
    second.admin("session", "sweep")
    theirs = second.home / "state" / "secret.keys"
    kept = theirs.read_text()
    keyring.create(str(theirs) + ".other")
    theirs.write_text(Path(str(theirs) + ".other").read_text())
    code = second.fresh_code(fred) + "\n"
    assert reason_of(second.ssh(fred, "2fa", "verify", stdin=code)) == "store-unavailable"
    theirs.write_text(kept)
    assert reason_of(second.ssh(fred, "2fa", "verify", stdin=code)) == "allowed"


def test_maintenance_on_another_server_is_left_open(estate: Estate) -> None:
    """Its process is of another machine; that of a machine that was restarted since is closed."""
    first, _ = estate.servers
    with site_of(first) as site:
        site.store.note_server("elsewhere:22", "1", "the-boot-of-it", [])
        with site.store.writing() as tx:
            tx.begin_break_glass(BreakGlass("d1", "root", 1, 1, "the-boot-of-it"))
            tx.begin_break_glass(BreakGlass("d2", "root", 1, 1, "an-earlier-boot-of-it"))
        assert [entry.decision for entry in break_glass.close_left_open(site, now(), "root")] == ["d2"]
        site.store.note_server("elsewhere:22", "1", "its-next-boot", [])
        assert [entry.decision for entry in break_glass.close_left_open(site, now(), "root")] == ["d1"]
