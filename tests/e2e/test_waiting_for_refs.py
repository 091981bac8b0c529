"""A push that only a ref rule refuses waits in the hook; one that comes behind a
refused read does not wait at all.

Over real sshd, by the clients that people have: git, dulwich, git-remote-gcrypt, a script of
`ls-remote || push --force`.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.action import pruning
from gitguard.session import refused_reads
from lab.server import Server
from tests.e2e.waiting import MOST_SECONDS, Push, has_ended, held, member, noted, until

pytestmark = pytest.mark.e2e

RULE = '\n[[rules]]\nname = "branches"\nrepositories = ["app"]\nrefs = ["**"]\nrequire = true\n'


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where pushes wait, with a repository whose branches a rule
    protects and one that requires all.
    """
    server = Server(tmp_path_factory.mktemp("patient") / "server")
    server.install()
    server.configure(session={"wait": f"{MOST_SECONDS}s"}, git={"enforcement": "rules"})
    server.write(server.config.read_text() + RULE)
    server.start()
    server.new_repository("app")
    server.new_repository("closed", "none")
    server.configure(git={"enforcement": "opt-in"})
    server.admin("repo", "require", "closed", "all")
    yield server
    server.stop()


def test_verified_elsewhere_the_hook_goes_on(patient: Server) -> None:
    """The upload is done, the push waits with its number; verified elsewhere it
    is in, and the log says why.
    """
    alice = member(patient, "alice")
    push = Push(patient, alice, "one")
    number = push.number()
    assert "remote: gitguard: verify to push to app: ssh -T" in push.said
    assert "remote: gitguard: refs/heads/one: 2FA is required by the rule branches" in push.said
    (note,) = held(patient)
    command = Path(f"/proc/{note.pid}/cmdline").read_bytes()
    assert b"hooks/pre-receive" in command, "it waits in the hook"
    assert f"push to app, number {number}, waits for you" in patient.ssh(alice, "2fa status", status=0).out
    assert f"push to app, number {number}, is continuing" in patient.verify(alice).out
    assert push.end() == 0, push.said
    assert "verified; continuing the push" in push.said
    last = patient.log()[-1]
    assert (last["verdict"], last["reason"], last["because"]) == ("allowed", "verified", "rule:branches")
    assert not held(patient)


def test_nothing_is_locked_or_taken_meanwhile(patient: Server) -> None:
    """Its objects stay in quarantine, no ref is locked, no store is open, and it is small."""
    person = member(patient, "quarantined")
    push = Push(patient, person, "quarantined")
    push.number()
    (note,) = held(patient)
    directory = patient.directory("app")
    assert not list(directory.rglob("*.lock"))
    assert not (directory / "refs/heads/quarantined").exists()
    open_files = [os.readlink(entry) for entry in Path(f"/proc/{note.pid}/fd").iterdir()]
    assert not [name for name in open_files if str(patient.home) in name]
    status = Path(f"/proc/{note.pid}/status").read_text()
    resident = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    assert resident <= 16 * 1024, f"{resident} kB"
    patient.admin("session", "sweep")
    assert push.process.poll() is None, "a sweep ends nothing that waits"
    patient.admin("session", "revoke", "quarantined")
    assert push.end() != 0
    assert "[verification-required]" in push.said
    assert not held(patient)


def test_the_page_is_named_with_its_request(patient: Server) -> None:
    """Where there is a page, what waits in the hook has its link and the number of that very request."""
    patient.configure(host={"web_url": "https://git.example.com/2fa"})
    try:
        person = member(patient, "paged")
        push = Push(patient, person, "paged")
        number = push.number()
        link = re.search(r"https://git\.example\.com/2fa/verify/([0-9a-f]+)", push.said)
        assert link, push.said
        (asked,) = noted(patient, "paged")
        assert (asked.id, asked.number) == (link[1], number)
        patient.verify(person)
        assert push.end() == 0, push.said
    finally:
        patient.configure(host={"web_url": ""})


