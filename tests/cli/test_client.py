"""The workstation: from a clone's remote to the right ssh command, and the whole story from a clone."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

import pytest

from gitguard.client import askpass, known_servers
from gitguard.client.remote import Server as Address
from gitguard.client.remote import SshCommand, server_of, ssh_command
from gitguard.decision.command import split
from gitguard.message.reasons import Refusal
from lab.server import GITGUARD, Done, Person, Server, run


@pytest.mark.parametrize(
    ("text", "destination", "port", "path"),
    [
        ("git@example.com:team/app.git", "git@example.com", "", "team/app.git"),
        ("example:team/app.git", "example", "", "team/app.git"),
        ("git@[2001:db8::1]:team/app", "git@2001:db8::1", "", "team/app"),
        ("[git@example.com:2222]:team/app", "git@example.com", "2222", "team/app"),
        ("ssh://git@example.com/team/app.git", "git@example.com", "", "/team/app.git"),
        ("ssh://git@GitServer/team/app.git", "git@GitServer", "", "/team/app.git"),
        ("ssh://git@example.com:2222/team/app.git", "git@example.com", "2222", "/team/app.git"),
        ("ssh://git@[2001:db8::1]:2222/app", "git@2001:db8::1", "2222", "/app"),
        ("ssh://git@example.com/~/app%20two.git", "git@example.com", "", "~/app two.git"),
        ("git+ssh://example.com/app", "example.com", "", "/app"),
        ("git@example.com", "git@example.com", "", ""),
        ("git@[2001:db8::1]", "git@2001:db8::1", "", ""),
    ],
)
def test_remotes(text: str, destination: str, port: str, path: str) -> None:
    """Every spelling of an SSH remote that Git knows."""
    found = server_of(text)
    assert (found.destination, found.port, found.path) == (destination, port, path)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/app.git",
        "/srv/git/app.git",
        "../app",
        "file:///srv/app",
        "-oProxyCommand=x:app",
        "ssh://-oProxyCommand=x/app",
        "git@-oProxyCommand=x:app",
        "",
        "ext::sh -c id",
    ],
)
def test_what_is_no_ssh_remote(text: str) -> None:
    """CVE-2017-1000117: a host that begins with `-` is an option to ssh; other
    transports are said, and not spoken.
    """
    with pytest.raises(Refusal) as caught:
        server_of(text)
    assert caught.value.reason == "usage"


def test_words_are_quoted_for_the_servers_parser() -> None:
    """What a person types arrives as the same words; no agent, no X11, no forwarding goes with them."""
    ssh = SshCommand("ssh -F none", snippet=True)
    command = ssh_command(ssh, Address("git@h", ("-p", "2222")), ["2fa", "repo", "show", "it's; id"])
    assert command[:3] == ["sh", "-c", 'ssh -F none "$@"']
    assert command[4:-1] == ["-T", "-a", "-x", "-o", "ClearAllForwardings=yes", "-p", "2222", "git@h"]
    assert split(command[-1]) == ("2fa", "repo", "show", "it's; id")


e2e = pytest.mark.e2e


def gitguard(
    server: Server,
    person: Person,
    *words: str,
    cwd: Path | None = None,
    stdin: str = "",
    status: int | None = None,
    environ: dict[str, str] | None = None,
) -> Done:
    """`gitguard ...` on the person's workstation."""
    env = {
        **server.git_env(person),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        **(environ or {}),
    }
    return run([*GITGUARD, *words], cwd=cwd, stdin=stdin, status=status, env=env)


@e2e
def test_verify_and_push_from_a_clone(shared_server: Server) -> None:
    """`gitguard verify && git push` is the whole story; server, port and key come from the remote."""
    server = shared_server
    alice = server.new_user("client-alice")
    server.new_repository("client/app", "push", "client-alice")
    tree = server.work_tree(alice, "client/app")
    gitguard(server, alice, "leave", cwd=tree, status=0)
    server.git(alice, "push", "origin", "main", cwd=tree, status=128)
    assert gitguard(server, alice, "verify", cwd=tree, stdin="000000\n").status == 12
    server.clear_watermark(alice)
    done = gitguard(server, alice, "verify", cwd=tree, stdin=server.fresh_code(alice) + "\n", status=0)
    assert "verified until" in done.out
    server.git(alice, "push", "--quiet", "origin", "main", cwd=tree, status=0)
    assert "already verified" in gitguard(server, alice, "verify", "--if-needed", cwd=tree, status=0).out
    assert '"verified": true' in gitguard(server, alice, "status", "--json", cwd=tree, status=0).out
    assert gitguard(server, alice, "status", "--check", cwd=tree).status == 0
    assert (
        "now requires all"
        in gitguard(server, alice, "repo", "require", "client/app", "all", cwd=tree, status=0).out
    )
    assert (
        "require all"
        in gitguard(server, alice, "repo", "show", "client/app", "--remote", "origin", cwd=tree, status=0).out
    )


