"""Ways around the gate that need a careless sshd, a warm connection, or a changed
machine. All over a real sshd.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.answer.git_process import program
from gitguard.config.load import load
from gitguard.decision.command import read_command
from gitguard.decision.decide import decide
from gitguard.decision.request import Request
from gitguard.host.places import places_of
from gitguard.machine.environment import PATH
from gitguard.repository.git_config import HOOKS_PATH, may_name, values_of
from gitguard.session.credential import ssh_key
from gitguard.session.moment import now
from gitguard.store.gate_query import GateQuery
from lab.server import Person, Server, run

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="session")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose sshd accepts every variable and forwards, as if our snippet had never been read."""
    server = Server(
        tmp_path_factory.mktemp("careless") / "server",
        accept_env="*",
        sshd_lines="AllowTcpForwarding yes\nPermitUserRC yes",
    )
    server.install()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def thief(careless: Server) -> Person:
    """Alice's key without her phone; `closed` requires 2FA, `open` nothing."""
    alice = careless.new_user("alice")
    for name, require in (("closed", "all"), ("open", "none")):
        careless.new_repository(name, require)
    tree = careless.work_tree(alice, "closed")
    careless.git(alice, "push", "-q", "origin", "main", cwd=tree, status=0)
    careless.git(alice, "push", "-q", careless.url("open"), "main", cwd=tree, status=0)
    careless.ssh(alice, "2fa leave", status=0)
    return alice


def set_env(**values: str) -> tuple[str, ...]:
    """Ssh options that make the client send variables."""
    return ("-o", "SetEnv=" + " ".join(f'"{name}={value}"' for name, value in values.items()))


def test_no_forward_through_a_gated_key(careless: Server, thief: Person) -> None:
    """ATTACK: `ssh -N -L` / `-W` to a port of the server, where sshd allows forwarding.
    EXPECTED: refused by `restrict`.
    """
    done = run(
        [
            "ssh",
            *careless.ssh_options(thief),
            "-p",
            str(careless.port),
            "-W",
            f"127.0.0.1:{careless.port}",
            f"{careless.account}@127.0.0.1",
        ],
        status=None,
    )
    assert done.status != 0
    assert "SSH-2.0" not in done.out
    assert "forwarding failed" in done.err or "administratively prohibited" in done.err


