"""`gitguard hook-up`: Git asks for the code itself, once however many commands wait for it, and continues."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.person import Person
from lab.quick import QUICK
from lab.run import Done, run, typed
from lab.server import Server

pytestmark = pytest.mark.e2e


@dataclass
class Desk:
    """A workstation: a home, a person's own settings, and a window that asks for passwords."""

    server: Server
    person: Person
    home: Path

    @property
    def asked(self) -> int:
        """How often the window has asked."""
        log = self.home / "asked"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def env(self, *, askpass: bool = True) -> dict[str, str]:
        """What a session on this workstation has."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_", "XDG_"))
        }
        window = {"GIT_ASKPASS": str(self.home / "window")} if askpass else {}
        return {
            **kept, "HOME": str(self.home), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **window,
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@x",
        }  # fmt: skip

    def answers(self, *codes: str) -> None:
        """What the window answers, in turn; the last one again and again."""
        (self.home / "codes").write_text("".join(f"{code}\n" for code in codes))

    def git(self, *words: str, cwd: Path, status: int | None = 0, askpass: bool = True) -> Done:
        """Git, typed."""
        return run(["git", *words], cwd=cwd, status=status, env=self.env(askpass=askpass))

    def gitguard(self, *words: str, cwd: Path, status: int | None = 0, stdin: str = "") -> Done:
        """Gitguard, typed."""
        return typed(QUICK, words, status=status, stdin=stdin, environ=self.env(), cwd=str(cwd))

    def fresh(self) -> str:
        """A code of the person's that was not used."""
        self.server.clear_watermark(self.person)
        return self.server.fresh_code(self.person)

    def clone(self, name: str) -> Path:
        """A work tree with a commit whose origin is the repository."""
        tree = self.home / name.replace("/", "-")
        self.git("init", "--quiet", "-b", "main", str(tree), cwd=self.home)
        self.git("remote", "add", "origin", self.server.url(name), cwd=tree)
        self.git("commit", "--quiet", "--allow-empty", "-m", "first", cwd=tree)
        return tree


def window(home: Path) -> None:
    """A program like git's own askpass: it notes the question and answers with the next line of `codes`."""
    path = home / "window"
    path.write_text(
        f'#!/bin/sh\necho "$1" >> "{home}/asked"\nhead -n 1 "{home}/codes"\n'
        f'[ "$(wc -l < "{home}/codes")" -gt 1 ] && sed -i 1d "{home}/codes"\nexit 0\n'
    )
    path.chmod(0o755)


