"""What the agent answers, what it leaves to the launcher, and that nobody can tell the one from the other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitguard.agent.frame import DECIDE_YOURSELF, GATE, HERE, HOOK, LONGEST_BYTES, PING, packed, receive
from lab.agent_faults import Asked
from lab.faults import CAN_MOUNT
from lab.hostile_agent import HostileAgent, frame
from lab.meddling import meddle
from lab.run import run
from tests.agent.conftest import LAUNCHER, as_another, by_agent, gate, launchers_say_so
from tests.agent.test_frame import BAD

pytestmark = pytest.mark.slow
READ = "git-upload-pack 'app'"
SOON = 10


def until(what: object, seconds: float = SOON) -> None:
    """Wait for what happens in another process."""
    ends = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.005)


# a plain yes is its own


@pytest.mark.parametrize(
    "line",
    [
        READ,
        "git-receive-pack 'app'",
        "git upload-archive app",
        "",
        "2fa",
        "2fa status",
        "2fa help",
        "2fa verify --if-needed",
    ],
)
def test_a_plain_yes_needs_no_launcher(asked: Asked, line: str) -> None:
    """Reads, pushes and commands of ours, for someone who is verified."""
    assert by_agent(asked, line, stdin=b"0000" if line.startswith("git") else b"")


def test_a_whole_push_needs_no_launcher(asked: Asked) -> None:
    """Neither at the gate nor in the hook; and the ref is there."""
    with launchers_say_so(asked):
        assert asked.act("whole push")[:2] == ("allowed", 0)


def test_a_push_that_the_hook_refuses(asked: Asked) -> None:
    """The session ends while it uploads: the hook's launcher says so, and nothing is taken."""
    asked.server.new_repository("late", "push")
    hook = asked.server.directory("late") / "hooks" / "pre-receive"
    ours = hook.read_bytes()
    assert ours.startswith(b"#!")
    assert ours.endswith(b"\nexit 1\n")
    with launchers_say_so(asked):
        done = subprocess.run(
            [str(hook)], cwd=asked.server.directory("late"), input=b"0" * 40 + b" " + b"1" * 40 + b" refs/heads/main\n",
            env={"GIT_DIR": ".", "PATH": os.environ["PATH"]}, capture_output=True,
            check=False,
        )  # fmt: skip
    assert done.returncode == LAUNCHER  # no grant: that is not the agent's to say


# everything else is the launcher's


@pytest.mark.parametrize(
    ("line", "person"),
    [
        (READ, "bob"), ("git-upload-pack 'nowhere'", "alice"), ("git-upload-pack", "alice"), ("rm -rf /",
        "alice"), ("git-upload-pack 'a' 'b'", "alice"), ("git-upload-pack '../app'", "alice"),
        ("git-lfs-authenticate app download", "alice"),
    ],
)  # fmt: skip
def test_a_refusal_is_the_launchers(asked: Asked, line: str, person: str) -> None:
    """One place says why not."""
    assert not by_agent(asked, line, person=person)


@pytest.mark.parametrize("name", ["BASH_ENV", "LD_PRELOAD", "ENV", "BASH_FUNC_x%%"])
def test_what_acted_before_the_gate(asked: Asked, name: str) -> None:
    """A variable that acts early is refused, with an agent as without."""
    with launchers_say_so(asked):
        assert gate(asked, READ, environ={name: "/nowhere"}).returncode == LAUNCHER
    done = gate(asked, READ, environ={name: "/nowhere"})
    assert b"[config-invalid]" in done.stdout


def test_a_question_too_long(asked: Asked) -> None:
    """Under `AcceptEnv *` a client may send more than a message holds: the launcher decides."""
    assert not by_agent(asked, READ, environ={"BIG": "x" * LONGEST_BYTES})
    assert gate(asked, READ, stdin=b"0000", environ={"BIG": "x" * LONGEST_BYTES}).returncode == 0


