"""The push check: input, grants, revocation, other hooks. Real git, the real hook file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitguard.decision.updates import parse_updates
from gitguard.machine.process import parent_and_start
from gitguard.message.reasons import Refusal
from gitguard.repository.refs import with_targets
from gitguard.session.credential import ssh_key
from gitguard.session.grant import Grant, seal
from lab.meddling import meddle
from lab.server import Done, Person, Server

OLD, NEW = "0" * 40, "1" * 40
GOOD = f"{OLD} {NEW} refs/heads/main\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", GOOD[:-1], GOOD + GOOD[:-1], f"{OLD} {NEW}\n".encode(), GOOD + b"\n", f"{OLD}  {NEW} refs/heads/main\n".encode(),
        f"{OLD} {NEW} refs/heads/a b\n".encode(), f"{OLD[:-1]} {NEW} refs/heads/main\n".encode(), f"{OLD} {'z' * 40} refs/heads/main\n".encode(),
        f"{OLD} {NEW} heads/main\n".encode(), f"{OLD} {NEW} refs/heads/\0\n".encode(), f"{OLD} {NEW} refs/heads/".encode() + b"\xff\xfe\n",
        f"{OLD} {NEW} refs/heads/".encode() + b"x" * 1_000_000 + b"\n", GOOD.replace(b"\n", b"\r\n").replace(b"main", b"ma in"), b"\0" * 100,
    ],
)  # fmt: skip
def test_malformed_input_is_refused(data: bytes) -> None:
    """Never an empty list, never exit 0."""
    with pytest.raises(Refusal) as caught:
        parse_updates(data)
    assert caught.value.reason == "malformed-command"


def test_a_big_legal_push_passes() -> None:
    """A hundred thousand refs, and the long names of SHA-256 repositories."""
    lines = b"".join(f"{OLD} {NEW} refs/tags/v{number}\n".encode() for number in range(100_000))
    assert len(parse_updates(lines)) == 100_000
    assert parse_updates(f"{'0' * 64} {'a' * 64} refs/heads/gr\u00fcn\n".encode())


class Repository:
    """A known repository, and its hook as a program."""

    def __init__(self, server: Server, name: str, require: str) -> None:
        self.server = server
        server.new_repository(name, require)
        self.name = name
        self.directory = server.directory(name)

    def hook(self, *, stdin: bytes = GOOD, grant: str | None = None, cwd: Path | None = None) -> Done:
        """Run the hook as git would, from this process."""
        environment = {"PATH": "/usr/bin:/bin", "GIT_DIR": "."}
        if grant is not None:
            environment["GITGUARD_GRANT"] = grant
        done = subprocess.run(
            [str(self.directory / "hooks/pre-receive")],
            input=stdin,
            capture_output=True,
            cwd=cwd or self.directory,
            env=environment,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def grant(self, person: Person, **changes: object) -> str:
        """A grant for a push by `person` that this very process is the gate of, with `changes`."""
        secret = (self.server.home / "state" / "grant.key").read_bytes()
        session = self.server.admin("session", "list", person.name, "--json").out

        live = json.loads(session)
        fields: dict[str, object] = {
            "kind": "push", "user": person.name, "credential": ssh_key(person.fingerprint), "address": "127.0.0.1", "directory": str(self.directory),
            "session": live[0]["id"] if live else 0, "age_seconds": 5 if live else -1, "at": int(time.time()), "pid": os.getpid(),
            "started": parent_and_start("self")[1], "decision": "abcd1234", **changes,
        }  # fmt: skip
        return seal(Grant(**fields), secret)  # type: ignore[arg-type]


pytestmark = pytest.mark.e2e


@pytest.fixture
def closed(shared_server: Server, request: pytest.FixtureRequest) -> Repository:
    """A repository that requires 2FA for pushes."""
    return Repository(
        shared_server,
        "hook/" + request.node.name.replace("[", "-").replace("]", "").replace("_", "-"),
        "push",
    )


@pytest.fixture
def verified(shared_server: Server, request: pytest.FixtureRequest) -> Person:
    """A user with a live session."""
    return shared_server.new_user(
        "hook-" + request.node.name.replace("[", "-").replace("]", "").replace("_", "-")[-50:]
    )


def test_without_a_grant_what_is_required_is_refused(closed: Repository) -> None:
    """A local push as the Git account, another sshd line, HTTP without identity."""
    done = closed.hook()
    assert done.status == 10
    assert "[no-grant]" in done.err


def test_without_a_grant_what_is_open_goes_on(shared_server: Server) -> None:
    """Nothing is required, so a local maintenance push works."""
    assert Repository(shared_server, "hook/open", "none").hook().status == 0


def test_a_grant_of_this_process_is_good(closed: Repository, verified: Person) -> None:
    """The control: with everything right the hook lets the push in."""
    assert closed.hook(grant=closed.grant(verified)).status == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"directory": "/srv/elsewhere.git"},
        {"pid": 1, "started": 0},
        {"started": 1},
        {"at": 1_000_000_000},
        {"at": 4_000_000_000},
    ],
)
def test_a_grant_of_something_else_is_none(
    closed: Repository, verified: Person, changes: dict[str, object]
) -> None:
    """Another process, another repository, a day later, a pid that was used again."""
    done = closed.hook(grant=closed.grant(verified, **changes))
    assert (done.status, "[no-grant]" in done.err) == (10, True)


@pytest.mark.parametrize("grant", ["", "x", "x\ny", "\n" * 10])
def test_a_forged_grant_is_none(closed: Repository, grant: str) -> None:
    """ATTACK: someone who can set the hook's environment but not read the key."""
    assert closed.hook(grant=grant).status == 10


