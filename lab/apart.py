"""A whole server whose agent has an account of its own: who may open what, and everything that people do.

`python -m lab.apart` tells the story; tests/agent/test_apart.py holds it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path

import tomli_w

from gitguard.agent.look import fault_of_agent
from gitguard.message.reasons import Refusal
from lab.host import Host, inside
from lab.run import Done, run
from lab.server import Person
from lab.socket_page import WEB

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
        self.asks = False
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
        if self.asks:
            return
        self.configure(paths={"authorized_keys": "none"})
        self.admin("init", "--drop-in")
        self.reload()
        self.asks = True

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
    def accounts(self) -> Path:
        """The socket that people with accounts of their own use."""
        return self.socket.parent / "accounts.socket"

    def start_for_accounts(self) -> subprocess.Popen[bytes]:
        """The agent that answers them."""
        self.accounts.unlink(missing_ok=True)
        with open(self.folder / "agent.log", "ab") as log:
            process = subprocess.Popen(
                [self.python, "-m", "gitguard", "admin", "agent", "--for-accounts"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd="/", start_new_session=True,
            )  # fmt: skip
        ends = time.monotonic() + WAIT_SECONDS
        while fault_of_agent(str(self.accounts)):
            if time.monotonic() > ends:
                raise RuntimeError((self.folder / "agent.log").read_text())
            time.sleep(0.02)
        return process

    def as_person(self, account: str, *words: str, stdin: str = "", status: int | None = 0) -> Done:
        """`gitguard ...` in a shell of an account of this machine."""
        command = [
            "setpriv",
            f"--reuid={account}",
            f"--regid={account}",
            "--clear-groups",
            "env",
            "-i",
            "-C",
            "/",
        ]
        environ = ["PATH=/usr/bin:/bin", f"GITGUARD_ACCOUNTS={self.accounts}", "PYTHONPATH=/opt/gitguard/lib"]
        return run([*command, *environ, self.python, "-m", "gitguard", *words], stdin=stdin, status=status)

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


@story
def _the_page_is_the_agents_accounts(host: ApartHost) -> None:
    """Served as the store's account: signing in, verifying, the admin's pages that look at repositories and
    end transfers; a helper that hangs keeps no other page waiting.
    """
    from lab.page import Browser, Page, sign_in

    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    for name in WEB:
        run(["cp", "-r", "--preserve=timestamps", str(site / name), "/opt/gitguard/lib"])
    page = Page(host, tls=False)  # type: ignore[arg-type]
    host.configure(git={"enforcement": "opt-in", "admins": ["alice"]})
    alice = host.people["alice"]
    command = [host.python, "-m", "gitguard", "admin", "serve", "--bind", f"127.0.0.1:{page.port}"]
    with open(host.folder / "web.log", "ab") as log:
        serving = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=host.env, cwd="/"
        )
    try:
        ends = time.monotonic() + WAIT_SECONDS
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", page.port)):
                assert serving.poll() is None, (host.folder / "web.log").read_text()
                assert time.monotonic() < ends
                time.sleep(0.05)
        assert _uid_of(str(serving.pid)) == host.port + 1
        browser = Browser(page)
        link = next(word for word in host.ssh(alice, "2fa web").out.split() if word.startswith("http"))
        assert sign_in(browser, link).status == 200
        shown = browser.send("/verify", {"code": alice.recovery_codes.pop()})
        assert "erified" in shown.text, shown.text
        for path in (
            "/",
            "/repositories",
            "/admin",
            "/admin/people",
            "/admin/log",
            "/admin/sessions",
            "/admin/doctor",
        ):
            answer = browser.follow(browser.get(path))
            assert answer.status == 200, (path, answer.status, answer.text[:300])
        assert "team/app" in browser.get("/repositories").text
    finally:
        serving.terminate()
        serving.wait(30)


@story
def _a_hook_that_the_gate_cannot_run(host: ApartHost) -> None:
    """Git would pass over it without a word: mounted noexec where the gate is, not where the helper is."""
    alice = host.people["alice"]
    host.admin(
        "session",
        "open",
        "alice",
        "--for",
        "5m",
        "--reason",
        "lab",
        "--key",
        alice.fingerprint,
        "--from",
        "127.0.0.1",
    )
    words = ["--user", "alice", "--key", alice.fingerprint]
    environ = [
        "SSH_ORIGINAL_COMMAND=git-receive-pack team/open",
        "SSH_CONNECTION=127.0.0.1 1 127.0.0.1 22",
        "PATH=/usr/bin:/bin",
    ]
    gate = ["setpriv", "--reuid=git", "--regid=git", "--init-groups", "env", "-i", "-C", "/", *environ]
    gate += ["/usr/local/lib/gitguard/gitguard-shell", *words]
    assert run(gate, stdin="0000").out.startswith("0"), "and else it runs"
    view = f'mount --bind {host.repositories} {host.repositories} && mount -o remount,bind,noexec {host.repositories} && exec "$@"'
    done = run(["unshare", "--mount", "sh", "-c", view, "sh", *gate], stdin="0000", status=None)
    assert "[hook-not-live]" in done.text, done
    host.admin("session", "revoke", "alice")


@story
def _an_upgrade_loses_nothing(host: ApartHost) -> None:
    """`init` has agent and helper begin anew; who asks meanwhile is answered by those of before, or waits."""
    alice = host.people["alice"]
    seen: list[Done] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            seen.append(host.gate(alice, "git-upload-pack team/open"))

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for one in asking:
        one.start()
    try:
        for _ in range(2):
            before = len(seen)
            host.admin("init")
            ends = time.monotonic() + WAIT_SECONDS
            while len(seen) < before + 60 and time.monotonic() < ends:
                time.sleep(0.01)
    finally:
        ended.set()
        for one in asking:
            one.join()
    assert len(seen) >= 120
    assert {done.status for done in seen} <= {0, 128}, [done for done in seen if done.status not in (0, 128)][
        :3
    ]


# -- an intruder in the Git account ------------------------------------------------------------------

ASK = """
import os, socket, struct, sys
where, letter = sys.argv[1], sys.argv[2].encode()
words, pairs = sys.argv[3].split("|"), sys.argv[4:]
body = bytes([1]) + letter + b"".join(w.encode() + b"\\0" for w in (str(len(words)), *words, *pairs))
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(where)
s.sendall(len(body).to_bytes(4, "big") + body)
def hear():
    head = b""
    while len(head) < 4:
        part = s.recv(4 - len(head))
        if not part: return b"", []
        head += part
    data = b""
    while len(data) < int.from_bytes(head, "big"): data += s.recv(int.from_bytes(head, "big") - len(data))
    return data[1:2], data[2:-1].split(b"\\0")
