"""The whole story over a real sshd with a real git: the reason that gitguard exists."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.server import Server, enroll

pytestmark = pytest.mark.e2e


def test_the_journey(server: Server) -> None:
    """Clone refused -> invite, enrol -> clone, push -> expiry -> refused -> verify -> recovery code."""
    alice = server.add_user("alice")
    server.admin("repo", "create", "team/app")
    server.admin("repo", "require", "team/app", "all")
    clone = server.folder / "clone"

    refused = server.git(alice, "clone", server.url("team/app"), str(clone))
    assert refused.status == 128
    assert "fatal: remote error: gitguard: set up a second factor to read team/app: ssh -T" in refused.err
    assert "correct access rights" not in refused.err
    assert not clone.exists()

    done = server.enroll(alice)
    assert done.status == 0, done.text
    assert "verified until" in done.out
    assert len(alice.recovery_codes) == 6

    server.git(alice, "clone", "--quiet", server.url("team/app"), str(clone), status=0)
    (clone / "file").write_text("hello\n")
    server.git(alice, "add", "file", cwd=clone, status=0)
    server.git(alice, "commit", "--quiet", "-m", "first", cwd=clone, status=0)
    server.git(alice, "push", "--quiet", "origin", "HEAD:main", cwd=clone, status=0)

    server.age_sessions(8 * 3600)
    expired = server.git(alice, "fetch", cwd=clone)
    assert "verification-expired" in expired.err
    assert "the last verification ended at" in expired.err
    assert "what you have already fetched is kept" in expired.err

    wrong = server.ssh(alice, "2fa verify", stdin="000000\n", status=12)
    assert "code-rejected" in wrong.err
    server.clear_watermark(alice)
    good = server.verify(alice)
    assert "(8 hours left)" in good.out
    server.git(alice, "fetch", "--quiet", cwd=clone, status=0)

    server.ssh(alice, "2fa leave", status=0)
    server.git(alice, "fetch", cwd=clone, status=128)
    recovery = server.ssh(alice, "2fa verify", stdin=alice.recovery_codes[0].lower() + "\n", status=0)
    assert "5 recovery codes left" in recovery.out
    server.git(alice, "fetch", "--quiet", cwd=clone, status=0)
    server.ssh(alice, "2fa leave", status=0)
    server.ssh(alice, "2fa verify", stdin=alice.recovery_codes[0] + "\n", status=12)

    reasons = [line["reason"] for line in server.log()]
    assert reasons[0] == "enrolment-required"
    assert set(reasons) == {"enrolment-required", "verified", "verification-expired", "verification-required"}


def test_lost_phone(shared_server: Server) -> None:
    """A recovery code is enough to set up a new phone; the old app's codes and
    all sessions no longer work.
    """
    server = shared_server
    bob = server.new_user("lost-phone")
    old_secret, code = bob.secret, bob.recovery_codes[0]
    done, bob.secret, _ = enroll(server, bob, first=code)
    assert done.status == 0, done.text
    assert bob.secret != old_secret
    assert "the old one no longer works, and all sessions have ended" in done.out


def test_a_key_thief_cannot_enrol_first(shared_server: Server) -> None:
    """ATTACK: the thief has bob's key before bob enrols. EXPECTED: exit 11, nothing is shown."""
    server = shared_server
    bob = server.add_user("not-yet")
    done = server.ssh(bob, "2fa enroll", stdin="\n", status=11)
    assert "invite" in done.err
    assert "otpauth" not in done.text
    guess = server.ssh(bob, "2fa enroll INV-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA", status=11)
    assert "otpauth" not in guess.text


def test_success_goes_to_stdout_and_prompts_to_stderr(shared_server: Server) -> None:
    """Scripts read stdout: the success text alone, no prompt."""
    server = shared_server
    carol = server.new_user("carol", in_session=False)
    done = server.verify(carol)
    assert done.out.startswith("verified until ")
    assert "code from your app" in done.err
    assert "code from your app" not in done.out


def test_gitlab_words_and_both_spellings(shared_server: Server) -> None:
    """`2fa_verify CODE`, `2fa enrol`, `2fa verify 123 456` work; a typo gets the nearest word."""
    server = shared_server
    dave = server.new_user("dave")
    server.clear_watermark(dave)
    code = server.fresh_code(dave)
    server.ssh(dave, f"2fa_verify {code[:3]} {code[3:]}", status=0)
    assert "code-rejected" in server.ssh(dave, "2fa_recovery_codes", stdin="000000\n", status=12).err
    assert "invite, code from your present app" in server.ssh(dave, "2fa enrol", stdin="\n", status=12).err
    typo = server.ssh(dave, "2fa verfy", status=20)
    assert "did you mean: verify?" in typo.err


def test_recovery_code_as_an_argument(shared_server: Server) -> None:
    """Refused, unburned, and said why; at the prompt it works."""
    server = shared_server
    erin = server.new_user("erin")
    code = erin.recovery_codes[0]
    for command in (f"2fa verify {code}", f"2fa enroll {code}"):
        done = server.ssh(erin, command, status=12)
        assert "not-a-code" in done.err
        assert "not accepted as arguments" in done.err
    server.ssh(erin, "2fa verify", stdin=code + "\n", status=0)


