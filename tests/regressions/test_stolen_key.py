"""What a thief with a key, or a machine that is half broken, tried in review; each was open once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.host.places import PYTHON
from lab.server import ACCOUNT, Done, Person, Server, run

pytestmark = pytest.mark.e2e


def gate(
    server: Server,
    person: Person,
    command: str | None,
    *words: str,
    env: dict[str, str] | None = None,
    home: Path | None = None,
    timeout: int = 20,
) -> Done:
    """Start the gate as sshd does, without sshd."""
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(home or server.folder), "USER": ACCOUNT, "SSH_CONNECTION": "127.0.0.1 5 127.0.0.1 22", **(env or {}),
    }  # fmt: skip
    if command is not None:
        environment["SSH_ORIGINAL_COMMAND"] = command
    launcher = str(server.home / "bin" / "gitguard-shell")
    return run(
        [launcher, "--user", person.name, "--key", person.fingerprint, *words],
        env=environment,
        status=None,
        timeout=timeout,
        cwd=home,
    )


@pytest.fixture
def alice(server: Server) -> Person:
    """An enrolled user without a session; `closed` requires 2FA, `open` nothing."""
    person = server.new_user("alice", in_session=False)
    for name, require in (("closed", "all"), ("open", "none")):
        server.new_repository(name, require)
    return person


def test_the_empty_name(server: Server, alice: Person, tmp_path: Path) -> None:
    """ATTACK: `git-upload-pack ''`, while the account's home is a work tree. EXPECTED:
    no-such-repository, no Git started.
    """
    run(["git", "init", "-q", str(tmp_path)])
    for verb in ("git-upload-pack", "git-receive-pack", "git-upload-archive"):
        done = gate(server, alice, f"{verb} ''", home=tmp_path)
        assert (done.status, "[no-such-repository]" in done.out) == (21, True)
    show = server.folder / "show"
    show.write_text('#!/bin/sh\necho ran "$SSH_ORIGINAL_COMMAND"\n')
    show.chmod(0o755)
    for command in ("git-upload-pack ''", "git-lfs-authenticate '' download"):
        done = gate(server, alice, command, "--", str(show))
        assert (done.status, "ran" in done.out) == (21, False)


@pytest.fixture
def show(server: Server) -> str:
    """A downstream program that says what it was given."""
    path = server.folder / "downstream"
    path.write_text('#!/bin/sh\necho "ran $0 $* for $SSH_ORIGINAL_COMMAND"\n')
    path.chmod(0o755)
    return str(path)


def test_downstream_gets_what_was_parsed(server: Server, alice: Person, show: str) -> None:
    """The client's bytes end at the gate: what the program sees is rebuilt from the parsed request."""
    done = gate(server, alice, "git upload-pack '//open.git/'", "--", show, "serv", "key-7")
    assert done.out == f"ran {show} serv key-7 for git-upload-pack 'open'\n"
    lfs = gate(server, alice, "git-lfs-authenticate open.git download", "--", show)
    assert lfs.out == f"ran {show}  for git-lfs-authenticate 'open' 'download'\n"
    refused = gate(server, alice, "git-upload-pack 'closed'; id", "--", show)
    assert "ran" not in refused.out


def test_case_behind_a_program_that_folds_it(server: Server, alice: Person, show: str) -> None:
    """ATTACK: `Closed` where the program behind the gate folds case. EXPECTED: never laxer than `closed`."""
    for name in ("CLOSED", "Closed", "closeD.git"):
        done = gate(server, alice, f"git-upload-pack '{name}'", "--", show)
        assert (done.status, "ran" in done.out) == (10, False), (
            "the same answer as for a name that is not there"
        )
    server.clear_watermark(alice)
    server.verify(alice)
    done = gate(server, alice, "git-upload-pack 'CLOSED'", "--", show)
    assert (done.status, "ran" in done.out) == (21, False)


def test_what_is_there_does_not_show_behind_a_program(server: Server, alice: Person, show: str) -> None:
    """Without a session, the closed one and one that is not there get the same answer;
    with one, the program answers.
    """
    answers = [gate(server, alice, f"git-upload-pack '{name}'", "--", show) for name in ("closed", "nowhere")]
    assert {(answer.status, "[verification-required]" in answer.out) for answer in answers} == {(10, True)}
    server.clear_watermark(alice)
    server.verify(alice)
    assert "ran" in gate(server, alice, "git-upload-pack 'nowhere'", "--", show).out


