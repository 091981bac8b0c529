"""What must follow a change follows it, anyone who is listening: parked connections
end before anything is printed.

Each verb is run by someone whose stdout and stderr nobody reads, by someone who is gone, and on a key
file that cannot be written.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitguard.action import break_glass
from gitguard.cli.prompt import MOST_WAITING, PromptQueue
from lab.server import GITGUARD, Direct, Person, enroll, run
from tests.conftest import Bench

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path: Path) -> Direct:
    """Alice is verified; `app` requires 2FA for everything, `open` requires
    nothing; alice administers both.
    """
    server = Direct(tmp_path / "server")
    server.install()
    server.new_user("alice")
    for name, demand in (("app", "all"), ("open", "none")):
        server.new_repository(name, demand, "alice")
    return server


@pytest.fixture
def park(site: Direct) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Open a connection, read the first bytes of what Git says, and leave it so."""
    begun: list[subprocess.Popen[bytes]] = []

    def parked(repository: str = "app", person: Person | None = None) -> subprocess.Popen[bytes]:
        person = person or site.people["alice"]
        process = subprocess.Popen(
            site.ssh_command(person, f"git-upload-pack '{repository}'"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        begun.append(process)
        assert process.stdout is not None
        first = process.stdout.read(4)
        assert first == b"0000", "an empty repository, let in"
        return process

    yield parked
    for process in begun:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the parked process was ended (a signal ends it at once; the wait only bounds the machine)."""
    try:
        return process.wait(10) == -signal.SIGTERM
    except subprocess.TimeoutExpired:
        return False


def deaf(command: list[str], stdin: str = "") -> int:
    """Run a command whose stdout and stderr nobody reads any more; its exit status."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command, input=stdin.encode(), stdout=writing, stderr=writing, check=False, timeout=60
        )
    finally:
        os.close(writing)
    return done.returncode


ADMIN_VERBS = [
    ("user suspend alice", "app"), ("user reset alice", "app"), ("user remove alice --yes", "app"), ("key remove {key}", "app"),
    ("session revoke alice", "app"), ("session revoke --all", "app"), ("repo require open all", "open"), ("repo require open push", None),
    ("repo rename app other", "app"), ("repo forget app", "app"), ("user suspend alice", "open"), ("key remove {key}", "open"),
    ("user reset alice", "open"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "repository"), ADMIN_VERBS)
def test_an_admins_change_ends_what_rides_on_it(
    site: Direct, park: Callable[..., subprocess.Popen[bytes]], verb: str, repository: str | None
) -> None:
    """Finding 1: with nobody reading the words, the change stands and the transfer
    is over; what may stand stays.
    """
    process = park(repository or "open")
    words = verb.format(key=site.people["alice"].fingerprint).split()
    deaf([*GITGUARD, "--config", str(site.config), "admin", *words])
    if repository is None:
        assert process.poll() is None, "a demand on pushes does not end a read"
    else:
        assert ended(process)


OWN_VERBS = [
    ("2fa leave", ""), ("2fa leave --all", ""), ("2fa remove", "{code}"), ("2fa recovery-codes", None),
    ("2fa repo lifetime app 1s", ""),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "typed"), OWN_VERBS)
def test_ones_own_change_ends_what_rides_on_it(
    site: Direct, park: Callable[..., subprocess.Popen[bytes]], verb: str, typed: str | None
) -> None:
    """The same over SSH, with the client's reading side gone."""
    alice = site.people["alice"]
    process = park()
    site.clear_watermark(alice)
    if "lifetime" in verb:
        site.age_sessions(10)
    code = site.fresh_code(alice) + "\n"
    deaf(site.ssh_command(alice, verb), code if typed in (None, "{code}") else "")
    if typed is None:
        assert process.poll() is None, "new recovery codes end nothing"
    else:
        assert ended(process)