@pytest.fixture(scope="module")
def waiting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose pushes would wait half a minute: the wrapper must not."""
    server = Server(tmp_path_factory.mktemp("hooked") / "server")
    server.install()
    server.configure(session={"wait": "30s"})
    server.start()
    for name in ("app", "lib"):
        server.new_repository(name, "all")
    yield server
    server.stop()


@pytest.fixture
def desk(waiting_server: Server, tmp_path: Path) -> Desk:
    """A person who has verified once from this workstation, hooked up everywhere, in no session."""
    person = waiting_server.new_user(tmp_path.name.replace("_", "-").lower()[:40])
    made = Desk(waiting_server, person, tmp_path)
    window(tmp_path)
    ssh = " ".join(["ssh", *waiting_server.ssh_options(person)])
    made.git("config", "--global", "core.sshCommand", ssh, cwd=tmp_path)
    made.git("config", "--global", "protocol.file.allow", "always", cwd=tmp_path)
    tree = made.clone("app")
    made.gitguard("verify", cwd=tree, stdin=made.fresh() + "\n")
    made.gitguard("leave", cwd=tree)
    made.gitguard("hook-up", "--global", cwd=tmp_path)
    return made


def test_a_push_asks_and_goes_on(desk: Desk) -> None:
    """Typed once; the window asks once, names the server; then a fetch needs nothing; nothing
    of the code is in arguments.
    """
    tree = desk.home / "app"
    code = desk.fresh()
    desk.answers(code)
    began = time.monotonic()
    done = desk.git("push", "origin", "main:" + desk.person.name, cwd=tree)
    assert "verified until" in done.err
    assert "new branch" in done.err
    assert time.monotonic() - began < 20, "it does not wait for the server's patience"
    assert (
        (desk.home / "asked").read_text()
        == f"code for {desk.server.account}@127.0.0.1 port {desk.server.port} (or a recovery code): \n"
    )
    desk.git("fetch", "--quiet", "origin", cwd=tree)
    assert desk.asked == 1


def test_many_commands_ask_once(desk: Desk) -> None:
    """Four fetches at the same time, and a clone with a submodule on the same server."""
    tree = desk.home / "app"
    desk.answers(desk.fresh())
    jobs = [
        subprocess.Popen(["git", "ls-remote", desk.server.url(name)], cwd=tree, env=desk.env(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for name in ("app", "lib", "app", "lib")
    ]  # fmt: skip
    said = [job.communicate(timeout=60)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0, 0], said
    assert desk.asked == 1


def test_it_works_over_a_shared_connection(desk: Desk) -> None:
    """OpenSSH's ControlMaster in what stood there before: asked once, and nothing hangs
    on the connection that stays.
    """
    ssh = " ".join(["ssh", *desk.server.ssh_options(desk.person)])
    shared = f"{ssh} -o ControlMaster=auto -o ControlPath={desk.home}/mux -o ControlPersist=30"
    desk.git("config", "--global", "gitguard.beforeSshCommand", shared, cwd=desk.home)
    tree = desk.home / "app"
    desk.answers(desk.fresh())
    began = time.monotonic()
    desk.git("push", "--quiet", "origin", f"main:{desk.person.name}", cwd=tree)
    desk.git("fetch", "--quiet", "origin", cwd=tree)
    assert time.monotonic() - began < 20
    assert desk.asked == 1
    options = ("-o", f"ControlPath={desk.home}/mux", "-O", "exit")
    subprocess.run(
        desk.server.ssh_command(desk.person, options=options), check=False, stderr=subprocess.DEVNULL
    )


def test_submodules_ask_once(desk: Desk) -> None:
    """`clone --recurse-submodules`, two repositories of one server, one question."""
    desk.answers(desk.fresh())
    branch = desk.person.name
    tree, lib = desk.home / "app", desk.clone("lib")
    desk.git("push", "--quiet", "origin", f"main:{branch}", cwd=lib)
    desk.git(
        "-c",
        "protocol.allow=always",
        "submodule",
        "--quiet",
        "add",
        "-b",
        branch,
        desk.server.url("lib"),
        "lib",
        cwd=tree,
    )
    desk.git("commit", "--quiet", "-m", "with lib", cwd=tree)
    desk.git("push", "--quiet", "origin", f"main:{branch}", cwd=tree)
    desk.gitguard("leave", cwd=tree)
    before = desk.asked
    desk.answers(desk.fresh())
    desk.git(
        "clone",
        "--quiet",
        "-b",
        branch,
        "--recurse-submodules",
        "-j",
        "2",
        desk.server.url("app"),
        "again",
        cwd=desk.home,
    )
    assert (desk.home / "again" / "lib" / ".git").exists()
    assert desk.asked == before + 1


def test_in_the_background_nobody_is_asked_and_nothing_waits(desk: Desk) -> None:
    """No terminal, no window: the refusal as it is, at once, although the server would let a push wait."""
    tree = desk.home / "app"
    began = time.monotonic()
    refused = desk.git("push", "origin", "main:x", cwd=tree, status=128, askpass=False)
    assert "fatal: remote error: gitguard: verify to push to app" in refused.err
    assert "nobody can be asked here" in refused.err
    assert time.monotonic() - began < 15
    assert desk.asked == 0


def test_a_wrong_code_is_asked_again(desk: Desk) -> None:
    """Three times at most; a right one among them continues; none, and Git tells the refusal."""
    tree = desk.home / "app"
    desk.answers("000000", "x", desk.fresh())
    desk.git("ls-remote", "origin", cwd=tree)
    assert desk.asked == 3
    desk.gitguard("leave", cwd=tree)
    desk.answers("000000", "000001", "000002")
    refused = desk.git("ls-remote", "origin", cwd=tree, status=128)
    assert desk.asked == 6
    assert "fatal: remote error: gitguard: verify to read app" in refused.err
    desk.server.admin("user", "unthrottle", desk.person.name)


def test_a_server_that_was_never_verified_to_is_not_asked_for(desk: Desk) -> None:
    """Adversary: a clone whose configuration names a host of theirs, and waits for a live code."""
    (desk.home / ".config" / "gitguard" / "servers").unlink()
    desk.answers(desk.fresh())
    refused = desk.git("ls-remote", "origin", cwd=desk.home / "app", status=128)
    assert desk.asked == 0
    assert "you have not verified to" in refused.err
    assert "once: gitguard verify" in refused.err


def test_a_clones_own_settings_do_not_reach_behind_the_wrapper(desk: Desk) -> None:
    """Adversary: wrote `gitguard.beforeSshCommand` into a clone's configuration. The wrapper
    reads the person's file alone.
    """
    tree = desk.home / "app"
    mark = desk.home / "mark"
    desk.git("config", "--local", "gitguard.beforeSshCommand", f"touch {mark}; false", cwd=tree)
    desk.answers(desk.fresh())
    desk.git("ls-remote", "origin", cwd=tree)
    assert not mark.exists()


def test_if_needed_asks_nothing_of_who_is_verified(desk: Desk) -> None:
    """Also where the server was not met by name yet: it says so by itself, and no code is asked for."""
    tree = desk.home / "app"
    desk.gitguard("verify", cwd=tree, stdin=desk.fresh() + "\n")
    (desk.home / ".config" / "gitguard" / "servers").unlink()
    done = desk.gitguard("verify", "--if-needed", cwd=tree, status=0)
    assert "already verified until" in done.out
    assert "code for" not in done.err


@pytest.mark.parametrize("where", ["--global", "--local"])
@pytest.mark.parametrize("first", ["verify", "hook-up"])
@pytest.mark.parametrize("then", ["push", "keys add"])
def test_a_server_is_one_however_it_is_met(desk: Desk, where: str, first: str, then: str) -> None:
    """{verify, hook-up} in either order, for one clone or for all, and then {push, keys add}: it
    is known by both, or by none.
    """
    tree = desk.home / "app"
    desk.gitguard("hook-up", "--undo", "--global", cwd=tree)
    (desk.home / ".config" / "gitguard" / "servers").unlink()
    hook_up = ("hook-up", "--global") if where == "--global" else ("hook-up",)
    new = desk.server.new_key(f"{desk.person.name}-new")
    (desk.home / "new.pub").write_text(new.public_line)
    if first == "hook-up":
        desk.gitguard(*hook_up, cwd=tree)
        refused = desk.gitguard("keys", "add", str(desk.home / "new.pub"), cwd=tree, status=2)
        assert "you have not verified to" in refused.err
        assert "code from your app" not in refused.err, "no prompt where nothing will be read"
    desk.gitguard("verify", cwd=tree, stdin=desk.fresh() + "\n")
    if first == "verify":
        desk.gitguard(*hook_up, cwd=tree)
    desk.gitguard("leave", cwd=tree)
    if then == "push":
        desk.answers(desk.fresh())
        pushed = desk.git("push", "--quiet", "origin", f"HEAD:refs/heads/{desk.person.name}", cwd=tree)
        assert "not asked here" not in pushed.err
        assert desk.asked == 1
    else:
        added = desk.gitguard("keys", "add", str(desk.home / "new.pub"), cwd=tree, stdin=desk.fresh() + "\n")
        assert new.fingerprint in added.out


def test_a_clones_own_ssh_is_kept_behind_the_wrapper(desk: Desk) -> None:
    """A clone with an ssh command of its own: hooked up there, that one is run, and it is
    another server than the person's.
    """
    tree = desk.home / "app"
    desk.gitguard("hook-up", "--undo", "--global", cwd=tree)
    own = desk.git("config", "--global", "--get", "core.sshCommand", cwd=tree).out.strip()
    desk.git("config", "--local", "core.sshCommand", f"env MARK=1 {own}", cwd=tree)
    desk.gitguard("hook-up", cwd=tree)
    refused = desk.git("ls-remote", "origin", cwd=tree, status=128)
    assert "you have not verified to" in refused.err
    desk.gitguard("verify", cwd=tree, stdin=desk.fresh() + "\n")
    desk.gitguard("leave", cwd=tree)
    desk.answers(desk.fresh())
    desk.git("ls-remote", "origin", cwd=tree)
    assert desk.asked == 1


def test_a_program_that_answers_for_nobody(desk: Desk) -> None:
    """Adversary: none; GIT_ASKPASS prints a token for another server. It is sent
    nowhere, and asked no third time.
    """
    tree = desk.home / "app"
    desk.answers("ghp_0123456789abcdefghijklmnopqrstuvwxyzAB")
    refused = desk.git("ls-remote", "origin", cwd=tree, status=128)
    assert "not a code; nothing was sent" in refused.err
    assert desk.asked == 2
    with desk.server.acting() as site, site.store.reading() as tx:
        assert tx.failures(desk.person.name, 0) == []
    desk.answers("000000")
    desk.git("ls-remote", "origin", cwd=tree, status=128)
    with desk.server.acting() as site, site.store.reading() as tx:
        assert len(tx.failures(desk.person.name, 0)) == 1, "the same answer twice ends the asking"


def test_bytes_of_a_server_move_no_cursor(desk: Desk) -> None:
    """Adversary: a known server whose refusal and answers hold escape sequences. They are shown
    as Git shows them, with `?`.
    """
    tree = desk.home / "app"
    evil = desk.home / "evil"
    said = (
        "ERR gitguard: verify to read \\033]0;owned\\007app: ssh -T git@h 2fa verify [verification-required]"
    )
    evil.write_text(
        f"#!/bin/sh\ncase \"$*\" in *2fa*) printf 'hello \\033[2J\\n'; exit 0;; esac\n"
        f"text=$(printf '{said}')\nprintf '%04x%s' $((${{#text}} + 4)) \"$text\"\n"
    )
    evil.chmod(0o755)
    desk.git("config", "--global", "gitguard.beforeSshCommand", str(evil), cwd=tree)
    desk.answers("123456")
    shown = desk.git("ls-remote", "origin", cwd=tree, status=128).err
    assert "gitguard: verify to read ?]0;owned?app\n" in shown
    assert "hello ?[2J" in shown
    assert "\x1b" not in shown.partition("fatal:")[0]


def test_the_hook_up_says_a_whole_sentence(desk: Desk) -> None:
    """With a page in the refusal: what is asked for, and no way out that is left hanging."""
    tree = desk.home / "app"
    desk.server.configure(host={"web_url": "https://git.example.com/2fa"})
    try:
        desk.answers(desk.fresh())
        shown = desk.git("ls-remote", "origin", cwd=tree).err
        assert "gitguard: verify to read app\n" in shown
    finally:
        desk.server.configure(host={"web_url": ""})


def test_undo_leaves_no_trace(desk: Desk) -> None:
    """The person's file says what it said before; in a clone too; what is not hooked up is said."""
    text = run(["git", "config", "--global", "--list"], env=desk.env()).out
    assert "as-ssh" in text
    assert "already set up everywhere" in desk.gitguard("hook-up", "--global", cwd=desk.home).out
    desk.gitguard("hook-up", "--undo", "--global", cwd=desk.home)
    text = run(["git", "config", "--global", "--list"], env=desk.env()).out
    assert "gitguard" not in text
    assert "ssh.variant" not in text
    assert "core.sshcommand=ssh -F none" in text
    tree = desk.home / "app"
    before = (tree / ".git" / "config").read_text()
    desk.gitguard("hook-up", cwd=tree)
    assert "as-ssh" in (tree / ".git" / "config").read_text()
    desk.answers(desk.fresh())
    desk.gitguard("hook-up", "--undo", cwd=tree)
    assert (tree / ".git" / "config").read_text().split() == before.split()
    assert "was not set up" in desk.gitguard("hook-up", "--undo", cwd=tree).out
    assert "not inside a Git clone" in desk.gitguard("hook-up", cwd=desk.home, status=2).err