def test_if_needed_asks_nothing_while_live(shared_server: Server) -> None:
    """`verify --if-needed` is safe in scripts and hooks."""
    server = shared_server
    frank = server.new_user("frank")
    done = server.ssh(frank, "2fa verify --if-needed", status=0)
    assert "already verified until" in done.out
    server.ssh(frank, "2fa leave", status=0)
    server.ssh(frank, "2fa verify --if-needed", status=12)


def test_status_for_scripts(shared_server: Server) -> None:
    """`status --check` exits 0, 10 or 11 and says nothing; `--json` has the promised keys."""
    server = shared_server
    gina = server.add_user("gina")
    assert server.ssh(gina, "2fa status --check", status=11).text == ""
    server.enroll(gina)
    assert server.ssh(gina, "2fa status --check", status=0).text == ""
    status = json.loads(server.ssh(gina, "2fa status --json", status=0).out)
    assert list(status) == [
        "user",
        "key",
        "address",
        "enrolled",
        "verified",
        "session",
        "recovery_codes_left",
        "always",
        "required_here",
    ]
    assert set(status["session"]) == {"verified_at", "ends_at", "scope"}
    assert status["session"]["ends_at"] - status["session"]["verified_at"] == 8 * 3600
    server.ssh(gina, "2fa leave", status=0)
    server.ssh(gina, "2fa status --check", status=10)


def test_not_enrolled(shared_server: Server) -> None:
    """verify, remove, recovery-codes: exit 11 for one who has no second factor; leave and the greeting: 0."""
    server = shared_server
    hans = server.add_user("hans")
    for verb in ("verify 123456", "remove", "recovery-codes", "always on", "always off"):
        server.ssh(hans, f"2fa {verb}", status=11)
    server.ssh(hans, "2fa leave", status=0)
    assert "hello hans" in server.ssh(hans, status=0).out
    assert "2fa verify" in server.ssh(hans, "2fa help", status=0).out
    assert "2fa verify" in server.ssh(hans, "2fa", status=0).out


def test_always(shared_server: Server) -> None:
    """A user's own switch closes even what nothing else closes; off needs a code."""
    server = shared_server
    ines = server.new_user("ines")
    server.admin("repo", "create", "open/always")
    server.ssh(ines, "2fa always on", status=0)
    server.ssh(ines, "2fa leave", status=0)
    url = server.url("open/always")
    assert "verification-required" in server.git(ines, "ls-remote", url, status=128).err
    server.ssh(ines, "2fa always off", stdin="\n", status=12)
    server.clear_watermark(ines)
    server.ssh(ines, "2fa always off", stdin=server.fresh_code(ines) + "\n", status=0)
    server.git(ines, "ls-remote", url, status=0)


def test_remove(shared_server: Server) -> None:
    """Removing says what it means, needs a code, and leads back only through an invite."""
    server = shared_server
    jan = server.new_user("jan")
    server.ssh(jan, "2fa remove", stdin="\n", status=12)
    server.clear_watermark(jan)
    done = server.ssh(jan, "2fa remove", stdin=server.fresh_code(jan) + "\n", status=0)
    assert "invite" in done.err
    server.ssh(jan, "2fa enroll", stdin="\n", status=11)


def test_new_recovery_codes(shared_server: Server) -> None:
    """A new set for a code; the old set no longer works."""
    server = shared_server
    kim = server.new_user("kim")
    server.clear_watermark(kim)
    done = server.ssh(kim, "2fa recovery-codes", stdin=server.fresh_code(kim) + "\n", status=0)
    fresh = [line.strip() for line in done.out.splitlines() if line.startswith("    ")]
    assert len(fresh) == 6
    server.ssh(kim, "2fa verify", stdin=kim.recovery_codes[1] + "\n", status=12)
    server.ssh(kim, "2fa verify", stdin=fresh[1] + "\n", status=0)


def test_keys_and_leave_all(shared_server: Server) -> None:
    """Two keys, two sessions: `leave` ends this key's; `leave --all` both, for who
    is verified or gives a code.
    """
    server = shared_server
    lea = server.new_user("lea")
    other = server.add_key(lea, "lea-desktop")
    server.clear_watermark(lea)
    server.verify(other)
    shown = server.ssh(lea, "2fa keys", status=0).out
    assert shown.count("verified from 127.0.0.1 until") == 2
    assert "(this key)" in shown
    server.ssh(lea, "2fa leave", status=0)
    server.ssh(lea, "2fa status --check", status=10)
    server.ssh(other, "2fa status --check", status=0)
    server.ssh(lea, "2fa leave --all", status=12)
    server.ssh(other, "2fa status --check", status=0)
    server.ssh(other, "2fa leave --all", status=0)
    server.ssh(other, "2fa status --check", status=10)