def test_always_on_ends_what_began_without_a_verification(
    site: Direct, park: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """From then on everything needs one, and what runs has none."""
    alice = site.people["alice"]
    process = park("open")
    deaf(site.ssh_command(alice, "2fa always on"))
    assert ended(process)


def test_enrolling_again_ends_everything(site: Direct, park: Callable[..., subprocess.Popen[bytes]]) -> None:
    """The factor before it no longer works, and so is what rode on it."""
    alice = site.people["alice"]
    app, open_ = park("app"), park("open")
    site.clear_watermark(alice)
    done, _, _ = enroll(site, alice, first=site.fresh_code(alice))
    assert done.status == 0, done.out
    assert ended(app)
    assert ended(open_)


def test_a_restore_ends_everybodys(site: Direct, park: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Sessions end with it, so do connections."""
    backup = site.folder / "backup"
    site.admin("store", "backup", str(backup))
    app, open_ = park("app"), park("open")
    deaf([*GITGUARD, "--config", str(site.config), "admin", "store", "restore", str(backup), "--yes"])
    assert ended(app)
    assert ended(open_)


def test_a_client_that_is_gone_changes_nothing_about_it(
    site: Direct, park: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """The one who typed is killed in the middle; what was begun by the server is
    done to its end or not at all.
    """
    process = park()
    admin = subprocess.Popen(
        [*GITGUARD, "--config", str(site.config), "admin", "user", "suspend", "alice"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert admin.stdout is not None
    assert admin.stderr is not None
    admin.stdout.close()
    admin.stderr.close()
    admin.wait(60)
    assert ended(process)


KEY_FILE_VERBS = ["user remove alice --yes", "key remove {key}", "user add bob --key {bob}"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mark a file immutable")
@pytest.mark.parametrize("verb", KEY_FILE_VERBS)
def test_a_key_file_that_cannot_be_written(
    site: Direct, park: Callable[..., subprocess.Popen[bytes]], verb: str
) -> None:
    """The change stands, the transfer ends, the invite is printed, the text says what
    does not stand; init mends it.
    """
    process = park()
    bob = site.new_key("bob")
    if subprocess.run(["chattr", "+i", str(site.key_file)], check=False, capture_output=True).returncode != 0:
        pytest.skip("this file system knows no immutable files")
    try:
        words = verb.format(key=site.people["alice"].fingerprint, bob=f"{bob.key}.pub").split()
        done = site.admin(*words, status=40)
    finally:
        run(["chattr", "-i", str(site.key_file)])
    assert "but not all that follows could be done" in done.err
    assert str(site.key_file) in done.err
    assert "gitguard admin init" in done.err
    if "add" in verb:
        assert "2fa enroll INV-" in done.out, (
            "the invite is there, since it cannot be made again by the same words"
        )
        assert process.poll() is None
    else:
        assert ended(process)
    site.raw_admin("init", "--home", str(site.home))
    block = site.key_file.read_text()
    assert ("--user alice" in block) == ("add" in verb)
    assert ("--user bob" in block) == ("add" in verb)


def test_a_parked_connection_does_not_outlive_its_session(
    site: Direct, park: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """ATTACK: a read left open for days after the session expired. EXPECTED: the
    sweep, or any change, ends it.
    """
    process = park()
    site.admin("session", "sweep")
    assert process.poll() is None, "the session is live"
    site.age_sessions(9 * 3600)
    assert "1 connection ended" in site.admin("session", "sweep").out
    assert ended(process)
    assert site.admin("session", "sweep", "--quiet").text == ""


def test_any_change_looks_at_everybody(site: Direct, park: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Not only what the change is about."""
    process = park()
    site.age_sessions(9 * 3600)
    site.admin("user", "add", "somebody")
    assert ended(process)


def test_a_new_configuration_counts_for_what_runs(
    site: Direct, park: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """A reader parked before `enforcement = "enforced"`."""
    process = park("open")
    site.configure(git={"enforcement": "enforced"})
    site.admin("session", "sweep")
    assert ended(process)


def test_what_flows_goes_on(site: Direct) -> None:
    """A long clone by a slow client, its session over: the sweep leaves it alone as long as bytes move."""
    alice = site.people["alice"]
    tree = site.folder / "big"
    run(["git", "init", "-q", str(tree)])
    (tree / "blob").write_bytes(os.urandom(12_000_000))
    env = {
        **os.environ,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@a",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@a",
    }
    run(["git", "-C", str(tree), "add", "blob"], env=env)
    run(["git", "-C", str(tree), "commit", "-qm", "big"], env=env)
    site.admin(
        "break-glass",
        "--reason",
        "test",
        "--",
        "git",
        "-C",
        str(tree),
        "push",
        "-q",
        str(site.directory("app")),
        "HEAD:main",
    )
    head = run(["git", "-C", str(tree), "rev-parse", "HEAD"]).out.strip()
    process = subprocess.Popen(
        site.ssh_command(alice, "git-upload-pack 'app'"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    want = f"want {head} side-band-64k ofs-delta\n".encode()
    process.stdin.write(b"%04x" % (len(want) + 4) + want + b"0000" + b"0009done\n")
    process.stdin.flush()
    os.read(process.stdout.fileno(), 65536)
    site.age_sessions(9 * 3600)
    sweep = subprocess.Popen(
        [*GITGUARD, "--config", str(site.config), "admin", "session", "sweep"], stdout=subprocess.PIPE
    )
    while sweep.poll() is None:
        os.read(process.stdout.fileno(), 20_000)
        time.sleep(0.01)  # a slow client; the sweep decides when this ends
    assert sweep.stdout is not None
    assert b"0 connections ended" in sweep.stdout.read()
    sweep.stdout.close()
    rest = process.stdout.read()
    assert rest.endswith(b"0000")
    process.communicate()
    assert process.returncode == 0


def test_what_waits_at_a_prompt_ends_with_the_riders(site: Direct) -> None:
    """ATTACK: an enrolment left pending over suspend and resume. EXPECTED: it ended with the suspension."""
    bob = site.add_user("bob")
    process = subprocess.Popen(
        site.ssh_command(bob, f"2fa enroll {bob.invite} --qr none"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
    )  # fmt: skip
    assert process.stdout is not None
    said = b""
    while b"digits): " not in said:
        said += process.stdout.read(4096)
    site.admin("user", "suspend", "bob")
    site.admin("user", "resume", "bob")
    assert ended(process)
    process.communicate()


def test_settings_are_read_again_after_a_prompt(site: Direct) -> None:
    """Who waited at the prompt continues by today's settings: recovery codes were switched off meanwhile."""
    alice = site.people["alice"]
    process = subprocess.Popen(
        site.ssh_command(alice, "2fa verify"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    assert process.stderr is not None
    said = b""
    while b"recovery code: " not in said:
        said += process.stderr.read(4096)
    site.configure(second_factor={"recovery_codes": 0})
    out, err = process.communicate(alice.recovery_codes[0].encode() + b"\n", timeout=30)
    assert process.returncode == 14, (out, err)
    assert b"[not-available]" in err


@pytest.mark.parametrize("how", ["interrupt", "child killed", "terminated"])
def test_break_glass_is_closed_however_it_ends(site: Direct, how: str) -> None:
    """The trail has an end for every beginning."""
    process = begin_break_glass(site)
    if how == "interrupt":
        os.killpg(process.pid, signal.SIGINT)
    elif how == "child killed":
        os.kill(child_of(process.pid), signal.SIGKILL)
    else:
        process.send_signal(signal.SIGTERM)
    assert process.wait(30) != 0
    text = site.admin("audit", "show", "--event", "break-glass-ended").out
    assert text.count("break-glass-ended") == 1
    assert "not closed by itself" not in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_the_command_is_being_started_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, bench: Bench, number: int
) -> None:
    """It came before there was a command to pass it on to: the command gets it as soon as it runs."""

    def start(*words: object, **more: object) -> subprocess.Popen[bytes]:
        os.kill(os.getpid(), number)
        return real(*words, **more)  # type: ignore[call-overload, no-any-return]

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    began = time.monotonic()
    site: Any = SimpleNamespace(store=bench.desk.store)
    status, fault = break_glass.run(("sleep", "60"), "x", partial(break_glass.end, site, "0badc0de", "test"))
    assert (status, fault) == (128 + number, "")
    assert time.monotonic() - began < 30


def test_break_glass_that_was_killed_is_closed_by_the_next_command(site: Direct) -> None:
    """Kill -9 leaves it open; the next admin command closes it, and says so."""
    process = begin_break_glass(site)
    child = child_of(process.pid)
    process.kill()
    process.wait(30)
    os.kill(child, signal.SIGKILL)
    assert "was not closed by itself" in site.admin("user", "list").err
    text = site.admin("audit", "show", "--event", "break-glass-ended").out
    assert "not closed by itself" in text
    assert "was not closed" not in site.admin("user", "list").err


def begin_break_glass(site: Direct) -> subprocess.Popen[bytes]:
    """Maintenance that takes long, in a process group of its own as at a terminal."""
    process = subprocess.Popen(
        [*GITGUARD, "--config", str(site.config), "admin", "break-glass", "--reason", "test", "--", "sleep", "300"],
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert b"break-glass" in process.stderr.readline()
    process.stderr.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not child_of(process.pid):
        time.sleep(0.01)
    return process


def child_of(pid: int) -> int:
    """The pid of the one child, 0 for none yet."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else 0


def test_too_many_prompts_of_one_key(site: Direct) -> None:
    """ATTACK: a key that opens prompts without end. EXPECTED: the ninth is
    refused, and another key continues.
    """
    alice = site.people["alice"]
    places = PromptQueue(f"{site.home}/state/prompts", alice.fingerprint)
    holders = [places.one() for _ in range(MOST_WAITING)]
    for holder in holders:
        holder.__enter__()
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            site.ssh_command(alice, "2fa verify"), stdin=reading, capture_output=True, check=False, timeout=60
        )
    finally:
        for holder in holders:
            holder.__exit__(None, None, None)
        os.close(reading)
        os.close(writing)
    assert done.returncode == 13
    assert b"commands of this key are waiting already" in done.stderr