letter, fields = hear()
if letter == b"o":
    s.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("3i", 0, 1, 2))])
    while letter not in (b"e", b"x", b""): letter, fields = hear()
print("ANSWER", letter.decode(), *[f.decode() for f in fields[:1]])
"""


def as_intruder(host: ApartHost, person: Person, line: str, *, token: str = "", stdin: str = "") -> Done:
    """What a process of the Git account is told that says to be `person`, past gate and sshd."""
    words = ["--user", person.name, "--key", person.fingerprint, *(["--token", token] if token else [])]
    pairs = [f"SSH_ORIGINAL_COMMAND={line}", "SSH_CONNECTION=127.0.0.1 1 127.0.0.1 22"]
    command = [
        "setpriv", "--reuid=git", "--regid=git", "--init-groups", host.python, "-I", "-S", "-c", ASK,
        str(host.socket), "g", "|".join(words), *pairs,
    ]  # fmt: skip
    return run(command, stdin=stdin, status=None)


def token_of(host: ApartHost) -> str:
    """A token in the command line of a live connection, as any process of the account reads it."""
    seen = host.as_git(
        "import os\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try: words = open(f'/proc/{pid}/cmdline').read().replace(' ', '\\0').split('\\0')\n"
        "    except OSError: continue\n"
        "    if '--token' in words: print(words[words.index('--token') + 1])\n"
    ).split()
    return seen[0] if seen else ""


@story
def _an_intruder_without_a_code(host: ApartHost) -> None:
    """Whoever is connected or not: no session is opened, nobody enrolled or reset, no requirement changed;
    the trail is as it was, and a grant made by hand is none.
    """
    alice, carol = host.people["alice"], host.people["carol"]
    host.ssh(alice, "2fa leave --all", status=0)
    before = host.admin("audit", "show", "--json").out.count('"event"')
    assert "ANSWER e 12" in as_intruder(host, alice, "2fa verify", stdin="000000\n").out
    assert "ANSWER e 11" in as_intruder(host, carol, "2fa enroll", stdin="AAAA-BBBB\n\n\n").out
    for line in ("2fa always off", "2fa repo require team/app none", "2fa remove", "2fa recovery-codes"):
        done = as_intruder(host, alice, line, stdin="000000\n")
        assert re.search("ANSWER e 1[0-4]", done.out), (line, done)
    assert "ANSWER e 10" in as_intruder(host, alice, "git-receive-pack team/app").out
    new = host.admin("audit", "show", "--json").out.count('"event"') - before
    assert new <= 12, "wrong codes alone are recorded"
    host.admin("audit", "verify")
    assert "push: none" not in host.admin("repo", "show", "team/app").out
    host.admin("user", "unthrottle", "alice")
    tree = host.home / "work"
    bare = host.repositories / "team" / "app.git"
    script = (
        f"mkdir {tree} && cd {tree} && git init -q . && git {' '.join(AS)} commit -q --allow-empty -m x && "
        f"GITGUARD_GRANT=push.alice.x git push {bare} HEAD:refs/heads/stolen"
    )
    assert "[no-grant]" in host.as_account("sh", "-c", script, status=1).err


@story
def _an_intruder_beside_one_who_is_connected(host: ApartHost) -> None:
    """With keys in a file: a live session counts for them too, for as long as it lives, and no longer."""
    alice = host.people["alice"]
    _verified(host, alice)
    assert "ANSWER x" in as_intruder(host, alice, "git-receive-pack team/app").out
    host.ssh(alice, "2fa leave --all", status=0)
    assert "ANSWER e 10" in as_intruder(host, alice, "git-receive-pack team/app").out


# -- from here on sshd asks for keys -------------------------------------------------------------------


@story
def _keys_are_looked_up(host: ApartHost) -> None:
    """One line or nothing within the second; several commands on one connection; doctor says which promise
    holds; without the agent nobody gets in.
    """
    host.look_up_keys()
    alice = host.people["alice"]
    assert host.key_file.read_text().count("\n") == 2, "our block is empty"
    _verified(host, alice)
    path = f"{host.folder}/master"
    master = ["-o", "ControlMaster=auto", "-o", f"ControlPath={path}", "-o", "ControlPersist=30"]
    command = host.ssh_command(alice)
    shared = [*command[:1], *master, *command[1:]]
    try:
        for _ in range(5):
            assert "verified until" in run([*shared, "2fa status"]).out
            assert run([*shared, "git-upload-pack team/app"], stdin="0000").out
    finally:
        run(["ssh", "-o", f"ControlPath={path}", "-O", "exit", "git@127.0.0.1"], status=None)
    assert "acts as a person only while that person is connected" in host.admin("doctor").out
    stranger = host.key("stranger")
    assert host.ssh(stranger, "2fa status").status == 255
    host.stop_agent()
    began = time.monotonic()
    assert host.ssh(alice, "2fa status").status == 255
    assert time.monotonic() - began < 4.0
    host.start_agent()
    assert host.ssh(alice, "2fa status").status == 0


@story
def _no_process_outside_a_connection_acts_as_its_person(host: ApartHost) -> None:
    """From outside, with her token and without, from another's connection, from her hook, under setsid."""
    host.look_up_keys()
    alice, bob = host.people["alice"], host.people["dave"]
    _verified(host, alice)
    line = "git-receive-pack team/app"
    assert "ANSWER e 14" in as_intruder(host, alice, line).out
    assert "ANSWER e 14" in as_intruder(host, alice, line, token="0" * 32).out
    held = subprocess.Popen(
        host.ssh_command(alice, "2fa verify"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert held.stderr is not None
        assert held.stderr.read(4) == b"code"
        token = token_of(host)
        assert len(token) == 32
        done = as_intruder(host, alice, line, token=token)
        assert "ANSWER e 14" in done.out, done
        assert "[no-identity]" in done.text, done
        # From dave's own connection: a hook of his, with her token, in his session and in one of its own.
        words = f"--user|alice|--key|{alice.fingerprint}|--token|{token}"
        for before in ("", "setsid "):
            said = _in_a_hook_of(
                host,
                bob,
                f"{before}{host.python} -I -S -c \"$ASK\" {host.socket} g '{words}' 'SSH_ORIGINAL_COMMAND={line}' 'SSH_CONNECTION=127.0.0.1 1 127.0.0.1 22'",
            )
            assert "ANSWER e 14" in said, said
    finally:
        held.kill()
        held.wait()
    # In her own: what her hook begins comes second; the leader has asked already.
    said = _in_a_hook_of(
        host, alice,
        "t=$(tr '\\0' ' ' < /proc/$(cut -d' ' -f6 /proc/self/stat)/cmdline | sed 's/.*--token \\([0-9a-f]*\\).*/\\1/'); "
        f"{host.python} -I -S -c \"$ASK\" {host.socket} g \"--user|alice|--key|{alice.fingerprint}|--token|$t\" 'SSH_ORIGINAL_COMMAND={line}' 'SSH_CONNECTION=127.0.0.1 1 127.0.0.1 22'",
    )  # fmt: skip
    assert "ANSWER e 14" in said, said
    # A thief who first offers her public key is who they are.
    assert "user dave" in host.ssh(bob, "2fa status", status=0).out
    both = ["-i", f"{alice.key}.pub", *host.options(bob)]
    assert "user dave" in run(["ssh", "-T", *both, "-p", str(host.port), "git@127.0.0.1", "2fa status"]).out
    # Keys are told to sshd alone, never to the Git account.
    asked = host.as_git(ASK, str(host.socket), "k", f"git|{alice.fingerprint}|ssh-ed25519|x")
    assert "ANSWER l" in asked, asked


def _in_a_hook_of(host: ApartHost, person: Person, script: str) -> str:
    """What a post-receive hook says that runs `script` in `person`'s own push."""
    _verified(host, person)
    bare = host.repositories / "team" / "open.git"
    hook = bare / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\nASK='{ASK}'\n{script} 2>&1 </dev/null\n")
    hook.chmod(0o755)
    run(["chown", "git:git", str(hook)])
    try:
        tree = _clone(host, person, "team/open")
        return _push(host, person, tree, f"by-{person.name}-{time.monotonic_ns()}", 0).err
    finally:
        hook.unlink()


@story
def _a_failed_look_up_lets_nobody_in(host: ApartHost) -> None:
    """Words that are none, another account's name, an agent that is stopped: nothing is printed, in time."""
    host.look_up_keys()
    alice = host.people["alice"]
    blob = Path(f"{alice.key}.pub").read_text().split()[1]
    good = ["git", alice.fingerprint, "ssh-ed25519", blob]
    keys = [
        "sh",
        "-c",
        '"$@"; exit $?',
        "sh",
        "setpriv",
        f"--reuid={KEEPER}",
        f"--regid={KEEPER}",
        "--clear-groups",
    ]
    keys.append("/usr/local/lib/gitguard/gitguard-keys")
    assert "--token" in run([*keys, *good]).out
    for words in (
        ["root", *good[1:]],
        ["git", "SHA256:" + "A" * 43, *good[2:]],
        ["git"],
        [],
        [*good[:3], blob, "more"],
    ):
        done = run([*keys, *words], status=None)
        assert (done.out == "") or words[:4] == good, (words, done)
    host.tell(host.running[1], signal.SIGSTOP)
    try:
        began = time.monotonic()
        done = run([*keys, *good], status=None)
        assert (done.status, done.out) == (1, "")
        assert time.monotonic() - began < 1.5
    finally:
        host.tell(host.running[1], signal.SIGCONT)


@story
def _people_with_accounts_of_their_own(host: ApartHost) -> None:
    """`gitguard verify` in a shell of the server: who it is the kernel says, and only the admin says whose an
    account is.
    """
    host.configure(session={"scope": "user"})
    alice = host.people["alice"]
    run(["useradd", "--uid", str(host.port + 2), "--create-home", "--shell", "/bin/sh", "al"], status=None)
    accounts = host.start_for_accounts()
    try:
        assert "[no-identity]" in host.as_person("al", "status", status=14).err
        host.admin("user", "account", "alice", "add", "al")
        assert "the account al is alice's already" in host.admin("user", "account", "alice", "add", "al").out
        assert "is alice's already" in host.admin("user", "account", "carol", "add", "al", status=2).err
        assert "no person's" in host.admin("user", "account", "carol", "add", "git", status=2).err
        host.admin("session", "revoke", "alice")
        assert "account uid" in host.as_person("al", "status").out
        assert "code-rejected" in host.as_person("al", "verify", stdin="000000\n", status=12).err
        code = alice.recovery_codes.pop() + "\n"
        assert "for all your keys" in host.as_person("al", "verify", "--here", stdin=code).out
        assert "already verified" in host.as_person("al", "verify", "--if-needed").out
        _push(host, alice, _clone(host, alice, "team/app"), f"shell-{time.monotonic_ns()}", 0)
        assert "ended" in host.as_person("al", "leave").out
        # Another account says to be anyone it likes, and is who it is.
        asked = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            host.python,
            "-I",
            "-S",
            "-c",
            ASK,
        ]
        said = run(
            [*asked, str(host.accounts), "u", "status", "SSH_CONNECTION=x", "GITGUARD_USER=alice"],
            status=None,
        )
        assert "ANSWER e 14" in said.out, said
        for letter in ("g", "k", "h"):
            assert (
                "ANSWER l"
                in run([*asked, str(host.accounts), letter, "--user|alice|--key|x"], status=None).out
            )
        assert run([*asked, str(host.socket), "u", "status"], status=None).status != 0
        # Frames that are none, and streams that never come, end no process of it.
        workers = _children_of(accounts.pid)
        for bad in ("|".join(["x"]), "", "9999"):
            body = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(host.accounts)!r}); b = b'\\1u' + {bad!r}.encode() + b'\\0'; s.sendall(len(b).to_bytes(4, 'big') + b); print(s.recv(9)[5:6])"
            run([*asked[:4], host.python, "-I", "-S", "-c", body])
        assert _children_of(accounts.pid) == workers
        run(["userdel", "al"])
        uid = str(host.port + 2)
        assert f"by uid: {uid}" in host.admin("user", "show", "alice").out
        host.admin("user", "account", "alice", "remove", "al", status=2)
        host.admin("user", "account", "alice", "remove", uid)
        run(["useradd", "--uid", uid, "--shell", "/bin/sh", "mallory"])
        assert "[no-identity]" in host.as_person("mallory", "status", status=14).err
        run(["userdel", "mallory"])
    finally:
        host.tell(accounts, signal.SIGKILL)
        host.configure(session={"scope": "address"})