def test_every_byte_goes_through(desk: Desk) -> None:
    """A pack of some megabytes there and back: objects are whole, and progress still comes through."""
    tree = desk.home / "app"
    desk.answers(desk.fresh())
    (tree / "noise").write_bytes(os.urandom(3 << 20))
    desk.git("add", "noise", cwd=tree)
    desk.git("commit", "--quiet", "-m", "noise", cwd=tree)
    branch = desk.person.name
    desk.git("push", "--quiet", "origin", f"main:{branch}", cwd=tree)
    done = desk.git("clone", "--progress", "-b", branch, desk.server.url("app"), "back", cwd=desk.home)
    assert "Receiving objects: 100%" in done.err
    assert (desk.home / "back" / "noise").read_bytes() == (tree / "noise").read_bytes()
    desk.git("fsck", "--full", cwd=desk.home / "back")


def test_at_a_terminal_it_is_asked_there(desk: Desk) -> None:
    """The question is read from the terminal, not from Git's own streams, and what is typed does not show."""
    code = desk.fresh()
    env = {name: value for name, value in desk.env(askpass=False).items() if name != "GIT_TERMINAL_PROMPT"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(desk.home / "app")
        os.execvpe("git", ["git", "ls-remote", "origin"], env)
    seen, sent = b"", False
    ends = time.monotonic() + 40
    while time.monotonic() < ends:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                part = os.read(terminal, 4096)
            except OSError:
                break
            seen += part
        if b"(or a recovery code): " in seen and not sent:
            sent = bool(os.write(terminal, code.encode() + b"\n"))
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, seen
    assert b"verified until" in seen
    assert code.encode() not in seen


def test_a_prompt_reads_its_own_notes(desk: Desk) -> None:
    """`status --porcelain`: unknown at first, then what the last answer said,
    without a word to the server.
    """
    tree = desk.home / "app"
    assert desk.gitguard("status", "--porcelain", cwd=tree, status=50).out == "unknown\n"
    desk.answers(desk.fresh())
    desk.gitguard("verify", cwd=tree, stdin=desk.fresh() + "\n")
    old, new = desk.gitguard("status", "--porcelain", cwd=tree).out.splitlines()
    words = new.split(" ", 2)
    assert old == new.replace("verified", "locked"), "the words of 0.1 stand first, for one release"
    assert words[0] == "verified"
    assert int(words[1]) > time.time() + 7 * 3600
    assert words[2] == f"{desk.server.account}@127.0.0.1 {desk.server.port}"
    desk.gitguard("leave", cwd=tree)
    assert (
        desk.gitguard("status", "--porcelain", cwd=tree, status=10)
        .out.splitlines()[1]
        .startswith("unverified ")
    )
    desk.answers(desk.fresh())
    desk.git("ls-remote", "origin", cwd=tree)
    assert desk.gitguard("status", "--porcelain", cwd=tree).out.splitlines()[1].startswith("verified "), (
        "the wrapper renews it too"
    )
    notes = desk.home / ".config" / "gitguard" / "sessions.json"
    notes.write_text("{")
    assert desk.gitguard("status", "--porcelain", cwd=tree, status=50).out == "unknown\n"


def test_a_workstation_without_posix(tmp_path: Path) -> None:
    """Windows has none of these modules: nothing on the workstation's way imports them.
    Simulated, by taking them away.
    """
    missing = ("pwd", "grp", "fcntl", "termios", "resource", "syslog", "spwd", "tty", "pty", "posixpath_")
    code = (
        f"import sys\nfor name in {missing!r}: sys.modules[name] = None\n"
        "from gitguard.__main__ import root\nfrom gitguard.command_line import run\n"
        "for words in (['--help'], ['hook-up', '--help'], ['verify', '--help'], ['status', '--porcelain', 'git@nowhere']):\n"
        "    assert run(root(), words, 'gitguard') in (0, 50), words\n"
    )
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], env=env)