def test_pass_commands_need_a_session(server: Server, alice: Person, show: str) -> None:
    """Downstream's own verbs are let through after a session, under every enforcement."""
    server.configure(git={"pass_commands": ["perms"]})
    for enforcement in ("opt-in", "rules", "off", "enforced"):
        server.configure(git={"enforcement": enforcement})
        done = gate(server, alice, "perms open +r bob", "--", show)
        assert (done.status, "ran" in done.out) == (10, False), enforcement
    server.clear_watermark(alice)
    server.verify(alice)
    assert "for perms 'open' '+r' 'bob'" in gate(server, alice, "perms open +r bob", "--", show).out
    assert gate(server, alice, "perms open").status == 20, (
        "without a program behind the gate there is nothing to pass to"
    )


@pytest.mark.parametrize(
    "line",
    [
        "{type}\t{blob} tabs",
        "{type}  {blob} two blanks",
        "no-pty\t{type} {blob}",
        'command="a \\"b c",no-pty {type} {blob}',
        "  {type} {blob}",
        'environment="A=ssh-rsa AAAA" {type} {blob}',
    ],
)
def test_key_lines_as_sshd_reads_them(server: Server, line: str) -> None:
    """ATTACK: alice's key stands ungated, spelled so that only sshd finds it.
    EXPECTED: found, and refused.
    """
    mallory = server.new_key("mallory")
    words = mallory.key.with_suffix(".pub").read_text().split()
    with open(server.key_file, "a") as file:
        file.write(line.format(type=words[0], blob=words[1]) + "\n")
    assert mallory.fingerprint in server.admin("key", "list").out
    assert (
        "stands ungated"
        in server.admin("user", "add", "mallory", "--key", f"{mallory.key}.pub", status=2).err
    )


@pytest.mark.parametrize("what", ["state/gitguard.db", "state/grant.key", "state/secret.keys"])
@pytest.mark.parametrize("how", ["mode", "owner", "link", "pipe"])
def test_files_of_others_are_not_believed(server: Server, alice: Person, what: str, how: str) -> None:
    """Store and keys that others may write, own, or have put a link or a pipe
    in place of: refused in time.
    """
    server.clear_watermark(alice)
    server.verify(alice)
    path = server.home / what
    if how == "mode":
        path.chmod(0o666)
    elif how == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give a file away")
        os.chown(path, 12345, 12345)
    elif how == "link":
        others = server.folder / "others"
        others.mkdir()
        path.rename(others / "file")
        path.symlink_to(others / "file")
        others.chmod(0o777)
    else:
        path.unlink()
        os.mkfifo(path, 0o600)
    began = time.monotonic()
    if what == "state/secret.keys":
        done = server.ssh(alice, "2fa status")
        assert (done.status, "[store-unavailable]" in done.err) == (40, True)
    else:
        done = gate(server, alice, "git-receive-pack 'closed'")
        assert (done.status, "[store-unavailable]" in done.out) == (40, True), done.text
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("what", ["log/access.log", "state/config.compiled"])
def test_a_pipe_hangs_nobody(server: Server, alice: Person, what: str) -> None:
    """ATTACK on time: a pipe in place of the log or the compiled configuration.
    EXPECTED: an answer, no hang.
    """
    path = server.home / what
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    done = gate(server, alice, "git-upload-pack 'closed'", timeout=10)
    assert done.status == 10
    server.clear_watermark(alice)


def test_a_cut_line_does_not_swallow_the_next(server: Server, alice: Person) -> None:
    """A full disk left half a line; the next decision stands on a line of its own."""
    with open(server.access_log, "a") as file:
        file.write('{"id":"half')
    gate(server, alice, "git-upload-pack 'closed'")
    lines = server.access_log.read_text().splitlines()
    assert lines[-2] == '{"id":"half'
    assert lines[-1].endswith("}")


def test_a_log_that_cannot_be_written(server: Server, alice: Person) -> None:
    """What requires a proof is refused (log-unavailable); what requires none continues."""
    server.clear_watermark(alice)
    server.verify(alice)
    server.access_log.unlink(missing_ok=True)
    server.access_log.mkdir()
    done = server.git(alice, "ls-remote", server.url("closed"), status=128)
    assert "[log-unavailable]" in done.err
    server.git(alice, "ls-remote", server.url("open"), status=0)


def test_a_program_that_is_not_there(server: Server, alice: Person) -> None:
    """One log line, and a refusal by name; no "allowed" that never was."""
    before = len(server.log())
    done = gate(server, alice, "git-upload-pack 'open'", "--", "/no/such/program")
    assert (done.status, "[internal-error]" in done.out) == (1, True)
    assert [entry["verdict"] for entry in server.log()[before:]] == ["refused"]


