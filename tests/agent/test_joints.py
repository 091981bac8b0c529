"""Where the agent's own surroundings meet those of the gate that it answers for: nothing of its own shows."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from lab.agent_faults import AS, Asked
from lab.faults import CAN_MOUNT
from lab.meddling import meddle
from lab.run import run
from tests.agent.conftest import by_agent, gate, launchers_say_so
from tests.agent.test_asked import READ, Prompt, until

pytestmark = pytest.mark.slow
STRANGE = {
    "a locale without UTF-8": {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "another time zone": {"TZ": "Asia/Tokyo"},
    "another home and name": {"HOME": "/nowhere", "USER": "someone", "LOGNAME": "someone"},
    "words of Git's": {"GIT_DIR": "/nowhere", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": "/x"},
    "a loader's words": {"LD_LIBRARY_PATH": "/nowhere", "BASH_ENV": "/nowhere"},
    "words of click's": {"_2FA_COMPLETE": "bash_source", "COLUMNS": "10"},
}  # fmt: skip


def _timeless(said: bytes) -> bytes:
    """What was said, but for how long a session still lasts: a second may have gone by."""
    return re.sub(rb"\([^()]* left\)", b"", said)


@pytest.mark.parametrize("name", STRANGE)
def test_what_the_agent_was_started_with_shows_nowhere(own: Asked, name: str) -> None:
    """Another locale, zone, home or Git's own variables: people get what they do without an agent."""
    own.server.new_repository("grün/ü", "all")
    lines = ("git-upload-pack 'grün/ü'", "git-receive-pack 'grün/ü'", "2fa keys", "2fa repo show 'grün/ü'")
    own.agent.stop()
    without = [gate(own, line, stdin=b"0000") for line in lines]
    own.agent.environment = STRANGE[name]
    own.agent.start()
    with launchers_say_so(own):
        for line, before in zip(lines, without, strict=True):
            done = gate(own, line, stdin=b"0000")
            assert done.returncode == before.returncode
            assert _timeless(done.stdout) == _timeless(before.stdout)
            assert done.stderr == before.stderr
        assert own.act("whole push")[:2] == ("allowed", 0)


def test_what_the_client_brought_does_show(own: Asked) -> None:
    """Its zone, say, as far as a command of ours heeds it: by the gate's environment, not by the agent's."""
    own.agent.stop()
    before = gate(own, "2fa status", environ={"TZ": "Asia/Tokyo"}).stdout
    own.agent.start()
    with launchers_say_so(own):
        now = gate(own, "2fa status", environ={"TZ": "Asia/Tokyo"}).stdout
    assert _timeless(now) == _timeless(before)


def test_a_rule_for_refs_is_asked_with_the_accounts_home(own: Asked) -> None:
    """What a proc-receive hook may move is Git's to say, by the account's configuration: the hook's HOME
    names it, whatever the agent's is.
    """
    home = own.server.folder / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[receive]\n\tprocReceiveRefs = refs/for\n")
    own.agent.stop()
    own.agent.environment = {"HOME": "/nowhere"}
    own.agent.start()
    from gitguard.repository.refs import EVERY, moved_by

    directory = str(own.server.directory("app"))
    update = (("0" * 40, "1" * 40, "refs/for/main"),)
    assert moved_by(update, directory, (f"{home}/.gitconfig",), str(home))[-1][2] == EVERY
    assert moved_by(update, directory, (f"{home}/.gitconfig",), "/nowhere")[-1][2] != EVERY


def test_a_rule_for_refs_holds_in_the_hook(own: Asked) -> None:
    """The gate lets the push begin and says which refs need a code; the hook refuses those, through the
    agent's launchers, and takes the others through the agent.
    """
    text = (
        own.server.config.read_text()
        + '\n[[rules]]\nname = "main"\nrefs = ["main"]\noperations = ["push"]\nrequire = true\n'
    )
    own.server.write(text)
    own.server.admin("repo", "require", "app", "none")
    with launchers_say_so(own):
        assert own.push("HEAD:refs/heads/free").returncode == 0
    own.server.end_sessions()
    refused = own.push("HEAD:refs/heads/main")
    assert b"rule main" in refused.stderr
    assert refused.returncode != 0
    assert not (own.server.directory("app") / "refs" / "heads" / "main").exists()
    assert own.push("HEAD:refs/heads/free2").returncode == 0
    own.server.verify(own.alice)
    with launchers_say_so(own):
        assert own.push("HEAD:refs/heads/main").returncode == 0