@e2e
def test_a_link_to_the_web_page(server: Server) -> None:
    """`gitguard web` in a clone prints the link alone on stdout; where there is no page it
    says so, and nothing of codes.
    """
    alice = server.new_user("alice")
    server.admin("repo", "create", "app")
    tree = server.work_tree(alice, "app")
    refused = gitguard(server, alice, "web", cwd=tree, status=14)
    assert refused.err == "gitguard: there is no web page on this server [not-available]\n"
    server.configure(host={"web_url": "https://git.example.com/2fa/"})
    done = gitguard(server, alice, "web", cwd=tree, status=0)
    assert re.fullmatch(r"https://git\.example\.com/2fa/sign-in/[\w-]{43}\n", done.out)
    assert "one browser" in done.err
    assert "\u2580" not in done.err, "nobody looks at it, so nothing is drawn"
    drawn = gitguard(server, alice, "web", "--qr", "small", cwd=tree, status=0)
    assert "\u2580" in drawn.err
    assert drawn.out.count("\n") == 1
    large = gitguard(server, alice, "web", "--qr", "large", cwd=tree, status=0)
    assert "\u2580" not in large.err
    assert large.err.count("\x1b[38;5;16;48;5;231m  ") > 100


@e2e
def test_the_page_opens_in_this_computers_browser(server: Server, tmp_path: Path) -> None:
    """`gitguard web --open`: the browser is given the link, and nothing else shows it; a server that
    names another address is refused.
    """
    alice = server.new_user("opener")
    server.admin("repo", "create", "opened")
    tree = server.work_tree(alice, "opened")
    server.configure(host={"web_url": "https://git.example.com/2fa/"})
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path}/opened"\n')
    browser.chmod(0o755)
    done = gitguard(server, alice, "web", "--open", cwd=tree, status=0, environ={"BROWSER": str(browser)})
    link = (tmp_path / "opened").read_text().strip()
    assert re.fullmatch(r"https://git\.example\.com/2fa/sign-in/[\w-]{43}", link)
    assert done.out == ""
    assert link not in done.err
    assert "opened https://git.example.com/2fa in your browser" in done.err
    for evil in (
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://evil.example/x",
        "https://x y",
        "http://localhost:x@evil.example/",
        "https://a@evil.example/",
        "--help",
    ):
        fake = tmp_path / "fake-ssh"
        fake.write_text(f"#!/bin/sh\necho '{evil}'\n")
        fake.chmod(0o755)
        (tmp_path / "opened").unlink(missing_ok=True)
        refused = gitguard(
            server,
            alice,
            "web",
            "--open",
            cwd=tree,
            status=2,
            environ={"BROWSER": str(browser), "GIT_SSH_COMMAND": str(fake)},
        )
        assert "did not answer with a link" in refused.err
        assert not (tmp_path / "opened").exists()


