"""What a client sends as its command, over a real sshd.

ATTACK: a thief with a key of an enrolled user, who has no session, sends any bytes at all.
EXPECTED: non-zero by the table, nothing on stdout but at most one ERR packet, exactly one access-log line.
"""

from __future__ import annotations

import json

import pytest

from lab.server import Person, Server

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="session")
def thief(shared_server: Server) -> Person:
    """Alice's key without alice's phone; `closed/app` requires 2FA for everything, `open/app` nothing."""
    server = shared_server
    alice = server.new_user("stolen")
    for name, require in (("closed/app", "all"), ("open/app", "none")):
        server.new_repository(name, require)
    tree = server.work_tree(alice, "closed/app")
    server.git(alice, "push", "--quiet", "origin", "main", cwd=tree, status=0)
    server.git(alice, "push", "--quiet", server.url("open/app"), "main", cwd=tree, status=0)
    server.ssh(alice, "2fa leave", status=0)
    return alice


def is_one_err_packet(out: bytes | str) -> bool:
    """Whether `out` is exactly one pkt-line that begins with ERR."""
    text = out if isinstance(out, str) else out.decode()
    return text[4:8] == "ERR " and int(text[:4], 16) == len(text)


LONG = "git-upload-pack '" + "a" * 100_000 + "'"


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        # the client chooses the program
        ("git -c core.hooksPath=/dev/null receive-pack 'closed/app.git'", 20, "unknown-command"),
        ("git --exec-path=/tmp upload-pack 'closed/app.git'", 20, "unknown-command"),
        ("/usr/lib/git-core/git-upload-pack 'closed/app.git'", 20, "unknown-command"),
        # options in the place of a repository
        ("git-upload-pack '--help'", 21, "no-such-repository"),
        ("git-upload-pack '-x'", 21, "no-such-repository"),
        ("git-upload-pack '--strict' '/closed/app'", 20, "malformed-command"),
        ("git-upload-archive '--exec=id' 'closed/app'", 20, "malformed-command"),
        ("git-receive-pack --http-backend-info-refs closed/app", 20, "malformed-command"),
        # what a shell would run
        ("git-upload-pack 'open/app'; id", 20, "malformed-command"),
        ("git-upload-pack $(id)", 20, "malformed-command"),
        ("git-upload-pack `id`", 20, "malformed-command"),
        ("git-upload-pack 'open/app' | id", 20, "malformed-command"),
        ("git-upload-pack 'open/app'\nid", 20, "malformed-command"),
        ("git-upload-pack 'open/app", 20, "malformed-command"),
        ("git-upload-pack open/app &", 20, "malformed-command"),
        (LONG, 20, "malformed-command"),
        # other spellings of the closed one, and ways around it
        ("git-upload-pack 'closed/app'", 10, "verification-required"),
        ("git-upload-pack 'closed/app.git/'", 10, "verification-required"),
        ("git-upload-pack '//closed//app'", 10, "verification-required"),
        ("git upload-pack closed/app", 10, "verification-required"),
        ("git-upload-pack 'open/../closed/app'", 21, "no-such-repository"),
        ("git-upload-pack 'closed/app.git/refs/..'", 21, "no-such-repository"),
        ("git-upload-pack 'closed/app.git/.'", 21, "no-such-repository"),
        ("git-upload-pack '~root/closed/app'", 21, "no-such-repository"),
        ("git-upload-pack '~/closed/app'", 21, "no-such-repository"),
        ("git-upload-pack 'closed/APP'", 21, "no-such-repository"),
        ("git-upload-pack 'closed'", 21, "no-such-repository"),
        ("git-upload-pack ''", 21, "no-such-repository"),
        ("git-upload-pack '/'", 21, "no-such-repository"),
        # what runs no hook
        ("git-receive-pack 'closed/app'", 10, "verification-required"),
        ("git-upload-archive 'closed/app'", 10, "verification-required"),
        # other programs
        ("scp -t /tmp/x", 20, "unknown-command"),
        ("/usr/lib/openssh/sftp-server", 20, "unknown-command"),
        ("internal-sftp", 20, "unknown-command"),
        ("rsync --server -logDtpr . /tmp", 20, "unknown-command"),
        ("git-shell", 20, "unknown-command"),
        ("git-shell -c \"git-upload-pack 'closed/app'\"", 20, "malformed-command"),
        ("bash", 20, "unknown-command"),
        ("sh -c id", 20, "unknown-command"),
        ("git-foo 'closed/app'", 20, "unknown-command"),
        ("git-daemon closed/app", 20, "unknown-command"),
        ("GIT-UPLOAD-PACK 'closed/app'", 20, "unknown-command"),
        ("git-upload-pack\t'closed/app'", 20, "malformed-command"),
        ("git-http-backend", 20, "unknown-command"),
        # LFS
        ("git-lfs-authenticate closed/app download", 10, "verification-required"),
        ("git-lfs-authenticate 'closed/app.git' upload", 10, "verification-required"),
        ("git-lfs-transfer closed/app upload", 10, "verification-required"),
        ("git-lfs-transfer 'closed/app' delete", 20, "malformed-command"),
        ("git-lfs-authenticate open/app download", 20, "unknown-command"),
    ],
)  # fmt: skip
def test_any_command(shared_server: Server, thief: Person, line: str, status: int, reason: str) -> None:
    """Refused with the right reason, one log line, no byte of Git's."""
    before = len(shared_server.log())
    done = shared_server.ssh(thief, line)
    assert done.status == status, done.text
    added = shared_server.log()[before:]
    mine = [entry for entry in added if entry["user"] == "stolen"]
    assert [(entry["verdict"], entry["reason"]) for entry in mine] == [("refused", reason)]
    first = line.split(maxsplit=1)[0].rpartition("/")[
        2
    ]  # a remote may name a path; its sender reads packets too
    first = (
        (line if first == "git" else first).removeprefix("git ").removeprefix("git-").split()[0].strip("'")
    )
    if first in ("upload-pack", "receive-pack", "upload-archive"):
        assert is_one_err_packet(done.out)
        assert f"[{reason}]" in done.out
    else:
        assert done.out == ""
        assert f"[{reason}]" in done.err