def _children_of(pid: int) -> set[str]:
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@story
def _a_folder_is_handed_over_whole(host: ApartHost) -> None:
    """Whoever held a file open holds nothing of what comes after; what is no file is taken away."""
    from gitguard.host.handing_over import hand_over

    folder = host.folder / "given"
    folder.mkdir()
    run(["chown", "git:git", str(folder)])
    host.as_account(
        "sh",
        "-c",
        f"cd {folder} && mkdir below && echo secret > key && echo log > below/log && ln -s /etc/shadow link && mkfifo pipe",
    )
    held = [os.open(folder / name, os.O_RDWR) for name in ("key", "below/log")]
    assert hand_over(str(folder), KEEPER, ("git",), lambda _: None)
    for handle in held:
        os.write(handle, b"overwritten")
    assert (folder / "key").read_text() == "secret\n"
    assert (folder / "below" / "log").read_text() == "log\n"
    assert sorted(p.name for p in folder.iterdir()) == ["below", "key"]
    owners = {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}
    assert owners == {host.port + 1}
    assert not hand_over(str(folder), KEEPER, ("git",), lambda _: None), "once"


@story
def _a_handing_over_that_was_cut_off(host: ApartHost) -> None:
    """ATTACK: something in the folder makes it fail half way, and the store is held open. EXPECTED: the next
    time all of it is done, the store in a new file; nothing is said to be done before.
    """
    from gitguard.host.handing_over import MARK, hand_over

    folder = host.folder / "cut"
    folder.mkdir()
    run(["chown", "git:git", str(folder)])
    host.as_account("sh", "-c", f"cd {folder} && echo secret > a.db && touch a.db-wal && mkdir -p z/z")
    held = os.open(folder / "a.db", os.O_RDWR)

    def fails(_: str) -> None:
        raise Refusal("store-unavailable", "the disk is full")

    def renewed(path: str) -> None:
        new = Path(f"{path}.new")
        new.write_bytes(Path(path).read_bytes())
        new.replace(path)

    try:
        hand_over(str(folder), KEEPER, ("git",), fails)
        raise AssertionError("it was cut off")
    except Refusal:
        assert (folder / MARK).exists()
    assert hand_over(str(folder), KEEPER, ("git",), renewed)
    os.write(held, b"overwritten")
    assert (folder / "a.db").read_text() == "secret\n"
    assert not (folder / MARK).exists()
    assert not hand_over(str(folder), KEEPER, ("git",), renewed)