def test_a_grant_without_a_session_is_not_enough(closed: Repository, verified: Person) -> None:
    """The gate let someone on when nothing was required; it was tightened meanwhile."""
    done = closed.hook(grant=closed.grant(verified, session=0, age_seconds=-1))
    assert (done.status, "[verification-required]" in done.err) == (10, True)


def test_a_session_that_ran_out_meanwhile_still_counts(closed: Repository, verified: Person) -> None:
    """A long upload: fresh at gate time is fresh."""
    grant = closed.grant(verified)
    server = closed.server

    meddle(
        server.kept,
        "UPDATE sessions SET verified_at = verified_at - 90000, boot_seconds = boot_seconds - 90000 WHERE user_name = ?",
        (verified.name,),
    )
    assert closed.hook(grant=grant).status == 0


def test_a_shortened_lifetime_counts_at_once(closed: Repository, verified: Person) -> None:
    """Today's policy: the lifetime that the repository has now, against the age that the session had then."""
    grant = closed.grant(verified, age_seconds=700)
    closed.server.admin("repo", "lifetime", closed.name, "10m")
    assert "[verification-expired]" in closed.hook(grant=grant).err


@pytest.mark.parametrize("how", ["leave", "revoke", "reset", "suspend", "key"])
def test_a_session_that_was_ended_meanwhile_does_not(closed: Repository, verified: Person, how: str) -> None:
    """Leave, revoke, reset, suspend, a key taken away: the push that rode on it is refused by the hook."""
    grant = closed.grant(verified)
    server = closed.server
    if how == "leave":
        server.ssh(verified, "2fa leave", status=0)
    elif how == "revoke":
        server.admin("session", "revoke", verified.name)
    elif how == "key":
        server.admin("key", "remove", verified.fingerprint)
    else:
        server.admin("user", how, verified.name)
    done = closed.hook(grant=grant)
    expected = {"suspend": 14, "key": 14, "reset": 11}.get(how, 10)
    assert done.status == expected, done.err


def test_verifying_anew_after_leaving_does_not_revive_a_grant(closed: Repository, verified: Person) -> None:
    """A new session has a new number."""
    grant = closed.grant(verified)
    server = closed.server
    server.ssh(verified, "2fa leave", status=0)
    server.clear_watermark(verified)
    server.verify(verified)
    assert closed.hook(grant=grant).status == 10


def test_malformed_input_to_the_real_hook(closed: Repository, verified: Person) -> None:
    """An allowed push with input that is not Git's is refused all the same."""
    done = closed.hook(grant=closed.grant(verified), stdin=b"no refs here\n")
    assert (done.status, "[malformed-command]" in done.err) == (20, True)


def test_an_unknown_repository_is_refused(closed: Repository, verified: Person, tmp_path: Path) -> None:
    """The hook copied into a directory that the store does not know."""
    done = closed.hook(cwd=tmp_path)
    assert (done.status, "[no-such-repository]" in done.err) == (21, True)