def test_a_key_line_that_is_none(asked: Asked) -> None:
    """Words that no key line of ours has."""
    launcher = asked.server.launcher
    for words in ([], ["--user"], ["--user", "alice"], ["--hook"], ["--user", "alice", "--key", "x"]):
        done = run([launcher, *words], env={"SSH_ORIGINAL_COMMAND": READ}, status=None)
        assert done.status != 0, words
        assert "Traceback" not in done.text


def test_another_hook_of_the_repository(own: Asked) -> None:
    """It is run by our hook's launcher, as ever."""
    own.server.new_repository("two", "none")
    hooks = own.server.directory("two") / "hooks" / "pre-receive.d"
    hooks.mkdir()
    (hooks / "10-no").write_text("#!/bin/sh\necho not today >&2\nexit 3\n")
    (hooks / "10-no").chmod(0o755)
    done = subprocess.run(
        ["git", "push", "-q", "git@host:two", "HEAD:refs/heads/x"], cwd=own.tree, capture_output=True,
        check=False, env={"PATH": os.environ["PATH"], "HOME": str(own.tree), "GIT_SSH": str(own.tree /
        "ssh")},
    )  # fmt: skip
    assert done.returncode != 0
    assert b"not today" in done.stderr


# nobody can tell


def _environment(asked: Asked, line: str) -> dict[str, str]:
    done = gate(
        asked,
        line,
        words=("--", "/usr/bin/env", "-0"),
        environ={"GIT_PROTOCOL": "version=2", "LC_ALL": "de_DE", "TZ": "Asia/Tokyo"},
    )
    assert done.returncode == 0, done
    found = dict(pair.partition("=")[::2] for pair in done.stdout.decode().split("\0"))
    for name in ("GITGUARD_DECISION", "GITGUARD_PID", "GITGUARD_GRANT"):  # another each time
        found.pop(name, None)
    return found


@pytest.mark.parametrize("line", [READ, "git-receive-pack 'app'", "git-lfs-authenticate app download"])
def test_git_gets_the_same_environment(asked: Asked, line: str) -> None:
    """To the last variable: what runs behind the gate is what runs without an agent."""
    with_agent = _environment(asked, line)
    asked.agent.stop()
    try:
        assert _environment(asked, line) == with_agent
    finally:
        asked.agent.start()


def test_the_grant_is_for_the_process_that_git_is(asked: Asked) -> None:
    """The client keeps its pid through exec, and the grant names that, not a worker's."""
    command = asked.server.ssh_command(asked.alice, "git-receive-pack 'app'")
    process = subprocess.Popen([*command, "--", "/usr/bin/env"], stdout=subprocess.PIPE)
    out = process.communicate()[0].decode()
    assert f"GITGUARD_PID={process.pid}\n" in out
    assert out.partition("GITGUARD_GRANT=")[2].split("\n")[9] == str(process.pid)


def test_one_line_for_each_decision(asked: Asked) -> None:
    """Whoever answers; the line names who asked, from where and why."""
    before = len(asked.server.log())
    gate(asked, READ, stdin=b"0000")
    gate(asked, READ, person="bob")
    allowed, refused = asked.server.log()[before:]
    assert (allowed["user"], allowed["verdict"], allowed["reason"]) == ("alice", "allowed", "verified")
    assert (refused["user"], refused["verdict"], refused["reason"]) == (
        "bob",
        "refused",
        "enrolment-required",
    )


def test_a_log_that_cannot_be_written(own: Asked) -> None:
    """What requires a proof is not let in without its line; the launcher says why."""
    own.server.access_log.unlink(missing_ok=True)
    own.server.access_log.mkdir()
    done = gate(own, READ, stdin=b"0000")
    assert (done.returncode, b"[log-unavailable]" in done.stdout) == (40, True)


# a change counts from the next request on