@story
def _no_terminal_of_roots(host: ApartHost) -> None:
    """ATTACK: the Git account traces what root's command starts as it, and types into root's terminal.
    EXPECTED: nothing of another account has that terminal.
    """
    script = "cut -d' ' -f7 /proc/self/stat; (exec 3</dev/tty) 2>&1 | grep -c tty"
    words = [
        host.python,
        "-m",
        "gitguard",
        "admin",
        "break-glass",
        "--reason",
        "lab",
        "--",
        "sh",
        "-c",
        script,
    ]
    said = _in_a_terminal(host, words)
    assert "\r\n0\r\n" in said, said
    assert "\r\n1\r\n" in said, said
    # What an errand starts has none either: a git that says where it stands.
    program, place = host.folder / "git", host.home / "seen"
    program.write_text(f"#!/bin/sh\ncut -d' ' -f7 /proc/self/stat >> {place}\nexec /usr/bin/git \"$@\"\n")
    program.chmod(0o755)
    run(["mount", "--bind", str(program), "/usr/local/bin/git"], status=None) if Path(
        "/usr/local/bin/git"
    ).exists() else shutil.copy(program, "/usr/local/bin/git")
    place.unlink(missing_ok=True)
    try:
        words = ["admin", "repo", "create", f"tty/{time.monotonic_ns()}"]
        said = _in_a_terminal(host, [host.python, "-m", "gitguard", *words])
        assert place.exists(), said
        assert set(place.read_text().split()) == {"0"}
    finally:
        Path("/usr/local/bin/git").unlink()