def write_hook(folder: Path, name: str, body: str, mode: int = 0o755) -> None:
    """Another hook of the repository."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n" + body)
    (folder / name).chmod(mode)


def test_other_hooks_still_run(closed: Repository, verified: Person) -> None:
    """In name order, with the input, without the grant; the first failure stops and refuses."""
    others = closed.directory / "hooks" / "pre-receive.d"
    said = closed.directory / "said"
    write_hook(others, "20-second", f"cat >> {said}; echo second >> {said}\n")
    write_hook(others, "10-first", f'echo "first ${{GITGUARD_GRANT-no grant}}" >> {said}\n')
    write_hook(others, "15-not-executable", f"echo never >> {said}\n", 0o644)
    assert closed.hook(grant=closed.grant(verified)).status == 0
    assert said.read_text() == f"first no grant\n{GOOD.decode()}second\n"
    write_hook(others, "15-refuses", "echo no way >&2; exit 3\n")
    said.unlink()
    done = closed.hook(grant=closed.grant(verified))
    assert (done.status, done.err) == (3, "no way\n")
    assert said.read_text() == "first no grant\n"


def test_other_hooks_do_not_run_for_a_refused_push(closed: Repository) -> None:
    """Ours is first."""
    said = closed.directory / "said"
    write_hook(closed.directory / "hooks" / "pre-receive.d", "10-first", f"echo ran > {said}\n")
    assert closed.hook().status == 10
    assert not said.exists()


def test_a_hook_that_others_may_write_is_not_run(closed: Repository, verified: Person) -> None:
    """ATTACK: someone else on the machine edits a chained hook. EXPECTED: the push is refused by name."""
    others = closed.directory / "hooks" / "pre-receive.d"
    write_hook(others, "10-first", "exit 0\n", 0o777)
    assert closed.hook(grant=closed.grant(verified)).status == 22


def test_a_hook_that_ignores_a_big_input(closed: Repository, verified: Person) -> None:
    """More than a pipe holds, never read: no hang, no traceback."""
    write_hook(closed.directory / "hooks" / "pre-receive.d", "10-deaf", "exit 0\n")
    lines = b"".join(f"{OLD} {NEW} refs/tags/v{number}\n".encode() for number in range(5000))
    assert closed.hook(grant=closed.grant(verified), stdin=lines).status == 0


def test_a_chained_hook_killed_by_a_signal_refuses(closed: Repository, verified: Person) -> None:
    """Its death is a refusal."""
    write_hook(closed.directory / "hooks" / "pre-receive.d", "10-dies", "kill -9 $$\n")
    assert closed.hook(grant=closed.grant(verified)).status == 128 + 9


def test_every_ref_of_a_push_and_deletions(closed: Repository, verified: Person) -> None:
    """A real push of many refs, an atomic one, and a deletion all pass the hook with a session."""
    server = closed.server
    tree = server.work_tree(verified, closed.name)
    for number in range(20):
        server.git(verified, "tag", f"v{number}", cwd=tree, status=0)
    server.git(verified, "push", "--quiet", "--atomic", "origin", "main", "--tags", cwd=tree, status=0)
    server.git(verified, "push", "--quiet", "origin", ":v3", cwd=tree, status=0)
    assert "v3" not in server.git(verified, "ls-remote", "origin", cwd=tree, status=0).out.split()
    assert "refs/tags/v4" in server.git(verified, "ls-remote", "origin", cwd=tree, status=0).out


def test_an_admins_shorter_session_counts_for_a_grant_too(closed: Repository, verified: Person) -> None:
    """A session of a minute is no proof for a push that began two minutes after it."""
    server = closed.server
    server.admin("session", "revoke", verified.name)
    words = ("--reason", "test", "--key", verified.fingerprint, "--from", "127.0.0.1")
    server.admin("session", "open", verified.name, "--for", "1m", *words)
    assert closed.hook(grant=closed.grant(verified, age_seconds=30)).status == 0
    done = closed.hook(grant=closed.grant(verified, age_seconds=61))
    assert done.status == 10
    assert "[verification-expired]" in done.err


def test_a_grant_of_no_session_is_not_that_of_the_live_one(closed: Repository, verified: Person) -> None:
    """Number 0 means none, whatever the store has; with an age that looks fresh it proves nothing."""
    done = closed.hook(grant=closed.grant(verified, session=0, age_seconds=1))
    assert done.status == 10


def test_the_repository_is_git_dirs(closed: Repository, verified: Person, shared_server: Server) -> None:
    """Git starts a hook with GIT_DIR; started elsewhere, the hook judges that
    repository and not where it stands.
    """
    other = Repository(shared_server, "hook/standing-elsewhere", "none")
    environment = {"PATH": "/usr/bin:/bin", "GIT_DIR": str(closed.directory)}
    done = subprocess.run(
        [str(closed.directory / "hooks/pre-receive")],
        input=GOOD, capture_output=True, cwd=other.directory, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 10
    assert b"[no-grant]" in done.stderr
    del verified


def test_input_without_end_is_refused() -> None:
    """A client that names refs for ever fills no memory: the bound is looked at while reading."""
    script = (
        "import gitguard.hook.main as hook\nhook.LONGEST_INPUT = 1000\n"
        "from gitguard.message.reasons import Refusal\n"
        "try:\n    hook._input()\nexcept Refusal as refusal:\n    print(refusal.reason)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=b"x" * 1001, capture_output=True, check=True)
    assert done.stdout == b"malformed-command\n"
    done = subprocess.run([sys.executable, "-c", script], input=b"x" * 1000, capture_output=True, check=True)
    assert done.stdout == b""


def test_a_hook_that_cannot_be_started_does_not_consent(closed: Repository, verified: Person) -> None:
    """Its interpreter is gone: Git would fail the push, and so do we."""
    folder = closed.directory / "hooks/pre-receive.d"
    folder.mkdir()
    (folder / "10-gone").write_text("#!/nonexistent/python\n")
    (folder / "10-gone").chmod(0o755)
    done = closed.hook(grant=closed.grant(verified))
    assert done.status == 126
    assert "10-gone" in done.err


@pytest.mark.parametrize("name", ["10-link", "zz-link"])
def test_a_link_that_leads_nowhere_refuses(closed: Repository, verified: Person, name: str) -> None:
    """A shared check whose target was moved: skipping it in silence would let everything through."""
    folder = closed.directory / "hooks/pre-receive.d"
    folder.mkdir()
    (folder / name).symlink_to("/nonexistent/check")
    done = closed.hook(grant=closed.grant(verified))
    assert done.status == 22
    assert "[hook-not-live]" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_another_hook_counts(closed: Repository, verified: Person) -> None:
    """Whoever owns the folder can put another program under the hook's name."""
    folder = closed.directory / "hooks/pre-receive.d"
    folder.mkdir()
    (folder / "10-check").write_text("#!/bin/sh\nexit 0\n")
    (folder / "10-check").chmod(0o755)
    assert closed.hook(grant=closed.grant(verified)).status == 0
    os.chown(folder, 65533, 65533)
    done = closed.hook(grant=closed.grant(verified))
    assert "[hook-not-live]" in done.err
    os.chown(folder, 0, 0)