def test_scope_address(shared_server: Server) -> None:
    """A copy of the key from another address does not ride on the owner's
    session, and learns where one is.
    """
    server = shared_server
    mia = server.new_user("mia")
    server.new_repository("mia/app", "all")
    server.git(mia, "ls-remote", server.url("mia/app"), status=0)
    elsewhere = server.url("mia/app").replace("127.0.0.1", "[::1]")
    done = server.git(mia, "ls-remote", elsewhere, status=128)
    assert "verification-required" in done.err
    assert f"verified elsewhere: key {mia.fingerprint} from 127.0.0.1" in done.err


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_refusals_in_every_protocol(shared_server: Server, version: str, tmp_path: Path) -> None:
    """Clone, push, ls-remote, archive in protocol v0, v1, v2: one clear line, and none of Git's guesses."""
    server = shared_server
    name = f"closed/v{version}"
    user = server.add_user(f"v{version}-user")
    server.new_repository(name, "all")
    tree = server.work_tree(user, name)
    url = server.url(name)
    for command in (["clone", url, str(tmp_path / "c")], ["push", "origin", "main"], ["push", "--dry-run", "origin", "main"], ["ls-remote", url], ["fetch", "origin"], ["archive", f"--remote={url}", "HEAD"]):  # fmt: skip
        done = server.git(user, "-c", f"protocol.version={version}", *command, cwd=tree)
        assert done.status != 0, command
        assert "remote error: gitguard: set up a second factor" in done.err, (command, done.text)
        assert "correct access rights" not in done.err
        assert "bad line length" not in done.err
        assert done.out == ""


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_allowed_in_every_protocol(shared_server: Server, version: str, tmp_path: Path) -> None:
    """And with a session all of them go through, and the version that was asked for is spoken."""
    server = shared_server
    name = f"closed/w{version}"
    user = server.new_user(f"w{version}-user")
    server.new_repository(name, "all")
    tree = server.work_tree(user, name)
    protocol = ["-c", f"protocol.version={version}"]
    server.git(user, *protocol, "push", "--quiet", "origin", "main", cwd=tree, status=0)
    server.git(user, *protocol, "clone", "--quiet", server.url(name), str(tmp_path / "c"), status=0)
    archive = server.git(user, *protocol, "archive", f"--remote={server.url(name)}", "main", status=0)
    assert "w" + version in archive.out
    trace = server.git(
        user, *protocol, "ls-remote", server.url(name), status=0, env={"GIT_TRACE_PACKET": "1"}
    )
    assert (f"version {version}" in trace.err) == (version != "0")


def test_verify_wrong_then_push(shared_server: Server) -> None:
    """`gitguard verify && git push` does not push after a wrong code."""
    server = shared_server
    nora = server.new_user("nora", in_session=False)
    server.ssh(nora, "2fa verify 000000", status=12)


def test_many_connections_at_once(shared_server: Server, tmp_path: Path) -> None:
    """Ten connections of one command get the same answer; nothing is locked."""
    server = shared_server
    olga = server.new_user("olga")
    server.new_repository("olga/app", "all")
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda _: server.git(olga, "ls-remote", server.url("olga/app")).status, range(20))
        )
    assert answers == [0] * 20
    server.ssh(olga, "2fa leave", status=0)
    with ThreadPoolExecutor(10) as pool:
        errors = list(
            pool.map(lambda _: server.git(olga, "ls-remote", server.url("olga/app")).err, range(10))
        )
    assert all("verification-required" in error for error in errors)


def test_partial_clone_and_submodules(shared_server: Server, tmp_path: Path) -> None:
    """A partial clone's later fetches and a recursive clone all get the same answer."""
    server = shared_server
    pia = server.new_user("pia")
    for name in ("pia/lib", "pia/app"):
        server.new_repository(name, "all")
        server.git(
            pia,
            "config",
            "--file",
            str(server.directory(name) / "config"),
            "uploadpack.allowFilter",
            "true",
            status=0,
        )
    library = server.work_tree(pia, "pia/lib")
    for number in range(4):
        (library / "file").write_text(f"{number}\n")
        server.git(pia, "commit", "--quiet", "-am", str(number), cwd=library, status=0)
    server.git(pia, "push", "--quiet", "origin", "main", cwd=library, status=0)
    server.git(
        pia,
        "clone",
        "--quiet",
        "--filter=blob:none",
        server.url("pia/lib"),
        str(tmp_path / "partial"),
        status=0,
    )
    log = server.git(pia, "log", "-p", cwd=tmp_path / "partial", status=0)
    assert "+3" in log.out
    app = server.work_tree(pia, "pia/app")
    server.git(pia, "submodule", "--quiet", "add", server.url("pia/lib"), "lib", cwd=app, status=0)
    server.git(pia, "commit", "--quiet", "-m", "lib", cwd=app, status=0)
    server.git(pia, "push", "--quiet", "origin", "main", cwd=app, status=0)
    server.git(
        pia,
        "clone",
        "--quiet",
        "--recursive",
        "-j4",
        server.url("pia/app"),
        str(tmp_path / "whole"),
        status=0,
    )
    assert (tmp_path / "whole" / "lib" / "file").exists()