@pytest.mark.parametrize(
    "values",
    [
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": "/dev/null"},
        {"GIT_DIR": "/tmp/x", "GIT_WORK_TREE": "/", "GIT_EXEC_PATH": "/tmp", "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/tmp"},
        {"PYTHONPATH": "/tmp", "PYTHONSTARTUP": "/tmp/x", "PYTHONHOME": "/tmp", "PYTHONINSPECT": "1"},
        {"GITGUARD_CONFIG": "/tmp/x", "GITGUARD_USER": "bob", "GITGUARD_GRANT": "x", "GITGUARD_SESSION": "1"},
        {"GL_BYPASS_ACCESS_CHECKS": "1", "GL_ID": "user-1", "SSH_USER_AUTH": "/tmp/x", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"},
        {"HOME": "/tmp", "PATH": "/tmp", "USER": "root", "TZ": "Mars/Phobos", "GIT_PROTOCOL": "version=2\tx"},
        {"SSH_ORIGINAL_COMMAND": "git-upload-pack 'open'"},
        {"XDG_CONFIG_HOME": "/tmp", "GIT_CONFIG_GLOBAL": "/tmp/x", "GIT_CONFIG_PARAMETERS": "'core.hooksPath'='/x'"},
    ],
)  # fmt: skip
def test_no_variable_changes_anything(careless: Server, thief: Person, values: dict[str, str]) -> None:
    """ATTACK: AcceptEnv *, and the client sets what Git, Python, forges or we read.
    EXPECTED: same refusal, same person.
    """
    done = careless.ssh(thief, "git-upload-pack 'closed'", options=set_env(**values))
    assert (done.status, "[verification-required]" in done.out) == (10, True)
    assert (careless.log()[-1]["user"], careless.log()[-1]["address"]) == ("alice", "127.0.0.1")
    show = careless.ssh(thief, "git-upload-pack 'open'", options=set_env(**values))
    assert "refs/heads/main" in show.out or "fatal" not in show.err


def test_an_empty_command_is_the_keys_own_greeting(careless: Server, thief: Person) -> None:
    """ATTACK: no command, and the client sets SSH_ORIGINAL_COMMAND. EXPECTED: handled as
    a request of the key's user.
    """
    done = careless.ssh(thief, options=set_env(SSH_ORIGINAL_COMMAND="git-upload-pack 'closed'"))
    assert "hello alice" in done.out or "[verification-required]" in done.out


def test_none_of_it_reaches_git(careless: Server, thief: Person) -> None:
    """What Git's own environment is: an allow-list, seen by a hook of an open repository."""
    seen = careless.folder / "seen"
    hook = careless.directory("open") / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\nenv > {seen}\n")
    hook.chmod(0o755)
    tree = careless.work_tree(thief, "open", "env")
    options = set_env(
        GIT_TRACE="/tmp/gitguard-trace", EVIL="1", GIT_AUTHOR_NAME="x", LC_ALL="x", GITGUARD_USER="bob"
    )
    env = careless.git_env(thief, *options)
    env["GIT_SSH_COMMAND"] = "ssh " + " ".join(
        [
            *careless.ssh_options(thief),
            "-o",
            "'SetEnv=EVIL=1 GITGUARD_USER=bob GIT_TRACE=/tmp/gitguard-trace'",
        ]
    )
    run(["git", "push", "-q", "--force", "origin", "HEAD:refs/heads/env"], cwd=tree, env=env)
    names = dict(line.partition("=")[::2] for line in seen.read_text().splitlines())
    assert "EVIL" not in names
    assert "GIT_TRACE" not in names
    assert names["GITGUARD_USER"] == "alice"
    assert names["PATH"].split(":")[-3:] == ["/usr/local/bin", "/usr/bin", "/bin"]
    assert not Path("/tmp/gitguard-trace").exists()


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "OPENSSL_CONF", "GCONV_PATH"])
def test_what_acts_before_any_gate_is_seen(careless: Server, thief: Person, name: str) -> None:
    """ATTACK: variables that act in the loader or the shell. EXPECTED: refused, since sshd
    accepts too much; the log names it.
    """
    done = careless.ssh(thief, "git-upload-pack 'open'", options=set_env(**{name: "/nonexistent"}))
    assert done.status == 30
    assert name in str(careless.log()[-1]["because"])


def test_with_our_snippet_sshd_drops_them(tmp_path: Path) -> None:
    """The snippet's Match block replaces a wider global AcceptEnv: nothing of it arrives."""
    server = Server(tmp_path / "server", accept_env="*")
    server.install()
    snippet = (server.home / "sshd_config.snippet").read_text()
    server.sshd_lines = ""
    server.prepare_sshd()
    with open(server.folder / "sshd" / "config", "a") as file:
        file.write(snippet)
    server.start_prepared()
    try:
        alice = server.add_user("alice")
        server.admin("repo", "create", "open")
        done = server.ssh(
            alice, "git-upload-pack 'open'", options=set_env(LD_PRELOAD="/nonexistent", BASH_ENV="/x")
        )
        assert done.status in (0, 128), done.text
        assert server.log()[-1]["verdict"] == "allowed"
        assert server.git(
            alice,
            "-c",
            "protocol.version=2",
            "ls-remote",
            server.url("open"),
            status=0,
            env={"GIT_TRACE_PACKET": "1"},
        ).err.count("version 2")
    finally:
        server.stop()


def test_user_rc_and_environment_files(careless: Server, thief: Person) -> None:
    """A key line that gitguard wrote runs no ~/.ssh/rc even where sshd would: `restrict` says no-user-rc."""
    line = next(text for text in careless.key_file.read_text().splitlines() if thief.fingerprint in text)
    assert line.startswith("restrict,command=")


@pytest.fixture
def alice(server: Server) -> Person:
    """A verified user; `closed` requires 2FA."""
    person = server.new_user("alice")
    server.new_repository("closed", "all")
    return person