def test_what_ends_counts_at_once(own: Asked) -> None:
    """Session, user, rule, configuration, store: the next question finds it as it is now."""
    assert by_agent(own, READ)
    own.server.admin("repo", "require", "app", "none")
    meddle(own.server.store, "DELETE FROM sessions")
    assert by_agent(own, READ)
    own.server.admin("repo", "require", "app", "all")
    assert not by_agent(own, READ)
    own.server.verify(own.alice)
    assert by_agent(own, READ)
    own.server.configure(session={"scope": "user"})
    assert not by_agent(own, READ)
    own.server.configure(session={"scope": "address"})
    assert by_agent(own, READ)
    own.server.admin("user", "suspend", "alice", "--reason", "left")
    assert b"[user-suspended]" in gate(own, READ).stdout


def test_a_store_in_the_place_of_the_store(own: Asked) -> None:
    """Restored, or of another schema: what was open before is believed no more."""
    assert by_agent(own, READ)
    before = own.server.folder / "before.db"
    own.server.admin("store", "backup", str(before))
    own.server.admin("session", "revoke", "alice", "--reason", "gone")
    assert not by_agent(own, READ)
    own.server.verify(own.alice)
    shutil.copy(before, own.server.folder / "copy.db")
    meddle(own.server.folder / "copy.db", "DELETE FROM sessions")
    meddle(own.server.folder / "copy.db", "PRAGMA journal_mode = DELETE")
    for suffix in ("-wal", "-shm"):
        own.server.store.with_name(own.server.store.name + suffix).unlink(missing_ok=True)
    os.chmod(own.server.folder / "copy.db", 0o600)
    os.replace(own.server.folder / "copy.db", own.server.store)
    assert b"[verification-required]" in gate(own, READ).stdout
    meddle(own.server.store, "PRAGMA user_version = 99")
    assert b"[store-schema]" in gate(own, READ).stdout


@pytest.mark.parametrize("what", ["store", "config", "state"])
def test_a_file_that_others_may_write(own: Asked, what: str) -> None:
    """It is believed no more, though it was a moment ago."""
    assert by_agent(own, READ)
    path = {"store": own.server.store, "config": own.server.config, "state": own.server.home / "state"}[what]
    path.chmod(path.stat().st_mode | 0o022)
    assert not by_agent(own, READ)
    assert gate(own, READ).returncode in (30, 40)


# who may ask

_ASK = """
import socket
one = socket.socket(socket.AF_UNIX)
try:
    one.connect(SOCKET)
    one.sendall(b"\\0\\0\\0\\2\\1p")
    print(one.recv(100)[5:6])
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another account")
def test_another_account_gets_no_answer(asked: Asked) -> None:
    """The socket is the account's alone; where its mode was loosened, the kernel's word decides."""
    os.chmod(asked.agent.folder, 0o755)
    assert as_another(asked, _ASK) == "PermissionError\n"
    asked.agent.socket.chmod(0o666)
    try:
        assert as_another(asked, _ASK) == "b'l'\n"
    finally:
        asked.agent.socket.chmod(0o600)
        os.chmod(asked.agent.folder, 0o700)


@pytest.mark.skipif(not CAN_MOUNT, reason="takes root and namespaces")
def test_another_pid_namespace_decides_itself(asked: Asked) -> None:
    """Its numbers name other processes here: a grant for one would be another's."""
    command = asked.server.ssh_command(asked.alice, READ)
    with launchers_say_so(asked):
        done = run(["unshare", "--fork", "--pid", "--mount-proc", *command], stdin="0000", status=None)
    assert done.status == LAUNCHER


# bad input