def _in_a_terminal(host: ApartHost, words: list[str]) -> str:
    """What a command says that root types in a terminal."""
    master, slave = os.openpty()
    child = subprocess.Popen(
        ["sh", "-c", '"$@"; exit $?', "sh", *words], stdin=slave, stdout=slave, stderr=slave, env=host.env, cwd="/", start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread
    )  # fmt: skip
    os.close(slave)
    said = b""
    try:
        while part := os.read(master, 65536):
            said += part
    except OSError:  # its last process has closed it
        pass
    os.close(master)
    child.wait(30)
    return said.decode()


@story
def _the_way_back(host: ApartHost) -> None:
    """The last of all: the Git account keeps the store again, if root says who kept it."""
    host.stop_agent()
    data = tomllib.loads(host.config.read_text())
    data["agent"] = {"socket": "", "account": ""}
    data["paths"]["authorized_keys"] = str(host.key_file)
    host.config.write_text(tomli_w.dumps(data))
    refused = host.admin("init", status=30)
    assert "gitguard admin init --kept-by gitguard" in refused.err, refused
    assert "gave /var/lib/gitguard/ to git" in host.admin("init", "--kept-by", KEEPER, "--drop-in").out
    host.reload()
    assert host.state.stat().st_uid == host.port
    alice = host.people["alice"]
    assert host.ssh(alice, "2fa status", status=0)
    _verified(host, alice)
    _push(host, alice, _clone(host, alice, "team/app"), f"back-{time.monotonic_ns()}", 0)
    host.admin("audit", "verify")
    host.admin("session", "sweep")
    assert "no gap" in host.admin("doctor").out


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
        for name in ("alice", "carol", "dave"):
            host.add_user(name)
        host.part()
        host.configure(second_factor={"recovery_codes": 50})
        host.reload()
        for name in ("alice", "dave"):
            host.enroll(host.people[name])
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
