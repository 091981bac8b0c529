"""Hardware keys as a second factor: a key that verifies its person at each login, by its
row and by sshd, and no other.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.authenticator import TOUCH, VERIFIED, Authenticator
from lab.meddling import meddle
from lab.person import Person
from lab.run import Done
from lab.server import Server

pytestmark = pytest.mark.e2e

BOTH = TOUCH | VERIFIED


@dataclass
class Place:
    """A server where hardware keys count, and the authenticator."""

    server: Server
    authenticator: Authenticator

    def person(self, name: str, *, verify_required: bool) -> Person:
        """A user with a hardware key alone: no app, no session."""
        person = self.authenticator.new_key(self.server.folder / "people", name)
        self.server.admin("user", "add", name)
        words = ("--verify-required",) if verify_required else ()
        self.server.admin("key", "add", name, f"{person.key}.pub", *words)
        return person

    def ssh(self, person: Person, *words: str, flags: int = BOTH, status: int | None = None) -> Done:
        """As typed with that key, which claims `flags`."""
        env = {**os.environ, **self.authenticator.claiming(flags)}
        return self.server.ssh(person, *words, options=self.authenticator.options, env=env, status=status)

    def git(self, person: Person, *words: str, flags: int = BOTH, **more: object) -> Done:
        """Git with that key."""
        env = {
            **self.server.git_env(person, *self.authenticator.options),
            **self.authenticator.claiming(flags),
        }
        return self.server.git(person, *words, env=env, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """`hardware_keys = true`, and a repository that requires 2FA for everything."""
    folder = tmp_path_factory.mktemp("hardware")
    server = Server(folder / "server")
    server.install()
    server.configure(second_factor={"hardware_keys": True})
    server.start()
    server.new_repository("app", "all")
    yield Place(server, Authenticator(folder))
    server.stop()


def test_a_key_that_verifies_its_person_is_enough(place: Place) -> None:
    """Read and push without an app and without a session; the log says why, gate and hook alike."""
    ann = place.person("ann", verify_required=True)
    place.git(ann, "ls-remote", place.server.url("app"), status=0)
    tree = place.server.work_tree(ann, "app")
    place.git(ann, "push", "--quiet", "origin", "HEAD:refs/heads/main", cwd=tree, status=0)
    assert [line["reason"] for line in place.server.log()[-2:]] == ["hardware-key", "hardware-key"]
    assert "verified: this hardware key counts by itself" in place.ssh(ann, "2fa status", status=0).out
    assert place.ssh(ann, "2fa verify --if-needed", status=0).out.startswith("already verified")
    explained = place.server.admin("explain", "ann", "app", "push").out
    assert "hardware-key" in explained


def test_sshd_asks_the_key(place: Place) -> None:
    """Adversary: has the stolen security key, and no PIN. sshd lets in no answer without user
    verification, nor without touch.
    """
    bea = place.person("bea", verify_required=True)
    for flags in (TOUCH, VERIFIED, 0):
        assert place.ssh(bea, "2fa status", flags=flags).status == 255
    place.ssh(bea, "2fa status", flags=BOTH, status=0)


def test_a_key_that_is_only_touched_does_not_count(place: Place) -> None:
    """Its line requires no verification; what it claims by itself is nobody's proof. Doctor names it."""
    cay = place.person("cay", verify_required=False)
    for flags in (TOUCH, BOTH):
        refused = place.git(cay, "ls-remote", place.server.url("app"), flags=flags, status=128)
        assert "[enrolment-required]" in refused.err
    said = place.server.admin("doctor", status=None).text
    assert "hardware-key-unverified" in said
    assert cay.fingerprint in said


def test_an_ordinary_key_that_claims_to_be_one(place: Place) -> None:
    """Adversary: talked the admin into --verify-required for a key on disk. sshd
    asks such a key for nothing.
    """
    dan = place.server.new_user("dan", in_session=False)
    other = place.server.new_key("dan-other")
    refused = place.server.admin("key", "add", "dan", f"{other.key}.pub", "--verify-required", status=2)
    assert "is not a hardware key" in refused.err
    meddle(place.server.kept, "UPDATE keys SET verify_required = 1 WHERE fingerprint = ?", (dan.fingerprint,))
    place.server.admin("session", "sweep")
    place.server.raw_admin("init", "--home", str(place.server.home))
    (line,) = [text for text in place.server.key_file.read_text().splitlines() if dan.fingerprint in text]
    assert "--verify-required" in line
    assert ",verify-required" in line
    assert (
        "[verification-required]"
        in place.server.git(dan, "ls-remote", place.server.url("app"), status=128).err
    )