def test_signals_are_as_any_program_finds_them(server: Server, alice: Person) -> None:
    """Python ignores SIGPIPE and SIGXFSZ; what the gate becomes must not inherit that."""
    show = server.folder / "signals"
    show.write_text("#!/bin/sh\ngrep SigIgn /proc/self/status\n")
    show.chmod(0o755)
    ignored = int(gate(server, alice, "git-upload-pack 'open'", "--", str(show)).out.split()[1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


def test_half_an_upgrade(server: Server, alice: Person) -> None:
    """A package that cannot be loaded: closed, in words, without a traceback."""
    launcher = server.home / "bin" / "gitguard-shell"
    if server.agent is not None:
        server.agent.stop()
        launcher = (
            launcher.with_name(f"{launcher.name}{PYTHON}") if server.agent.client == "compiled" else launcher
        )
    launcher.write_text(launcher.read_text().replace("gitguard.gate.main", "gitguard.gate.gone"))
    done = gate(server, alice, "git-upload-pack 'open'")
    assert done.status == 1
    assert "Traceback" not in done.text
    assert "[internal-error]" in done.err


def test_corrupt_heads_and_twins(server: Server, alice: Person) -> None:
    """ATTACK: an empty HEAD makes Git try the next suffix, where another
    repository waits. EXPECTED: refused.
    """
    (server.directory("open") / "HEAD").write_text("")
    run(["git", "init", "-q", f"{server.directory('open')}.git"])
    done = gate(server, alice, "git-upload-pack 'open'")
    assert (done.status, "[no-such-repository]" in done.out) == (21, True)


def test_linked_packs(server: Server, alice: Person) -> None:
    """ATTACK: `objects/pack` of an open repository is a link to a closed one's. EXPECTED: refused."""
    pack = server.directory("open") / "objects" / "pack"
    pack.rmdir()
    pack.symlink_to(server.directory("closed") / "objects" / "pack")
    assert gate(server, alice, "git-upload-pack 'open'").status == 21


def test_a_linked_root_by_the_path_of_old_remotes(server: Server, alice: Person) -> None:
    """Remotes that name the configured path of a linked root continue working."""
    link = server.folder / "old-root"
    link.symlink_to(server.repositories)
    server.configure(paths={"repositories": str(link)})
    url = server.url("open").replace("/open", f"{link}/open")
    assert server.git(alice, "ls-remote", url).status == 0


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "OPENSSL_CONF"])
def test_variables_that_act_before_us(server: Server, alice: Person, name: str) -> None:
    """Seen in our environment they mean that sshd accepts too much; refused, with
    the line to change in the log.
    """
    done = gate(server, alice, "git-upload-pack 'open'", env={name: ""})
    assert (done.status, "[config-invalid]" in done.out) == (30, True)
    assert "AcceptEnv" in str(server.log()[-1]["because"])


def test_client_environment_does_not_reach_our_own_commands(server: Server, alice: Person) -> None:
    """ATTACK: `SetEnv _2FA_COMPLETE=bash_source` under AcceptEnv * makes click print a script and exit 0."""
    done = gate(
        server,
        alice,
        "2fa verify 000000",
        env={"_2FA_COMPLETE": "bash_source", "COLUMNS": "1", "PYTHONPATH": "/tmp"},
    )
    assert done.status == 12


@pytest.mark.parametrize(
    "line", ["git  upload-pack 'closed'", " git-upload-pack 'closed'", "'git-upload-pack' 'closed'"]
)
def test_odd_spellings_of_a_git_verb_get_a_packet(server: Server, alice: Person, line: str) -> None:
    """Whatever parses as a Git verb is refused in Git's protocol."""
    assert gate(server, alice, line).out[4:8] == "ERR "


def test_identity_comes_from_the_key_line_alone(server: Server, alice: Person) -> None:
    """Arguments that are not the key line's: no-identity, logged."""
    launcher = str(server.home / "bin" / "gitguard-shell")
    for words in (
        [],
        ["--user", "alice"],
        ["--user", "Alice", "--key", alice.fingerprint],
        ["--user", "alice", "--key", "x"],
        ["--user", "alice", "--key", alice.fingerprint, "--"],
        ["--key", alice.fingerprint, "--user", "alice"],
    ):
        done = run(
            [launcher, *words],
            env={"PATH": "/usr/bin:/bin", "SSH_ORIGINAL_COMMAND": "git-upload-pack 'open'"},
            status=None,
        )
        assert (done.status, "[no-identity]" in done.out) == (14, True), words
    assert server.log()[-1]["reason"] == "no-identity"


@pytest.fixture
def parked(server: Server, alice: Person) -> Iterator[subprocess.Popen[bytes]]:
    """A v2 upload-pack on `open`, advertised and left idle, begun without a session."""
    command = server.ssh_command(
        alice, "git-upload-pack 'open'", options=("-o", "SetEnv=GIT_PROTOCOL=version=2")
    )
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert b"version 2" in os.read(process.stdout.fileno(), 4096)
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the connection ends by itself soon."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_a_parked_reader_ends_when_it_is_tightened(server: Server, parked: subprocess.Popen[bytes]) -> None:
    """An open connection does not outlive the toggle."""
    assert "1 running transfer" in server.admin("repo", "require", "open", "all").out
    assert ended(parked)