def ask(asked: Asked, data: bytes, handles: tuple[int, ...] = ()) -> bytes:
    """The letter that the agent answers to these bytes; b"" where it hangs up."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(SOON)
        one.connect(str(asked.agent.socket))
        socket.send_fds(one, [data], list(handles)) if data else None
        one.shutdown(socket.SHUT_WR)
        return one.recv(LONGEST_BYTES)[5:6]


_ENV = (b"SSH_CONNECTION=127.0.0.1 1 127.0.0.1 22", b"SSH_ORIGINAL_COMMAND=" + READ.encode())
QUESTIONS = {
    "no fields": packed(GATE),
    "a number that is none": packed(GATE, (b"x", b"a")),
    "a negative number": packed(GATE, (b"-1", b"a")),
    "more words than there are": packed(GATE, (b"9", b"a", *_ENV)),
    "a number of five thousand digits": packed(GATE, (b"1" * 5000,)),
    "bytes that are no text": packed(GATE, (b"4", b"--user", b"\xff\xfe", b"--key", b"\x80", *_ENV)),
    "a hook without its handles": packed(HOOK, (b"0", *_ENV)),
    "a letter that is none": packed("z", (b"0", *_ENV)),
    "an answer": packed("x", (b"/bin/sh", b"1", b"sh")),
}


def test_bad_questions_leave_the_workers_alive(asked: Asked) -> None:
    """Cut, too long, of another version, with NULs missing, or nonsense: refused, and the same processes
    answer the next one.
    """
    workers = sorted(asked.agent.workers_of)
    for name, data in {**BAD, **QUESTIONS}.items():
        answer = ask(asked, data)
        assert answer == DECIDE_YOURSELF.encode(), name
    assert ask(asked, packed(PING)) == HERE.encode()
    assert sorted(asked.agent.workers_of) == workers


def test_handles_that_are_no_push(asked: Asked) -> None:
    """A terminal, a pipe, a file where a folder should be: the launcher's to sort out; none of them stays
    open.
    """
    worker = asked.agent.workers_of
    reading, writing = os.pipe()
    with open(os.devnull, "rb") as null:
        for handles in ((reading, writing), (null.fileno(), null.fileno()), (reading,), (0, 1, 2)):
            assert ask(asked, packed(HOOK, (b"0", *_ENV)), handles) == DECIDE_YOURSELF.encode()
    os.close(reading)
    os.close(writing)
    for pid in worker:
        until(lambda pid=pid: len(os.listdir(f"/proc/{pid}/fd")) < 16)


def test_a_client_that_says_nothing(asked: Asked) -> None:
    """It is put off after a quarter of a second; twice that, and the worker is still the same one."""
    workers = sorted(asked.agent.workers_of)
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        for idle in (one, other):
            idle.settimeout(SOON)
            idle.connect(str(asked.agent.socket))
            idle.sendall(b"\0")
        assert receive(one).letter == receive(other).letter == DECIDE_YOURSELF
    assert sorted(asked.agent.workers_of) == workers


def test_what_takes_too_long_is_left_to_the_launcher(own: Asked) -> None:
    """A Git that hangs, say: the question is dropped within a second, and a worker that is late again is
    replaced.
    """
    own.agent.stop()
    slow = own.server.folder / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "if 'agent' in sys.argv:\n"
        "    import gitguard.agent.answering as answering\n"
        "    really = answering.decide\n"
        "    def slowly(*a, **k):\n"
        f"        while os.path.exists({str(slow / 'wait')!r}): time.sleep(0.01)\n"
        "        return really(*a, **k)\n"
        "    answering.decide = slowly\n"
    )
    own.agent.environment = {"PYTHONPATH": str(slow)}
    own.agent.workers = 1
    (slow / "wait").touch()
    own.agent.start()
    (worker,) = own.agent.workers_of
    assert not by_agent(own, READ)
    assert own.agent.workers_of == [worker]
    assert not by_agent(own, READ)
    until(lambda: own.agent.workers_of and own.agent.workers_of != [worker])
    (slow / "wait").unlink()
    own.agent.wait()
    assert by_agent(own, READ)


# commands of ours


class Prompt:
    """`2fa verify` at its prompt, as a process."""

    def __init__(self, asked: Asked, line: str = "2fa verify") -> None:
        command = asked.server.ssh_command(asked.alice, line)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stderr is not None
        said = b""
        while b"code from your app" not in said:
            part = os.read(self.process.stderr.fileno(), 4096)
            assert part, said
            said += part

    @property
    def command(self) -> int:
        """The pid of the command in the agent: who has the client's input open beside the client."""
        ours = os.readlink(f"/proc/{self.process.pid}/fd/0")
        for name in os.listdir("/proc"):
            try:
                other = name.isdigit() and int(name) not in (self.process.pid, os.getpid())
                if other and os.readlink(f"/proc/{name}/fd/0") == ours:
                    return int(name)
            except OSError:
                continue
        raise AssertionError("no command")

    def type(self, code: str) -> tuple[int, str]:
        """(status, all that was said) once the code is typed."""
        out, err = self.process.communicate(f"{code}\n".encode(), timeout=SOON)
        return self.process.returncode, (out + err).decode()