@pytest.mark.parametrize("name", ["a\x1b[2J\x07b", "a\u202eb", "%s%n{0}", "\u00e9" * 300, "x\udcff\udcfe"])
def test_client_text_in_log_and_terminal(shared_server: Server, thief: Person, name: str) -> None:
    """Escapes, direction marks, broken UTF-8: replaced in what people see; the log stays JSON, one line."""
    before = shared_server.access_log.read_bytes().count(b"\n")
    done = shared_server.ssh(thief, f"git-upload-pack '{name}'")
    assert done.status in (20, 21)
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out
    lines = shared_server.access_log.read_bytes().splitlines()
    assert len(lines) == before + 1
    assert json.loads(lines[-1])["reason"] in ("no-such-repository", "malformed-command")


def test_hostile_receive_pack_of_a_real_git(shared_server: Server, thief: Person) -> None:
    """With git's own flag: nothing is executed, the repository does not change."""
    server = shared_server
    tree = server.work_tree(thief, "closed/app", "hostile")
    head = server.directory("closed/app") / "refs" / "heads" / "main"
    before = head.read_text()
    for program in (
        "git -c core.hooksPath=/dev/null receive-pack",
        "sh -c 'git receive-pack \"$0\"'",
        "git-receive-pack --x",
    ):
        done = server.git(thief, "push", "--force", f"--receive-pack={program}", "origin", "main", cwd=tree)
        assert done.status != 0
    assert head.read_text() == before


def test_a_push_with_nothing_to_send(shared_server: Server, thief: Person) -> None:
    """Up to date, dry-run, ls-remote, archive: refused by the gate, since no hook runs for these."""
    server = shared_server
    url = server.url("closed/app")
    tree = server.work_tree(thief, "closed/app", "idle")
    for command in (
        ["push", "--dry-run", url, "main"],
        ["ls-remote", url],
        ["archive", f"--remote={url}", "main"],
        ["push", url],
    ):
        done = server.git(thief, *command, cwd=tree)
        assert "verification-required" in done.err, command


@pytest.mark.parametrize("words", [("-N", "-W", "127.0.0.1:22"), ("-t", "-t"), ("-A",), ("-s", "sftp")])
def test_other_uses_of_a_connection(shared_server: Server, thief: Person, words: tuple[str, ...]) -> None:
    """No forward, no pty, no subsystem; what runs is the gate."""
    server = shared_server
    done = (
        server.ssh(thief, options=words) if words[0] != "-s" else server.ssh(thief, "sftp", options=("-s",))
    )
    if words[0] == "-A":
        assert "hello stolen" in done.out
    elif words[0] == "-t":
        assert done.status in (0, 255)
    else:
        assert done.status != 0