def test_a_parked_reader_stays_when_it_need_not_end(server: Server, parked: subprocess.Popen[bytes]) -> None:
    """Loosening, a lifetime, and a demand on pushes alone end no reader."""
    for words in (
        ("require", "open", "push"),
        ("lifetime", "open", "1h"),
        ("require", "open", "none"),
        ("require", "closed", "push"),
    ):
        assert "ended" not in server.admin("repo", *words).out
    assert parked.poll() is None


@pytest.mark.parametrize(
    "how", [("user", "suspend", "alice"), ("user", "reset", "alice"), ("user", "remove", "alice", "--yes")]
)
def test_a_parked_reader_ends_with_its_user(
    server: Server, parked: subprocess.Popen[bytes], how: tuple[str, ...]
) -> None:
    """Suspend, reset, remove."""
    server.admin(*how)
    assert ended(parked)


def test_a_parked_borrower_ends_with_its_lender(server: Server, alice: Person) -> None:
    """Tightening the lender ends readers of what borrows from it."""
    fork = server.directory("fork")
    run(["git", "clone", "-q", "--bare", "-s", str(server.directory("open")), str(fork)])
    server.admin("repo", "adopt", "fork")
    command = server.ssh_command(
        alice, "git-upload-pack 'fork'", options=("-o", "SetEnv=GIT_PROTOCOL=version=2")
    )
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 4096)
    server.admin("repo", "require", "open", "all")
    assert ended(process)
    process.stdout.close()
    if process.stdin is not None:
        process.stdin.close()
    assert gate(server, alice, "git-upload-pack 'fork'").status == 10


def test_a_session_that_is_left_ends_its_transfers(server: Server, alice: Person) -> None:
    """Leave and revoke end what the ended session let in, over any other connection."""
    for how in ("leave", "revoke"):
        server.clear_watermark(alice)
        server.verify(alice)
        process = subprocess.Popen(
            server.ssh_command(alice, "git-upload-pack 'closed'"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 4096)
        if how == "leave":
            assert "1 running transfer" in server.ssh(alice, "2fa leave", status=0).out
        else:
            server.admin("session", "revoke", "alice")
        assert ended(process)
        process.stdout.close()
        if process.stdin is not None:
            process.stdin.close()


def test_a_hand_moved_repository_keeps_its_demand(server: Server, alice: Person) -> None:
    """A repository moved by hand does not come back open: adopt refuses,
    rename follows it with its toggle.
    """
    server.directory("closed").rename(server.directory("moved"))
    refused = server.admin("repo", "adopt", "--all", status=2)
    assert "gitguard admin repo rename closed moved" in refused.err
    assert gate(server, alice, "git-upload-pack 'moved'").status == 21
    server.admin("repo", "rename", "closed", "moved")
    assert gate(server, alice, "git-upload-pack 'moved'").status == 10
    assert (
        "neither" in server.admin("repo", "rename", "moved", "x", status=None).err
        or server.directory("x").exists()
    )


def test_forgetting_says_what_is_lost(server: Server, alice: Person) -> None:
    """The switch goes with it, and both commands say so."""
    done = server.admin("repo", "forget", "closed")
    assert "its switch is forgotten too: require all" in done.out
    assert "adopted, requires none" in server.admin("repo", "adopt", "closed").out


def test_a_chained_push_to_an_open_repository(server: Server, alice: Person) -> None:
    """A hook that pushes elsewhere inherits a grant that is not for it: it counts
    as none, and open stays open.
    """
    server.admin("repo", "create", "mirror")
    post = server.directory("open") / "hooks" / "post-receive"
    post.write_text(
        f"#!/bin/sh\nunset GIT_DIR GIT_QUARANTINE_PATH\ncd {server.directory('open')} && git push -q {server.directory('mirror')} main\n"
    )
    post.chmod(0o755)
    tree = server.work_tree(alice, "open")
    done = server.git(alice, "push", "origin", "main", cwd=tree, status=0)
    assert "no-grant" not in done.err
    assert (server.directory("mirror") / "refs" / "heads" / "main").exists()
    server.admin("repo", "require", "mirror", "push")
    (tree / "file").write_text("more\n")
    server.git(alice, "commit", "-qam", "more", cwd=tree, status=0)
    assert "no-grant" in server.git(alice, "push", "origin", "main", cwd=tree, status=0).err


@pytest.mark.parametrize("name", ["a b", "a;b", "a$b", "a'b"])
def test_places_that_cannot_stand_in_a_key_line(tmp_path: Path, name: str) -> None:
    """A path that the shell would split is refused by init, rather than written into dead key lines."""
    server = Server(tmp_path / name)
    done = server.raw_admin("init", "--home", str(server.home), "--account", ACCOUNT, status=2)
    assert "cannot stand in a key line" in done.err