def test_the_row_and_the_line_must_both_say_so(place: Place) -> None:
    """Adversary: found an old line of that key without the demand. The gate counts what
    its own line carries, no more.
    """
    eve = place.person("eve", verify_required=True)
    text = place.server.key_file.read_text()
    (line,) = [text for text in text.splitlines() if eve.fingerprint in text]
    old = line.replace(" --verify-required", "").replace(",verify-required", "")
    place.server.key_file.write_text(text.replace(line, old))
    refused = place.git(eve, "ls-remote", place.server.url("app"), status=128)
    assert "[enrolment-required]" in refused.err
    place.server.key_file.write_text(text)
    place.git(eve, "ls-remote", place.server.url("app"), status=0)
    meddle(place.server.kept, "UPDATE keys SET verify_required = 0 WHERE fingerprint = ?", (eve.fingerprint,))
    place.git(eve, "ls-remote", place.server.url("app"), status=128)


def test_no_touch_is_nothing_to_keep(place: Place) -> None:
    """A foreign line that lets the key answer untouched is refused by `key adopt`, by the option's name."""
    fay = place.authenticator.new_key(place.server.folder / "people", "fay")
    public = Path(f"{fay.key}.pub").read_text()
    with open(place.server.key_file, "a", encoding="utf-8") as file:
        file.write(f"no-touch-required,verify-required {public}")
    chosen = place.server.folder / "fay.map"
    chosen.write_text(f"{fay.fingerprint} fay\n")
    refused = place.server.admin("key", "adopt", "--add-users", str(chosen), status=2)
    assert "no-touch-required" in refused.err
    text = place.server.key_file.read_text()
    place.server.key_file.write_text(text.replace(f"no-touch-required,verify-required {public}", ""))


def test_a_parked_login_ends_when_hardware_keys_count_no_more(place: Place) -> None:
    """It is let in by its login, as others by a session: switched off, or a key
    removed, it ends at the next look.
    """
    gus = place.person("gus", verify_required=True)
    command = place.server.ssh_command(gus, "git-upload-pack 'app'", options=place.authenticator.options)
    env = {**os.environ, **place.authenticator.claiming(BOTH), "GIT_PROTOCOL": "version=2"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    ) as parked:
        assert parked.stdout is not None
        assert parked.stdout.read(4)
        place.server.admin("session", "sweep")
        time.sleep(0.2)
        assert parked.poll() is None
        place.server.configure(second_factor={"hardware_keys": False})
        try:
            assert "1 connection ended" in place.server.admin("session", "sweep").out
            assert parked.wait(10) != 0
            place.git(gus, "ls-remote", place.server.url("app"), status=128)
        finally:
            place.server.configure(second_factor={"hardware_keys": True})


def test_many_commands_over_one_login_grow_old_with_it(place: Place, tmp_path: Path) -> None:
    """Adversary: holds the laptop's control socket. One touch counts for the requirement's
    lifetime, by the login, not for ever.
    """
    hal = place.person("hal", verify_required=True)
    place.server.new_repository("short", "all")
    place.server.admin("repo", "lifetime", "short", "2s")
    socket = ("-o", f"ControlPath={tmp_path}/socket", "-o", "ControlMaster=auto", "-o", "ControlPersist=60")
    env = {
        **place.server.git_env(hal, *place.authenticator.options, *socket),
        **place.authenticator.claiming(BOTH),
    }
    place.server.git(hal, "ls-remote", place.server.url("short"), env=env, status=0)
    time.sleep(3)  # a login's age is by the kernel's clock, which no test can set
    old = place.server.git(hal, "ls-remote", place.server.url("short"), env=env, status=128)
    assert "[enrolment-required]" in old.err
    place.server.git(hal, "ls-remote", place.server.url("app"), env=env, status=0)
    place.git(hal, "ls-remote", place.server.url("short"), status=0)
    options = (*place.authenticator.options, *socket, "-O", "exit")
    subprocess.run(place.server.ssh_command(hal, options=options), check=False, stderr=subprocess.DEVNULL)