@pytest.mark.parametrize("how", ["suspend", "toggle", "term"])
def test_what_ends_it(patient: Server, how: str) -> None:
    """A suspended user, an admin's kill, a repository that requires more meanwhile:
    refused, and gone from the list.
    """
    person = member(patient, f"ended-{how}")
    push = Push(patient, person, f"ended-{how}")
    push.number()
    (note,) = held(patient)
    if how == "suspend":
        patient.admin("user", "suspend", person.name, "--reason", "left")
    elif how == "toggle":
        patient.admin("repo", "require", "app", "push")
    else:
        os.kill(note.pid, signal.SIGTERM)
    try:
        assert push.end() != 0
    finally:
        if how == "toggle":
            patient.admin("repo", "require", "app", "none")
    until(lambda: has_ended(note.pid))
    assert not held(patient)


def test_only_a_verification_in_scope_counts(patient: Server) -> None:
    """ATTACK: a stolen key's push waits in the hook; its owner verifies with
    another key. EXPECTED: it stays.
    """
    owner = member(patient, "owner")
    laptop = patient.add_key(owner, "owner-laptop")
    push = Push(patient, owner, "stolen")
    push.number()
    patient.verify(laptop)
    time.sleep(1.5)
    assert push.process.poll() is None
    os.killpg(push.process.pid, signal.SIGKILL)
    push.process.wait()
    (note,) = held(patient)
    until(lambda: has_ended(note.pid), 15)  # Git says something to its client every five seconds
    assert not held(patient)


def test_who_hangs_up_on_a_warm_connection_is_noticed(patient: Server) -> None:
    """Multiplexed, sshd continues living: then it is Git's word to its client, every
    second here, that does not arrive.
    """
    person = member(patient, "warm")
    path = patient.folder / "warm.sock"
    options = ("-o", f"ControlPath={path}")
    master = subprocess.Popen(patient.ssh_command(person, "2fa", "help", options=("-M", "-N", *options)))
    try:
        until(path.exists)
        subprocess.run(
            ["git", "-C", str(patient.directory("app")), "config", "receive.keepAlive", "1"], check=True
        )
        push = Push(patient, person, "warm", *options)
        push.number()
        (note,) = held(patient)
        os.killpg(push.process.pid, signal.SIGKILL)
        push.process.wait()
        until(lambda: has_ended(note.pid))
        assert not held(patient)
        assert master.poll() is None
    finally:
        master.kill()
        master.wait()


@pytest.mark.parametrize("how", ["waited", "in session"])
def test_ended_while_another_hook_runs(patient: Server, how: str) -> None:
    """ATTACK: the push is let in and a CI hook takes its time; the owner sees it, and ends everything.
    EXPECTED: it does not come in.
    """
    person = member(patient, f"ci-{how.split(maxsplit=1)[0]}")
    if how == "in session":
        patient.verify(person)
    folder = patient.directory("app") / "hooks" / "pre-receive.d"
    begun, go_on = patient.folder / f"begun-{person.name}", patient.folder / f"go-on-{person.name}"
    os.mkfifo(go_on)
    folder.mkdir(exist_ok=True)
    hook = folder / "10-ci"
    hook.write_text(f"#!/bin/sh\ntouch {begun}\nread line < {go_on}\n")
    hook.chmod(0o755)
    for path in (folder, hook, go_on):
        os.chown(path, folder.parent.stat().st_uid, folder.parent.stat().st_gid)
    try:
        push = Push(patient, person, person.name)
        if how == "waited":
            push.number()
            patient.verify(person)
        until(begun.exists)
        patient.admin("session", "revoke", person.name)
        if push.process.poll() is None:
            with open(go_on, "w") as file:
                file.write("on\n")
        assert push.end() != 0, push.said
        assert not (patient.directory("app") / "refs/heads" / person.name).exists()
    finally:
        hook.unlink()