def test_a_dead_hook(server: Server, alice: Person) -> None:
    """Not executable, gone, edited, a link: the gate refuses every push, also where nothing is required."""
    server.admin("repo", "create", "open")
    tree = server.work_tree(alice, "closed")
    for name in ("closed", "open"):
        hook = server.directory(name) / "hooks" / "pre-receive"
        good = hook.read_bytes()
        for break_it in (
            lambda h: h.chmod(0o644),
            lambda h: h.unlink(),
            lambda h: h.write_text("#!/bin/sh\n"),
            _as_link,
            lambda h: h.chmod(0o777),
        ):
            break_it(hook)
            done = server.git(alice, "push", server.url(name), "main", cwd=tree, status=128)
            assert "[hook-not-live]" in done.err
            assert server.git(alice, "ls-remote", server.url(name)).status == 0, "reads go on"
            hook.unlink(missing_ok=True)
            hook.write_bytes(good)
            hook.chmod(0o755)
        server.git(alice, "push", "-q", server.url(name), "main", cwd=tree, status=0)
    server.ssh(alice, "2fa leave", status=0)
    (server.directory("closed") / "hooks" / "pre-receive").chmod(0o644)
    assert (
        "[hook-not-live]"
        in server.git(alice, "push", server.url("closed"), "main:x", cwd=tree, status=128).err
    )


def _as_link(hook: Path) -> None:
    target = hook.with_name("elsewhere")
    target.write_bytes(hook.read_bytes())
    target.chmod(0o755)
    hook.unlink()
    hook.symlink_to(target)


def test_hooks_path_of_the_repository(server: Server, alice: Person) -> None:
    """Core.hooksPath in the repository's own configuration: our hook still runs; adopting says what to do."""
    run(
        [
            "git",
            "config",
            "--file",
            str(server.directory("closed") / "config"),
            "core.hooksPath",
            "/nonexistent",
        ]
    )
    tree = server.work_tree(alice, "closed")
    server.git(alice, "push", "-q", "origin", "main", cwd=tree, status=0)
    others = server.directory("closed") / "hooks" / "pre-receive.d"
    others.mkdir()
    (others / "no").write_text("#!/bin/sh\necho the hook ran >&2\nexit 1\n")
    (others / "no").chmod(0o755)
    done = server.git(alice, "push", "origin", "main:other", cwd=tree)
    assert done.status != 0
    assert "remote: the hook ran" in done.err
    assert "its hooks would fall silent" in server.admin("repo", "adopt", "closed", status=2).err


def test_hooks_path_of_the_account_and_the_system(server: Server, alice: Person) -> None:
    """Command scope, which the gate sets where a file names hooksPath, beats every file in a real git."""
    directory = server.directory("closed")
    assert "GIT_CONFIG_COUNT" not in environment_of_a_push(server, alice), (
        "nothing names it, so nothing leaks"
    )
    run(["git", "--git-dir", str(directory), "config", "core.hooksPath", "/nonexistent/own"])
    environment = environment_of_a_push(server, alice)
    for name in ("global", "system"):
        run(["git", "config", "--file", str(server.folder / name), "core.hooksPath", f"/nonexistent/{name}"])
    environment |= {
        "GIT_CONFIG_GLOBAL": str(server.folder / "global"),
        "GIT_CONFIG_SYSTEM": str(server.folder / "system"),
    }
    git = ["git", "--git-dir", str(directory)]
    without = {name: value for name, value in environment.items() if not name.startswith("GIT_CONFIG_COUNT")}
    assert run([*git, "config", "core.hooksPath"], env=without).out.strip() == "/nonexistent/own"
    assert run([*git, "config", "core.hooksPath"], env=environment).out.strip() == f"{directory}/hooks"


def environment_of_a_push(server: Server, person: Person) -> dict[str, str]:
    """What Git is started with for a push of `person`."""
    at = places_of(str(server.config)).of_gate
    request = Request(
        user=person.name,
        credential=ssh_key(person.fingerprint),
        address="127.0.0.1",
        line="git-receive-pack 'closed'",
        moment=now(),
    )
    config = load(*at)
    with GateQuery(config.store) as store:
        decision = decide(request, read_command(request.line, config.pass_commands), config, store)
    return program(decision, config, "id", os.getpid())[2]