def test_a_push_of_many_refs(own: Asked) -> None:
    """Up to a megabyte of refs the agent judges; more the launcher does. None is lost on the way."""
    names = [f"{'x' * 60}{number}" for number in range(400)]
    run(["git", *AS, "branch", "-f", "b"], cwd=own.tree)
    with launchers_say_so(own):
        done = own.push(*(f"HEAD:refs/heads/{name}" for name in names))
    assert done.returncode == 0, done.stderr[-300:]
    heads = own.server.directory("app") / "refs" / "heads"
    assert sum(name.startswith("x") for name in os.listdir(heads)) == 400


def test_no_process_is_left_behind(own: Asked) -> None:
    """Commands leave no child that nobody waits for, and no handle in the workers."""
    workers = own.agent.workers_of
    handles = {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in workers}
    for _ in range(10):
        assert by_agent(own, "2fa status")
        assert by_agent(own, READ)
        assert not by_agent(own, "git-upload-pack 'nowhere'")
    until(lambda: sorted(own.agent.workers_of) == sorted(workers))
    for pid in workers:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        assert children == ""
        assert (
            len(os.listdir(f"/proc/{pid}/fd")) <= handles[pid] + 3
        )  # the store and its two files, open meanwhile


def test_the_command_has_no_handle_of_the_agents(own: Asked) -> None:
    """Neither its socket, which would listen as long as a person thinks, nor the store of a worker."""
    prompt = Prompt(own)
    folder = Path(f"/proc/{prompt.command}/fd")
    kinds = sorted(os.readlink(handle) for handle in folder.iterdir())
    sockets = [kind for kind in kinds if kind.startswith("socket:")]
    assert len(sockets) == 1, kinds  # the connection
    prompt.process.kill()
    prompt.process.communicate()


def test_signals_are_as_git_expects_them(own: Asked) -> None:
    """What the gate becomes has no signal blocked or ignored that it would not have without an agent."""
    line = r"grep -E '^Sig(Blk|Ign)' /proc/self/status"
    words = ("--", "/bin/sh", "-c", line)
    own.agent.stop()
    before = gate(own, READ, words=words).stdout
    own.agent.start()
    with launchers_say_so(own):
        assert gate(own, READ, words=words).stdout == before


def test_a_wait_is_the_launchers(own: Asked) -> None:
    """Where pushes wait for their person, one is held as ever, and let in once they verified."""
    own.server.configure(session={"wait": "20s"})
    own.server.end_sessions()
    push = subprocess.Popen(
        ["git", "push", "-q", "git@host:app", "HEAD:refs/heads/waited"], cwd=own.tree, stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(own.tree), "GIT_SSH": str(own.tree / "ssh")},
    )  # fmt: skip
    until(lambda: list((own.server.home / "state").glob("pending/*")))
    own.server.verify(own.alice)
    _, said = push.communicate(timeout=20)
    assert push.returncode == 0, said
    assert (own.server.directory("app") / "refs" / "heads" / "waited").exists()


def test_break_glass_is_the_launchers(own: Asked) -> None:
    """Maintenance by the server's admin leaves its line, whatever the agent would have said."""
    before = len(own.server.log())
    directory = own.server.directory("app")
    line = f"git --git-dir={own.tree}/.git push -q {directory} HEAD:refs/heads/glass"
    own.server.admin("break-glass", "--reason", "mend", "--", "sh", "-c", line)
    assert [entry["reason"] for entry in own.server.log()[before:]] == ["break-glass"]


def test_two_answers_cannot_be_had_for_one(own: Asked) -> None:
    """A holder of the account's rights who asks for a grant gets one for themselves alone: it names the
    process that asked, and counts for no other.
    """
    command = own.server.ssh_command(own.alice, "git-receive-pack 'app'")
    done = subprocess.run([*command, "--", "/usr/bin/env", "-0"], capture_output=True, check=True)
    found = dict(pair.partition("=")[::2] for pair in done.stdout.decode().split("\0") if pair)
    hook = own.server.directory("app") / "hooks" / "pre-receive"
    line = f"{'0' * 40} {'1' * 40} refs/heads/stolen\n".encode()
    tried = subprocess.run(
        [str(hook)],
        input=line,
        cwd=hook.parent.parent,
        env={**found, "GIT_DIR": "."},
        capture_output=True,
        check=False,
    )
    assert tried.returncode != 0
    assert b"[no-grant]" in tried.stderr