@pytest.mark.parametrize("how", ["configuration", "store"])
def test_a_read_refused_for_another_reason_counts_too(patient: Server, how: str) -> None:
    """The configuration is empty for an instant, or the store is away, while `ls-remote` asks. EXPECTED: the
    forced push behind it does not wait.
    """
    person = member(patient, f"other-{how}")
    tree = patient.work_tree(person, "closed", f"other-{how}")
    path = patient.config if how == "configuration" else patient.store
    kept = path.read_bytes()
    away = path.with_name(f"{path.name}.away")
    if how == "configuration":
        path.write_bytes(b"")
    else:
        path.rename(away)
    try:
        read = patient.git(person, "ls-remote", patient.url("closed"), cwd=tree)
    finally:
        if how == "configuration":
            patient.write(kept.decode())
        else:
            away.rename(path)
    assert read.status != 0
    pushed = patient.git(person, "push", "--force", patient.url("closed"), "HEAD:refs/heads/main", cwd=tree)
    assert pushed.status != 0
    assert "waits up to" not in pushed.err
    assert "it does not wait, since a read" in pushed.err


def test_a_client_that_wants_no_waiting(patient: Server) -> None:
    """It asks its person by itself, so the refusal comes at once, from the hook too."""
    person = member(patient, "at-once")
    began = time.monotonic()
    told = patient.git(
        person, "push", "origin", "HEAD:refs/heads/at-once", cwd=patient.work_tree(person, "app", "at-once"),
        env={"GIT_PROTOCOL": "version=1:gitguard=no-wait", "GIT_SSH_COMMAND": patient.git_env(person)["GIT_SSH_COMMAND"] + " -o SendEnv=GIT_PROTOCOL"},
    )  # fmt: skip
    assert "[verification-required]" in told.err
    assert "waits up to" not in told.err
    assert time.monotonic() - began < MOST_SECONDS