@pytest.mark.parametrize(
    ("text", "forced"),
    [
        ("", False),
        ("[core]\n\tbare = true\n", False),
        ("[core]\n\thooksPath = /elsewhere\n", True),
        ("[CORE]\nHOOKSPATH=/elsewhere\n", True),
        ("[include]\n\tpath = {other}\n", True),
        ("[include]\n\tpath = /nonexistent\n", False),
        ('[includeIf "gitdir:**"]\n\tpath = {other}\n', True),
        ("# include and hooksPath in a comment\n", False),
    ],
)
def test_what_counts_as_naming_hooks_path(tmp_path: Path, text: str, forced: bool) -> None:
    """Forced only where Git itself would read one, by whatever way; so deployments are left alone."""
    run(["git", "init", "-q", "--bare", str(tmp_path / "r.git")])
    (tmp_path / "other").write_text("[core]\n\thooksPath = /elsewhere\n")
    (tmp_path / ".gitconfig").write_text(text.format(other=tmp_path / "other"))
    environment = {"PATH": PATH, "HOME": str(tmp_path)}
    files = (str(tmp_path / ".gitconfig"), str(tmp_path / "r.git/config"))
    named = may_name(files, HOOKS_PATH)
    assert (named and values_of(str(tmp_path / "r.git"), HOOKS_PATH, environment) != ()) is forced


def test_copied_repositories_are_refused(server: Server, alice: Person) -> None:
    """A copy, and a rename, of a protected repository: refused until adopted."""
    run(["cp", "-r", str(server.directory("closed")), str(server.directory("copy"))])
    assert "[no-such-repository]" in server.git(alice, "ls-remote", server.url("copy"), status=128).err
    server.directory("closed").rename(server.directory("renamed"))
    for name in ("closed", "renamed"):
        assert "[no-such-repository]" in server.git(alice, "ls-remote", server.url(name), status=128).err


def test_borrowed_objects(server: Server, alice: Person) -> None:
    """ATTACK: an open fork that borrows from a protected repository, and protocol v2's `want` of its objects.
    EXPECTED: the lender's requirement.
    """
    tree = server.work_tree(alice, "closed")
    server.git(alice, "push", "-q", "origin", "main", cwd=tree, status=0)
    run(
        ["git", "clone", "-q", "--bare", "-s", str(server.directory("closed")), str(server.directory("fork"))]
    )
    server.admin("repo", "adopt", "fork")
    server.ssh(alice, "2fa leave", status=0)
    for command in (
        ["ls-remote", server.url("fork")],
        ["clone", server.url("fork"), str(server.folder / "x")],
    ):
        assert "[verification-required]" in server.git(alice, *command, status=128).err
    assert "borrows:closed" in server.admin("explain", "alice", "fork", "read").out
    server.admin("repo", "require", "closed", "push")
    server.git(alice, "ls-remote", server.url("fork"), status=0)
    server.admin("repo", "forget", "closed")
    assert "[no-such-repository]" in server.git(alice, "ls-remote", server.url("fork"), status=128).err


def test_a_warm_connection(server: Server, alice: Person) -> None:
    """Leave, revoke, suspend, reset, a key taken away, over a ControlMaster: the next command is refused."""
    socket = server.folder / "cm"
    master = ("-o", f"ControlPath={socket}", "-o", "ControlMaster=auto", "-o", "ControlPersist=60")
    tree = server.work_tree(alice, "closed")
    url = server.url("closed")

    def ls_remote() -> str:
        done = run(["git", "ls-remote", url], cwd=tree, env=server.git_env(alice, *master), status=None)
        found = [
            word
            for word in done.err.replace("[", " ").replace("]", " ").split()
            if "-" in word and word.islower()
        ]
        return (
            "allowed"
            if done.status == 0
            else next((w for w in found if w.startswith(("verif", "user-", "no-", "enrol"))), done.err)
        )

    try:
        assert ls_remote() == "allowed"
        assert socket.exists()
        server.admin("session", "revoke", "alice")
        assert ls_remote() == "verification-required"
        server.clear_watermark(alice)
        server.verify(alice)
        assert ls_remote() == "allowed"
        server.admin("user", "suspend", "alice")
        assert ls_remote() == "user-suspended"
        server.admin("user", "resume", "alice")
        server.admin("user", "reset", "alice")
        assert ls_remote() == "enrolment-required"
        server.admin("key", "remove", alice.fingerprint)
        assert ls_remote() == "no-identity"
    finally:
        run(
            [
                "ssh",
                *server.ssh_options(alice),
                *master,
                "-O",
                "exit",
                "-p",
                str(server.port),
                f"{server.account}@127.0.0.1",
            ],
            status=None,
        )