def gone(pid: int) -> bool:
    """Whether a process is over."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_right_and_a_wrong_code(own: Asked) -> None:
    """With the statuses of the table, once each."""
    own.server.clear_watermark(own.alice)
    with launchers_say_so(own):
        status, said = Prompt(own).type("000000")
        assert (status, "[code-rejected]" in said) == (12, True)
        code = own.server.fresh_code(own.alice)
        status, said = Prompt(own).type(code)
        assert (status, "verified until" in said) == (0, True)
        status, said = Prompt(own).type(code)
        assert (status, "[code-rejected]" in said) == (12, True)


def test_the_agent_stops_while_a_person_thinks(own: Asked) -> None:
    """The command goes on to its end, by the code that it began with; nobody listens meanwhile."""
    own.server.clear_watermark(own.alice)
    prompt = Prompt(own)
    assert own.agent.stop() == 0
    assert not own.agent.socket.exists()
    status, said = prompt.type(own.server.fresh_code(own.alice))
    assert (status, "verified until" in said) == (0, True)
    own.agent.start()


def test_the_client_is_ended(own: Asked) -> None:
    """By a sweep, or a connection that was cut: the command ends with it, at once."""
    prompt = Prompt(own)
    command = prompt.command
    assert not gone(command)
    prompt.process.kill()
    prompt.process.communicate()
    until(lambda: gone(command))


def test_the_command_is_killed(own: Asked) -> None:
    """The person is told so, and how to see what was done."""
    prompt = Prompt(own)
    os.kill(prompt.command, signal.SIGKILL)
    _, err = prompt.process.communicate(timeout=SOON)
    assert prompt.process.returncode == 40
    assert err.decode().endswith("see what was done: 2fa status [agent-unavailable]\n")


def test_leaving_does_not_end_the_one_who_leaves(own: Asked) -> None:
    """`leave --all` ends every connection but that which it came by, which is the client's process."""
    other = Prompt(own)
    with launchers_say_so(own):
        done = gate(own, "2fa leave --all")
    assert done.returncode == 0, done
    assert b"stopped" not in done.stderr
    other.process.kill()
    other.process.communicate()


def test_a_suspended_person_is_ended_at_the_prompt(own: Asked) -> None:
    """The change finds the client as it finds a gate, and the command ends with it."""
    prompt = Prompt(own)
    command = prompt.command
    own.server.admin("user", "suspend", "alice", "--reason", "left")
    prompt.process.communicate(timeout=SOON)
    assert prompt.process.returncode == -signal.SIGTERM
    until(lambda: gone(command))


def test_a_terminal_is_the_launchers(asked: Asked) -> None:
    """Its signals reach what runs in front of it, and that is not a process of the agent."""
    ours, theirs = os.openpty()
    with launchers_say_so(asked):
        done = subprocess.run(
            asked.server.ssh_command(asked.alice, "2fa status"),
            stdin=theirs,
            capture_output=True,
            check=False,
        )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == LAUNCHER


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(asked: Asked, closed: str) -> None:
    """A stream that is not there must not become the agent's socket: the launcher sees to it."""
    command = " ".join(f"'{word}'" for word in asked.server.ssh_command(asked.alice, "2fa status"))
    with launchers_say_so(asked):
        assert run(["sh", "-c", f"{command} {closed}"], status=None).status == LAUNCHER


