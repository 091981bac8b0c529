"""A whole server whose agent has an account of its own: who may open what, and everything that people do.

`python -m lab.apart` tells the story; tests/agent/test_apart.py holds it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path

import tomli_w

from gitguard.agent.look import fault_of_agent
from lab.host import Host, inside
from lab.run import Done, run
from lab.server import Person

KEEPER = "gitguard"
WAIT_SECONDS = 30


class ApartHost(Host):
    """A host with both accounts, the agent and the Git account's helper."""

    def __init__(self) -> None:
        super().__init__()
        run(
            [
                "useradd",
                "--system",
                "--uid",
                str(self.port + 1),
                "--shell",
                "/usr/sbin/nologin",
                "--home-dir",
                "/nonexistent",
                KEEPER,
            ]
        )
        self.socket = self.folder / "run" / "agent.socket"
        self.socket.parent.mkdir()
        self.running: list[subprocess.Popen[bytes]] = []

    def configure(self, **tables: object) -> None:
        """Change keys of the configuration, and have init put it into force."""
        data = tomllib.loads(self.config.read_text())
        for table, values in tables.items():
            if isinstance(values, dict):
                data.setdefault(table, {}).update(values)
            else:
                data[table] = values
        self.config.write_text(tomli_w.dumps(data))
        self.admin("config", "check")
        self.admin("init")

    def part(self) -> None:
        """Give the store to its own account, and start both processes."""
        self.configure(agent={"socket": str(self.socket), "account": KEEPER})
        self.start_agent()

    def look_up_keys(self) -> None:
        """Sshd asks for keys, and reads no file."""
        self.configure(paths={"authorized_keys": "none"})
        self.admin("init", "--drop-in")
        self.reload()

    def start_agent(self) -> None:
        """The helper and the agent, as root starts them by hand; wait until the agent answers."""
        for words in (["admin", "helper"], ["admin", "agent"]):
            with open(self.folder / "agent.log", "ab") as log:
                self.running.append(
                    subprocess.Popen(
                        [self.python, "-m", "gitguard", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        env=self.env, cwd="/", start_new_session=True,
                    )
                )  # fmt: skip
        ends = time.monotonic() + WAIT_SECONDS
        while fault := fault_of_agent(str(self.socket)):
            if time.monotonic() > ends or any(one.poll() is not None for one in self.running):
                raise RuntimeError(f"{fault}\n{(self.folder / 'agent.log').read_text()}")
            time.sleep(0.02)

    @property
    def python(self) -> str:
        """The interpreter that every account can run."""
        return str(Path(sys.executable).resolve())

    def stop_agent(self, number: signal.Signals = signal.SIGTERM, only: int | None = None) -> None:
        """End both, or the helper (0) or the agent (1) alone."""
        ending = self.running if only is None else [self.running[only]]
        for process in ending:
            self.tell(process, number)
        for process in ending:
            process.wait(20)
        if only is None:
            self.running.clear()

    def tell(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """A signal to the process and all that it began."""
        if process.poll() is None:
            os.killpg(process.pid, number)

    def gate(self, person: Person, line: str) -> Done:
        """The gate as sshd starts it, as the Git account: `line` is the client's."""
        gate = ["/usr/local/lib/gitguard/gitguard-shell", "--user", person.name, "--key", person.fingerprint]
        environ = [
            f"SSH_ORIGINAL_COMMAND={line}",
            "SSH_CONNECTION=127.0.0.1 1 127.0.0.1 22",
            "PATH=/usr/bin:/bin",
        ]
        return self.as_account("env", "-i", "-C", "/", *environ, *gate, status=None)

    def as_git(self, code: str, *words: str) -> str:
        """What a Python program of the Git account prints."""
        return self.as_account(self.python, "-I", "-S", "-c", code, *words).out

    def stop(self) -> None:
        """Stop everything by its pid."""
        self.stop_agent(signal.SIGKILL)
        super().stop()


STORIES: dict[str, Callable[[ApartHost], None]] = {}
AS = ["-c", "user.name=a", "-c", "user.email=a@example.com"]


def story(function: Callable[[ApartHost], None]) -> Callable[[ApartHost], None]:
    """Put it into the table, by its name."""
    STORIES[function.__name__.strip("_").replace("_", " ")] = function
    return function


def _clone(host: ApartHost, person: Person, name: str) -> Path:
    tree = Path(tempfile.mkdtemp(dir=host.folder))
    host.git(person, "clone", "--quiet", host.url(name), str(tree), status=0)
    return tree


def _push(host: ApartHost, person: Person, tree: Path, ref: str, status: int | None = None) -> Done:
    host.git(person, *AS, "commit", "--quiet", "--allow-empty", "-m", "x", cwd=tree, status=0)
    return host.git(person, "push", "origin", f"HEAD:refs/heads/{ref}", cwd=tree, status=status)


def _verified(host: ApartHost, person: Person) -> None:
    if "verified until" not in host.ssh(person, "2fa status").out:
        host.verify_by_recovery_code(person)


@story
def _the_git_account_opens_nothing(host: ApartHost) -> None:
    """Every file of state and log, the folders, the helper's socket, and what the agent's processes hold."""
    paths = [host.state, host.log.parent, host.socket.parent / "helper.socket"]
    for folder in (host.state, host.log.parent):
        paths += [
            Path(above) / name for above, folders, files in os.walk(folder) for name in (*folders, *files)
        ]
    agents = [pid for pid in os.listdir("/proc") if pid.isdigit() and _uid_of(pid) == host.port + 1]
    assert len(paths) > 10, paths
    assert len(agents) >= 3, agents
    paths += [
        Path(f"/proc/{pid}/{name}") for pid in agents for name in ("mem", "environ", "fd", "maps", "root")
    ]
    tried = host.as_git(
        "import os, socket, sys\n"
        "def read(path):\n"
        "    if not os.read(os.open(path, os.O_RDONLY), 1) and path.startswith('/proc'): raise OSError('of a process that ends')\n"
        "for path in sys.argv[1:]:\n"
        "    for way in (lambda: read(path), lambda: os.open(path, os.O_WRONLY),\n"
        "                lambda: os.listdir(path), lambda: socket.socket(socket.AF_UNIX).connect(path),\n"
        "                lambda: os.rename(path, path + '.x'), lambda: os.unlink(path), lambda: os.chmod(path, 0o777)):\n"
        "        try: way()\n"
        "        except OSError: continue\n"
        "        print(path)\n",
        *map(str, paths),
    )
    assert tried == "", tried


def _uid_of(pid: str) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return -1


@story
def _everything_that_people_do(host: ApartHost) -> None:
    """Each verb over real ssh, reads and pushes with their answers, and one line for each decision."""
    alice = host.people["alice"]
    host.verify_by_recovery_code(alice)
    assert "verified until" in host.ssh(alice, "2fa status", status=0).out
    assert '"verified": true' in host.ssh(alice, "2fa status --json", status=0).out
    assert "alice" in host.ssh(alice, "2fa keys", status=0).out
    assert "push" in host.ssh(alice, "2fa repo show team/app", status=0).out
    assert "verify" in host.ssh(alice, "2fa help", status=0).out
    assert "unknown-command" in host.ssh(alice, "2fa bogus", status=20).err
    assert "unknown-command" in host.ssh(alice, "cat /etc/passwd", status=20).err
    assert "no-such-repository" in host.git(alice, "ls-remote", host.url("nowhere"), status=128).err
    assert "code-rejected" in host.ssh(alice, "2fa verify", stdin="000000\n", status=12).err
    tree = _clone(host, alice, "team/app")
    _push(host, alice, tree, "main", 0)
    assert "session" in host.ssh(alice, "2fa leave", status=0).out
    assert "[verification-required]" in _push(host, alice, tree, "main", 128).err
    assert host.git(alice, "fetch", cwd=tree, status=0)
    said = host.admin("log", "--json").out
    assert said.count('"refused"') >= 2
    assert '"verified"' in said


@story
def _a_rule_for_refs_is_judged_in_the_hook(host: ApartHost) -> None:
    """Said before the upload, refused in the hook by name; the other refs go through."""
    host.configure(rules=[{"name": "releases", "refs": ["refs/heads/release"], "require": True}])
    alice = host.people["alice"]
    host.ssh(alice, "2fa leave --all", status=0)
    try:
        tree = _clone(host, alice, "team/open")
        _push(host, alice, tree, "main", 0)
        refused = _push(host, alice, tree, "release", 1).err
        assert "[verification-required]" in refused
        assert "releases" in refused
        host.verify_by_recovery_code(alice)
        _push(host, alice, tree, "release", 0)
    finally:
        host.configure(rules=[])


@story
def _other_hooks_are_the_git_accounts(host: ApartHost) -> None:
    """They run as the Git account behind ours, without the grant; one that refuses is heard, and logged."""
    alice = host.people["alice"]
    _verified(host, alice)
    hooks = host.repositories / "team" / "app.git" / "hooks" / "pre-receive.d"
    host.as_account("mkdir", "-p", str(hooks))
    hook = hooks / "10-check"
    hook.write_text(
        "#!/bin/sh\nid -un\necho grant=$GITGUARD_GRANT\ncat\ntest ! -e /tmp/gg-no-$PPID\nexit $(cat $GIT_DIR/say)\n"
    )
    host.as_account(
        "sh",
        "-c",
        f"cp {hook} {hook}.x && rm -f {hook} && mv {hook}.x {hook} && chmod 755 {hook}",
        status=None,
    )
    run(["chown", "git:git", str(hook)])
    say = host.repositories / "team" / "app.git" / "say"
    tree = _clone(host, alice, "team/app")
    try:
        for status in (0, 3):
            say.write_text(str(status))
            run(["chown", "git:git", str(say)])
            done = _push(host, alice, tree, "hooked", 0 if status == 0 else 1)
            assert "remote: git" in done.err, done
            assert re.search(r"remote: grant= *\n", done.err), done
            assert "refs/heads/hooked" in done.err, done
        assert "another hook refused: hooks/pre-receive.d/10-check exited 3" in host.log.read_text()
    finally:
        hook.unlink()
        say.unlink()


@story
def _a_push_waits_for_its_person(host: ApartHost) -> None:
    """At the gate and in the hook: it continues by itself when its person verifies elsewhere."""
    rules = [{"name": "releases", "refs": ["refs/heads/release2"], "require": True}]
    host.configure(session={"wait": "30s"}, rules=rules)
    alice = host.people["alice"]
    try:
        for name, ref in (("team/app", "waits"), ("team/open", "release2")):
            host.ssh(alice, "2fa leave --all", status=0)
            tree = _clone(host, alice, name)
            host.git(alice, *AS, "commit", "--quiet", "--allow-empty", "-m", "x", cwd=tree, status=0)
            command = ["git", "push", "origin", f"HEAD:refs/heads/{ref}"]
            push = subprocess.Popen(
                command, cwd=tree, env=host.git_env(alice), stderr=subprocess.PIPE, text=True
            )
            assert push.stderr is not None
            said = ""
            while "continues by itself" not in said:
                line = push.stderr.readline()
                assert line, said
                said += line
            host.verify_by_recovery_code(alice)
            assert "verified; continuing the push" in push.communicate(timeout=30)[1]
            assert push.returncode == 0
    finally:
        host.configure(session={"wait": "off"}, rules=[])


@story
def _what_root_types(host: ApartHost) -> None:
    """Every noun of the admin's works as root, and what it does to repositories and keys is done."""
    bob = host.add_user("bob")
    assert bob.fingerprint in host.admin("key", "list", "bob").out
    assert "bob" in host.key_file.read_text()
    assert host.key_file.stat().st_uid == host.port
    host.admin("key", "remove", bob.fingerprint)
    assert "user bob" not in host.key_file.read_text()
    host.admin("key", "add", "bob", f"{bob.key}.pub")
    host.admin("repo", "create", "made/here", "--require", "all")
    made = host.repositories / "made" / "here.git"
    assert made.stat().st_uid == host.port
    host.admin("repo", "rename", "made/here", "made/there")
    assert (host.repositories / "made" / "there.git").is_dir()
    host.as_account("git", "init", "--quiet", "--bare", str(host.repositories / "found.git"))
    assert "adopted" in host.admin("repo", "adopt", "--all").out
    host.admin("repo", "forget", "found")
    assert "team/app" in host.admin("repo", "list").out
    assert "allowed" in host.admin("explain", "alice", "team/app", "read").out
    host.admin("session", "list")
    host.admin("session", "sweep")
    host.admin("audit", "verify")
    host.admin("config", "check")
    copy = host.folder / "copy.db"
    host.admin("store", "backup", str(copy))
    host.admin("store", "status")
    host.admin("export")
    host.admin("user", "suspend", "bob")
    assert "user-suspended" in host.ssh(bob, "2fa status", status=14).err
    host.admin("user", "resume", "bob")
    host.admin("user", "remove", "--yes", "bob")
    assert host.admin("stats").out
    done = host.admin("break-glass", "--reason", "test", "--", "id", "-un")
    assert done.out == "git\n"


@story
def _a_transfer_ends_with_its_session(host: ApartHost) -> None:
    """Git's process is the Git account's: the helper ends it when the session is revoked, and says why."""
    alice = host.people["alice"]
    _verified(host, alice)
    host.admin("repo", "require", "team/app", "all")
    try:
        command = host.ssh_command(alice, "git-upload-pack team/app")
        parked = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert parked.stdout is not None
        assert parked.stdout.read(4)
        assert "1 running transfer ended" in host.admin("session", "revoke", "alice").text
        assert b"stopped, because" in parked.communicate(timeout=20)[1]
    finally:
        host.admin("repo", "require", "team/app", "push")


@story
def _an_agent_that_is_gone(host: ApartHost) -> None:
    """Without agent or helper, or with either stopped: refused by name within two seconds; then as before."""
    alice = host.people["alice"]
    _verified(host, alice)
    for what in ("agent stopped", "helper stopped", "helper gone", "agent gone"):
        helper, agent = host.running
        if what.endswith("stopped"):
            host.tell(agent if what.startswith("agent") else helper, signal.SIGSTOP)
        elif what == "helper gone":
            host.stop_agent(only=0)
        else:
            host.stop_agent()
        for line, status in (
            ("git-upload-pack team/app", 40),
            ("2fa status", 40),
            ("git-receive-pack team/app", 40),
        ):
            began = time.monotonic()
            done = host.gate(alice, line)
            took = time.monotonic() - began
            if what == "helper stopped" and line == "2fa status":
                continue  # it asks nothing of the helper
            if what == "helper gone" and line == "2fa status":
                continue
            assert done.status == status, (what, line, done)
            assert "[agent-unavailable]" in done.text, (what, line, done)
            assert took < 2.0, (what, line, took)
        if what.endswith("stopped"):
            host.tell(agent if what.startswith("agent") else helper, signal.SIGCONT)
        else:
            host.stop_agent()
            host.start_agent()
        assert host.gate(alice, "2fa status").status == 0
        assert host.gate(alice, "git-upload-pack team/app").out.startswith("0")


@story
def _doctor_finds_nothing(host: ApartHost) -> None:
    """Both accounts are looked at; a healthy server is silent, by the quick look too."""
    host.admin("session", "sweep")
    assert "no gap" in host.admin("doctor").out
    assert "requests get an answer" in host.admin("doctor", "--quick").out


def main() -> None:
    """Tell every story, or those whose names are given; a line for each."""
    inside("lab.apart")
    host = ApartHost()
    failed = 0
    try:
        host.install("--drop-in")
        host.start()
        host.admin("repo", "create", "team/app", "--require", "push")
        host.admin("repo", "create", "team/open")
        host.add_user("alice")
        host.part()
        host.configure(second_factor={"recovery_codes": 50})
        host.reload()
        host.enroll(host.people["alice"])
        for name, tell in STORIES.items():
            if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
                continue
            began = time.monotonic()
            try:
                tell(host)
            except Exception:
                failed += 1
                print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
                print((host.folder / "agent.log").read_text()[-1500:])
            else:
                print(f"ok  {name}  ({time.monotonic() - began:.1f} s)", flush=True)
    finally:
        host.stop()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