def test_a_push_that_was_let_in_finishes(server: Server, alice: Person) -> None:
    """The session expires while a push uploads: it finishes. Revoked meanwhile: it does not."""
    tree = server.work_tree(alice, "closed")
    gate_open = server.folder / "gate-open"
    for outcome in ("ran-out", "revoked"):
        (tree / "file").write_text(outcome)
        server.git(alice, "commit", "-qam", outcome, cwd=tree, status=0)
        process = subprocess.Popen(
            ["git", "push", "origin", f"HEAD:refs/heads/{outcome}"], cwd=tree,
            env={**server.git_env(alice), "GIT_SSH_COMMAND": _slow_ssh(server, alice, gate_open)}, stderr=subprocess.PIPE,
        )  # fmt: skip
        _wait_for(
            lambda n=outcome: any(
                e["operation"] == "push" and e["verdict"] == "allowed" for e in server.log()[-1:]
            )
        )
        if outcome == "ran-out":
            server.age_sessions(8 * 3600)
        else:
            server.admin("session", "revoke", "alice")
        gate_open.touch()
        error = process.communicate(timeout=30)[1].decode()
        gate_open.unlink()
        assert (process.returncode == 0) == (outcome == "ran-out"), error
        server.clear_watermark(alice)
        server.verify(alice)


def _slow_ssh(server: Server, person: Person, gate_open: Path) -> str:
    """An ssh whose upload waits, after the refs have come down, until `gate_open` is there."""
    script = server.folder / "slow-ssh"
    options = " ".join(server.ssh_options(person))
    script.write_text(
        f'#!/bin/bash\nexec ssh {options} "$@" < <(head -c 4; while [ ! -e {gate_open} ]; do sleep 0.05; done; cat)\n'
    )
    script.chmod(0o755)
    return str(script)


def _wait_for(condition: object, seconds: int = 15) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def test_five_hundred_background_fetches(server: Server, alice: Person) -> None:
    """An IDE that fetches all day: no throttle, no lock; `admin log` folds them.
    (The gate itself, 500 times.)
    """
    server.ssh(alice, "2fa leave", status=0)
    launcher = str(server.home / "bin" / "gitguard-shell")
    env = {
        "PATH": "/usr/bin:/bin",
        "SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 22",
        "SSH_ORIGINAL_COMMAND": "git-upload-pack 'closed'",
    }
    for _ in range(500):
        done = subprocess.run(
            [launcher, "--user", "alice", "--key", alice.fingerprint],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 10
    assert len(server.log()) == 500
    shown = server.admin("log").out.splitlines()
    assert len(shown) == 1
    assert "x500 since" in shown[0]
    server.clear_watermark(alice)
    server.verify(alice)


def test_a_flood_at_the_prompt(server: Server, alice: Person) -> None:
    """`cat /dev/zero | ssh git@h 2fa verify`: bounded, not a code, not counted, and quick."""
    command = server.ssh_command(alice, "2fa verify")
    with open("/dev/zero", "rb") as zeros:
        began = time.monotonic()
        done = subprocess.run(command, stdin=zeros, capture_output=True, timeout=30, check=False)
    assert done.returncode == 12
    assert time.monotonic() - began < 10
    assert "[not-a-code]" in done.stderr.decode()


def test_stdin_never_closed(server: Server, alice: Person) -> None:
    """A client that says nothing is ended by the time limit of the prompt (the limit is an argument here)."""
    reading, writing = os.pipe()
    code = "import sys\nfrom gitguard.cli.prompt import ask\nfrom gitguard.message.reasons import Refusal\ntry:\n    ask('code: ', 1)\nexcept Refusal as refusal:\n    sys.exit(refusal.exit_status)\n"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=reading, capture_output=True, timeout=20, check=False
    )
    os.close(reading)
    os.close(writing)
    assert done.returncode == 12
    assert time.monotonic() - began < 10