def test_an_agent_that_takes_the_streams_and_dies(asked: Asked) -> None:
    """What has begun is not begun again: the person is told, and decides."""
    asked.agent.stop()
    with HostileAgent(asked.agent.socket, frame(b"o"), then=frame(b"b")):
        done = gate(asked, "2fa status")
    asked.agent.start()
    assert (done.returncode, b"[agent-unavailable]" in done.stderr) == (40, True)


def test_the_whole_of_a_long_answer(asked: Asked) -> None:
    """What a command says comes through, whatever the size; JSON stays JSON."""
    with launchers_say_so(asked):
        done = gate(asked, "2fa status --json")
    assert json.loads(done.stdout)["user"] == "alice"


def test_the_servers_words_are_the_clients_words() -> None:
    """What both clients say of an agent that stopped in the middle is one sentence, with the reason."""
    from gitguard.gate.client import STOPPED
    from gitguard.host.launcher import CLIENT

    assert STOPPED.endswith(b" [agent-unavailable]\n")
    assert Path(f"{CLIENT}.c").read_bytes().count(STOPPED.replace(b"\n", b"\\n")) == 1


def test_sixty_four_at_once(own: Asked) -> None:
    """More than there are workers: each is answered, none twice."""
    before = len(own.server.log())
    command = own.server.ssh_command(own.alice, READ)
    running = [
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(64)
    ]
    assert [process.wait(SOON) for process in running].count(128) == 64  # git: the client hung up
    assert [line["verdict"] for line in own.server.log()[before:]] == ["allowed"] * 64


def test_the_first_of_two_variables_counts(asked: Asked) -> None:
    """As for the gate, and as for C: a second one of the same name is not another command."""
    key = asked.alice.fingerprint.encode()
    words = (b"4", b"--user", b"alice", b"--key", key, b"SSH_CONNECTION=127.0.0.1 1 127.0.0.1 22")
    right, wrong = b"SSH_ORIGINAL_COMMAND=" + READ.encode(), b"SSH_ORIGINAL_COMMAND=git-upload-pack 'nowhere'"
    assert ask(asked, packed(GATE, (*words, right, wrong))) == b"x"
    assert ask(asked, packed(GATE, (*words, wrong, right))) == b"l"
    assert ask(asked, packed(GATE, (*words, b"no equals sign", right))) == b"x"


def hook_alone(asked: Asked, name: str, lines: bytes) -> subprocess.CompletedProcess[bytes]:
    """The hook of a repository, as Git starts it, without a grant."""
    directory = asked.server.directory(name)
    return subprocess.run(
        [str(directory / "hooks" / "pre-receive")], input=lines, cwd=directory, capture_output=True, check=False,
        env={"GIT_DIR": ".", "PATH": os.environ["PATH"]},
    )  # fmt: skip


def test_more_refs_than_the_agent_reads(asked: Asked) -> None:
    """Over a megabyte of them: the launcher reads them all, and what is wrong at the very end is seen."""
    asked.server.new_repository("much", "none")
    lines = b"".join(b"%s %s refs/heads/%d\n" % (b"0" * 40, b"1" * 40, n) for n in range(12_000))
    with launchers_say_so(asked):
        assert hook_alone(asked, "much", lines).returncode == LAUNCHER
    assert hook_alone(asked, "much", lines).returncode == 0
    assert b"[malformed-command]" in hook_alone(asked, "much", lines + b"cut").stderr


def test_a_push_of_more_refs_than_the_agent_reads(own: Asked) -> None:
    """With a grant and all: none of them is left unjudged, since the launcher reads them."""
    head = run(["git", "rev-parse", "HEAD"], cwd=own.tree).out.strip()
    names = [f"refs/heads/{'x' * 230}{number:05d}" for number in range(3400)]
    packed_refs = "# pack-refs with: peeled fully-peeled sorted\n" + "".join(
        f"{head} {name}\n" for name in names
    )
    (own.tree / ".git" / "packed-refs").write_text(packed_refs)
    with launchers_say_so(own):
        done = own.push("refs/heads/x*:refs/heads/x*")
    assert done.returncode != 0
    assert b"left to the launcher" in done.stderr