@pytest.mark.parametrize(("nested", "status"), [(False, 0), (True, 10)], ids=["alone", "nested"])
def test_a_grant_without_a_directory_is_for_the_first_push_alone(
    closed: Repository, verified: Person, nested: bool, status: int
) -> None:
    """Behind a program the gate knew no directory. A hook that pushes on elsewhere
    inherits it, and it is none there.
    """
    hook = f"{closed.directory}/hooks/pre-receive; exit $?"
    inner = f"(exec -a git-receive-pack bash -c '{hook}'); exit $?" if nested else hook
    done = subprocess.run(
        ["git-receive-pack", "-c", inner],
        executable="/bin/bash",
        input=GOOD,
        capture_output=True,
        cwd=closed.directory,
        env={"PATH": "/usr/bin:/bin", "GIT_DIR": ".", "GITGUARD_GRANT": closed.grant(verified, directory="")},
        check=False,
    )
    assert done.returncode == status, done.stderr
    if nested:
        assert b"[no-grant]" in done.stderr


@pytest.mark.parametrize("kind", ["text", "link"])
def test_what_a_symbolic_ref_stands_for_is_judged(tmp_path: Path, kind: str) -> None:
    """Git keeps one as a text, or (core.preferSymlinkRefs) as a link, and writes through both."""
    (tmp_path / "refs/heads").mkdir(parents=True)
    (tmp_path / "refs/heads/main").write_text("1" * 40 + "\n")
    old = tmp_path / "refs/heads/old"
    if kind == "text":
        old.write_text("ref: refs/heads/main\n")
    else:
        old.symlink_to("refs/heads/main")
    update = ("0" * 40, "2" * 40, "refs/heads/old")
    assert [ref for _, _, ref in with_targets((update,), str(tmp_path))] == [
        "refs/heads/old",
        "refs/heads/main",
    ]


@pytest.mark.parametrize("ref", ["refs/../../secret", "refs/heads/../../config", "refs/heads/pipe"])
def test_a_refs_name_leads_nowhere_else(tmp_path: Path, ref: str) -> None:
    """ATTACK: Git checks names only after this hook, so a client may send a path. EXPECTED:
    refused, at once, also at a pipe.
    """
    (tmp_path / "refs/heads").mkdir(parents=True)
    os.mkfifo(tmp_path / "refs/heads/pipe")
    with pytest.raises(Refusal) as caught:
        with_targets((("0" * 40, "2" * 40, ref),), str(tmp_path))
    assert caught.value.reason == "malformed-command"