@e2e
def test_a_code_argument_goes_on_stdin(shared_server: Server, tmp_path: Path) -> None:
    """`gitguard verify CODE` shows the code in no process list: ssh is started without it."""
    server = shared_server
    bob = server.new_user("client-bob")
    tree = server.work_tree(bob, "client/none")
    server.clear_watermark(bob)
    spy = tmp_path / "ssh"
    spy.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/seen\nexec ssh "$@"\n')
    spy.chmod(spy.stat().st_mode | stat.S_IXUSR)
    code = server.fresh_code(bob)
    env = server.git_env(bob)
    env["GIT_SSH_COMMAND"] = env["GIT_SSH_COMMAND"].replace("ssh", str(spy), 1)
    env |= {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    refused = run([*GITGUARD, "verify", code], cwd=tree, env=env, status=2)
    assert "you have not verified to" in refused.err
    assert not (tmp_path / "seen").exists(), "nothing was sent anywhere"
    done = run([*GITGUARD, "verify"], cwd=tree, env=env, stdin=code + "\n")
    assert f"to {server.account}@127.0.0.1 port {server.port}" in done.err
    assert f"code for {server.account}@127.0.0.1 port {server.port}, or a recovery code: " in done.err
    assert "verified until" in done.out
    server.clear_watermark(bob)
    code = server.fresh_code(bob)
    done = run([*GITGUARD, "verify", code], cwd=tree, env=env)
    assert "verified until" in done.out
    assert "code from your app" not in done.err, "what was given is not asked for"
    assert code not in (tmp_path / "seen").read_text()
    assert "2fa verify" in (tmp_path / "seen").read_text()


@e2e
def test_a_server_as_an_argument(shared_server: Server, tmp_path: Path) -> None:
    """Outside any clone: `gitguard status ssh://...`, also as `git guard`."""
    server = shared_server
    carl = server.add_user("client-carl")
    url = f"ssh://{server.account}@127.0.0.1:{server.port}"
    assert "user client-carl" in gitguard(server, carl, "status", url, cwd=tmp_path, status=0).out
    env = {**server.git_env(carl), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert "user client-carl" in run(["git", "guard", "status", url], cwd=tmp_path, env=env).out


@e2e
def test_a_server_that_is_not_there(shared_server: Server, tmp_path: Path) -> None:
    """Exit 50, in words."""
    server = shared_server
    dora = server.new_key("client-dora")
    done = gitguard(server, dora, "status", "ssh://git@127.0.0.1:1/x", cwd=tmp_path)
    assert done.status == 50
    assert "was not reached" in done.err
    refused = gitguard(
        server, dora, "status", f"ssh://{server.account}@127.0.0.1:{server.port}", cwd=tmp_path
    )
    assert refused.status == 50, "sshd does not know the key"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify"], "not inside a Git clone"),
        (["verify", "https://example.com/x"], "works over SSH"),
        (["verfy"], "did you mean: verify?"),
        (["repo", "require", "a"], "takes: REPO none|push|all"),
        (["status", "git@h", "git@i"], "more than one server"),
        (["status", "git@h", "--remote", "o"], "not both"),
        (["repo", "shw", "a"], "did you mean: show?"),
    ],
)
def test_usage_is_said(tmp_path: Path, words: list[str], said: str) -> None:
    """What a person mistypes gets the way out, never a traceback."""
    env = {
        **os.environ,
        "GIT_CEILING_DIRECTORIES": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    done = run([*GITGUARD, *words], cwd=tmp_path, env=env, status=None)
    assert done.status in (2, 20)
    assert said in done.err
    assert "Traceback" not in done.err


def test_no_remote(tmp_path: Path) -> None:
    """A clone without a remote."""
    run(["git", "init", "-q", str(tmp_path)])
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    assert "no remote origin" in run([*GITGUARD, "verify"], cwd=tmp_path, env=env, status=2).err


def test_on_windows_by_simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own folder for notes, its own console, no process groups: simulated,
    since no such machine is here.
    """
    opened: list[str] = []

    def no_console(path: str, *_: object) -> int:
        opened.append(path)
        raise FileNotFoundError(path)

    monkeypatch.setenv("APPDATA", str(tmp_path))
    monkeypatch.setenv("GIT_ASKPASS", str(tmp_path / "window"))
    monkeypatch.delenv("GIT_TERMINAL_PROMPT", raising=False)
    (tmp_path / "window").write_text("#!/bin/sh\necho 123456\n")
    (tmp_path / "window").chmod(0o755)
    monkeypatch.delattr(os, "tcgetpgrp")
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        assert known_servers.folder() == os.path.join(str(tmp_path), "gitguard")
        windows.setattr(os, "open", no_console)
        assert not askpass._has_terminal()
        assert askpass.can_ask()
    assert opened == ["CONIN$", "CONIN$"]
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")  # anyone who runs this at a terminal is not asked
    assert askpass.ask("code: ") == "123456"