def test_another_hook_that_may_not_be_believed(own: Asked) -> None:
    """It is refused by the launcher, and never passed over by the agent."""
    hooks = own.server.directory("app") / "hooks" / "pre-receive.d"
    hooks.mkdir()
    os.symlink("/nowhere", hooks / "10-check")
    assert own.act("whole push")[1] != 0
    (hooks / "10-check").unlink()
    (hooks / "10-check").write_text("#!/bin/sh\n")
    (hooks / "10-check").chmod(0o777)
    assert own.act("whole push")[1] != 0
    (hooks / "10-check").chmod(0o755)
    assert own.act("whole push")[:2] == ("allowed", 0)


def test_a_rule_that_begins_soon_is_announced(own: Asked) -> None:
    """Once a day, after the push that it would refuse: the launcher's to say."""
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 5 * 86400))
    rule = f'\n[[rules]]\nname = "soon"\nrequire = true\nlifetime = "1s"\nsince = {day}\n'
    own.server.write(own.server.config.read_text() + rule)
    own.server.admin("repo", "require", "app", "none")
    own.server.end_sessions()
    done = own.push("HEAD:refs/heads/soon")
    assert done.returncode == 0
    assert b"(rule soon)" in done.stderr


def test_where_a_worker_stands(own: Asked) -> None:
    """Behind a push it is in no repository, so that none is held; its socket is the account's alone."""
    assert own.act("whole push")[:2] == ("allowed", 0)
    assert {os.readlink(f"/proc/{pid}/cwd") for pid in own.agent.workers_of} == {"/"}
    assert own.agent.socket.stat().st_mode & 0o777 == 0o600


_LENT_BY_ANOTHER = """
import os, socket, struct, sys
body = bytes([1]) + b"g" + b"".join(field.encode() + b"\\0" for field in sys.argv[1:])
s = socket.socket(socket.AF_UNIX)
s.connect(PLACE)
s.sendall(len(body).to_bytes(4, "big") + body)
assert s.recv(100)[5:6] == b"o"
if WHO == "child" and os.fork():
    os.wait()
    os._exit(0)
streams = struct.pack("3i", 0, 1, 2)
s.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
print(s.recv(100)[5:6])
"""


@pytest.mark.parametrize(("who", "told"), [("itself", b"b'b'\n"), ("child", b"b''\n")])
def test_streams_of_another_process(asked: Asked, who: str, told: bytes) -> None:
    """ATTACK: who asked has ended, its number is another's by now, and what it left behind lends the streams.
    EXPECTED: nothing is done on them: the kernel says who has sent them.
    """
    words = ["4", "--user", "alice", "--key", asked.alice.fingerprint, "SSH_ORIGINAL_COMMAND=2fa help"]
    code = _LENT_BY_ANOTHER.replace("PLACE", repr(str(asked.agent.socket))).replace("WHO", repr(who))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *words, "SSH_CONNECTION=127.0.0.1 1 127.0.0.1 22"],
        capture_output=True, check=True, timeout=20,
    )  # fmt: skip
    assert done.stdout.endswith(told), done


def test_a_time_zone_that_is_a_file(asked: Asked, tmp_path: Path) -> None:
    """ATTACK: TZ names a pipe that nobody writes, which the agent's process would wait at for ever, or any
    file that is not the client's to read. EXPECTED: a zone's name counts, and nothing else.
    """
    os.mkfifo(tmp_path / "pipe")
    for zone in (str(tmp_path / "pipe"), f":{tmp_path}/pipe", f"../../../../..{tmp_path}/pipe"):
        assert gate(asked, "2fa status", environ={"TZ": zone}).stdout.startswith(b"user alice"), zone