def test_ctrl_c_ends_it_all(own: Asked) -> None:
    """The first process takes the workers with it, by an answer in hand at the most."""
    workers = own.agent.workers_of
    assert own.agent.stop(signal.SIGINT) == 0
    for pid in workers:
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
    own.agent.start()


@pytest.mark.skipif(not CAN_MOUNT, reason="takes root and mount")
def test_the_hooks_file_system_is_noexec_for_git_alone(own: Asked) -> None:
    """ATTACK: the agent's unit has a view of the mounts of its own, which a remount does not reach, and Git
    skips a hook that it may not run. EXPECTED: refused, as without an agent.
    """
    where = str(own.server.repositories)
    own.agent.stop()
    run(["mount", "--bind", where, where])
    try:
        own.agent.before = ["unshare", "--mount", "--propagation", "private"]
        own.agent.start()
        assert own.act("whole push")[:2] == ("allowed", 0)
        run(["mount", "-o", "remount,bind,noexec", where])
        done = gate(own, "git-receive-pack 'app'", stdin=b"0000")
        assert (done.returncode, b"[hook-not-live]" in done.stdout) == (22, True), done
        assert own.act("whole push")[1] != 0
    finally:
        own.agent.stop()
        run(["umount", where])
        own.agent.before = []
        own.agent.start()


@pytest.mark.parametrize("what", ["log and index removed", "another copied into it"])
def test_a_store_that_was_changed_past_sqlite(own: Asked, what: str) -> None:
    """What a worker has open is no more what lies there: the next question sees it."""
    store = own.server.store
    assert by_agent(own, READ)
    if what == "log and index removed":
        for end in ("-wal", "-shm"):
            store.with_name(store.name + end).unlink()
        meddle(store, "DELETE FROM sessions")
    else:
        other = own.server.folder / "other.db"
        own.server.admin("store", "backup", str(other))
        meddle(other, "DELETE FROM sessions")
        meddle(other, "PRAGMA journal_mode = DELETE")
        store.write_bytes(other.read_bytes())
        for end in ("-wal", "-shm"):
            store.with_name(store.name + end).unlink(missing_ok=True)
    assert b"[verification-required]" in gate(own, READ).stdout


def test_the_agent_alone_cannot_write_the_log(own: Asked) -> None:
    """Its unit, or a limit of its own: whoever needs no proof is let in by the launcher, with a line."""
    own.server.admin("repo", "require", "app", "none")
    assert by_agent(own, READ)
    for pid in own.agent.workers_of:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    before = len(own.server.log())
    assert gate(own, READ, stdin=b"0000").returncode == 0
    assert len(own.server.log()) == before + 1


def test_a_sweep_leaves_a_hook_alone(own: Asked) -> None:
    """The client as a hook is no gate, whoever it belongs to: it is not ended for being nobody's."""
    own.agent.tell(signal.SIGSTOP, workers=True)
    own.server.new_repository("free", "none")
    directory = own.server.directory("free")
    line = f"{'0' * 40} {'1' * 40} refs/heads/main\n".encode()
    hook = subprocess.Popen(
        [str(directory / "hooks" / "pre-receive")],
        stdin=subprocess.PIPE,
        cwd=directory,
        env={"GIT_DIR": ".", "PATH": os.environ["PATH"]},
    )
    assert hook.stdin is not None
    hook.stdin.write(line)
    own.server.admin("session", "sweep")  # while it reads
    hook.communicate(timeout=20)
    own.agent.tell(signal.SIGCONT, workers=True)
    assert hook.returncode == 0


def test_what_is_sent_to_the_agents_group(own: Asked) -> None:
    """Ctrl-C where it runs in front, or a terminal that closes: people at their prompt do not notice."""
    own.server.clear_watermark(own.alice)
    prompt = Prompt(own)
    os.killpg(own.agent.pid, signal.SIGHUP)
    os.killpg(own.agent.pid, signal.SIGINT)
    assert own.agent.stop() == 0
    status, said = prompt.type(own.server.fresh_code(own.alice))
    assert (status, "verified until" in said) == (0, True)
    own.agent.start()