def test_a_forced_push_behind_a_refused_read_does_not_wait(patient: Server) -> None:
    """`ls-remote --exit-code || push --force`, as bots do: the refused read is taken for an empty
    repository. EXPECTED: refused at once.
    """
    person = member(patient, "bot")
    tree = patient.work_tree(person, "closed", "bot")
    env = patient.git_env(person)
    url = shlex.quote(patient.url("closed"))
    script = f"git ls-remote --exit-code {url} main || git push --force {url} HEAD:refs/heads/main"
    began = time.monotonic()
    done = subprocess.run(
        ["sh", "-c", script], cwd=tree, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert time.monotonic() - began < MOST_SECONDS / 2
    assert "waits up to" not in done.stderr
    assert "it does not wait, since a read of this repository was refused a moment ago" in done.stderr
    other = Push(patient, person, "bot-app")
    other.number()  # of another repository nothing was read
    patient.verify(person)
    assert other.end() == 0, other.said
    assert (
        subprocess.run(["sh", "-c", script], cwd=tree, env=env, capture_output=True, check=False).returncode
        == 0
    )


def test_a_read_of_a_minute_ago_counts_no_more(patient: Server) -> None:
    """The marks are for one key, one network, one repository and one minute; the sweep takes them away."""
    state = str(patient.home / "state")
    refused_reads.note(state, "a", "SHA256:k", "192.0.2.1", "app", 1000)
    here = (state, "a", "SHA256:k", "192.0.2.1", "app")
    assert refused_reads.was_refused(*here, 1060)
    assert not refused_reads.was_refused(*here, 1061)
    for other in (("b", "SHA256:k", "192.0.2.1", "app"), ("a", "SHA256:l", "192.0.2.1", "app"),
                  ("a", "SHA256:k", "192.0.2.2", "app"), ("a", "SHA256:k", "192.0.2.1", "other")):  # fmt: skip
        assert not refused_reads.was_refused(state, *other, 1001)
    refused_reads.note(state, "a", "SHA256:k", "2001:db8::1", "app", 1000)
    assert refused_reads.was_refused(state, "a", "SHA256:k", "2001:db8::2", "app", 1001), (
        "a /64 is one network"
    )
    for number in range(refused_reads.MOST_OF_KEY + 5):
        refused_reads.note(state, "many", "SHA256:k", "192.0.2.1", f"r{number}", 1000)
    assert refused_reads.was_refused(state, "many", "SHA256:k", "192.0.2.1", "never-read", 1001), (
        "full is closed"
    )
    pruning.clear_marks(state, 5000)
    assert not refused_reads.was_refused(state, "many", "SHA256:k", "192.0.2.1", "r1", 1001)


DULWICH = """
import sys
from dulwich import porcelain
from dulwich.client import SubprocessSSHVendor
import dulwich.client, shlex, subprocess
class Vendor(SubprocessSSHVendor):
    def run_command(self, host, command, username=None, port=None, password=None, key_filename=None, ssh_command=None, protocol_version=None, **rest):
        words = shlex.split(sys.argv[3]) + ["-T", f"{username}@{host}", command if isinstance(command, str) else command.decode()]
        proc = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        return dulwich.client.SubprocessWrapper(proc)
dulwich.client.get_ssh_vendor = Vendor
porcelain.push(sys.argv[1], sys.argv[2], sys.argv[4], errstream=sys.stderr.buffer)
"""


def test_another_client_waits_as_well(patient: Server) -> None:
    """dulwich, which knows nothing of us, pushes to a protected branch: it hangs on while
    the hook waits, and succeeds.
    """
    person = member(patient, "snake")
    tree = patient.work_tree(person, "app", "snake")
    ssh = patient.git_env(person)["GIT_SSH_COMMAND"]
    url = f"ssh://{patient.account}@127.0.0.1/app"
    process = subprocess.Popen(
        [sys.executable, "-c", DULWICH, str(tree), url, f"{ssh} -p {patient.port}", "HEAD:refs/heads/snake"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: bool(held(patient)) or process.poll() is not None)
    if process.poll() is None:
        patient.verify(person)
    out, err = process.communicate(timeout=MOST_SECONDS)
    assert process.returncode == 0, out + err
    assert (patient.directory("app") / "refs/heads/snake").exists()


def test_an_encrypted_remote_is_not_overwritten(patient: Server, tmp_path: Path) -> None:
    """git-remote-gcrypt takes a refused read for an empty remote, and pushes by force.
    EXPECTED: nothing there is replaced.
    """
    person = member(patient, "crypt")
    tree = patient.work_tree(person, "closed", "crypt")
    gnupg = tmp_path / "gnupg"
    gnupg.mkdir(mode=0o700)
    env = {**patient.git_env(person), "GNUPGHOME": str(gnupg), "HOME": str(tmp_path)}
    made = subprocess.run(
        ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "t@example.com", "rsa2048", "sign,encrypt"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    fpr = subprocess.run(
        ["gpg", "--batch", "--list-keys", "--with-colons"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    encrypt = next(line.split(":")[9] for line in fpr.stdout.splitlines() if line.startswith("fpr"))
    for name, value in (
        ("user.signingkey", encrypt),
        ("gcrypt.participants", encrypt),
        ("gcrypt.publish-participants", "true"),
    ):
        subprocess.run(["git", "config", name, value], cwd=tree, env=env, check=True)
    push = ["git", "push", "--quiet", f"gcrypt::{patient.url('closed')}", "HEAD:refs/heads/master"]

    def refs() -> str:
        return patient.git(person, "for-each-ref", cwd=patient.directory("closed")).out

    try:
        patient.verify(person)
        first = subprocess.run(
            push, cwd=tree, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert first.returncode == 0, first.stderr
        there = refs()
        assert there
        patient.ssh(person, "2fa leave", status=0)
        began = time.monotonic()
        second = subprocess.run(
            push, cwd=tree, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert second.returncode != 0
        assert time.monotonic() - began < MOST_SECONDS
        assert "waits up to" not in second.stderr
        assert refs() == there
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=env, capture_output=True, check=False)
