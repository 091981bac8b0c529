"""Adopting changes nothing about a push but the question it asks first: same exit, same output
of the hooks that were there.

Each repository is pushed to before, with plain git, and after, through the gate.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gitguard.repository.spelling import from_home
from lab.hook_kinds import KINDS, write
from lab.server import Done, Person, Server, run

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def author(shared_server: Server) -> Person:
    """Someone who may push."""
    there = shared_server.people.get("hooks-author")  # this file's tests may be handed out in two parts
    return there or shared_server.new_user("hooks-author")


def spoken(done: Done) -> list[str]:
    """What the hooks said, as the client shows it; Git's hint about a hook that is not executable aside."""
    lines = [line.rstrip() for line in done.err.splitlines() if line.startswith("remote: ")]
    return [
        line for line in lines if not line.startswith("remote: hint:") and "was ignored because" not in line
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_push_does_what_it_did(shared_server: Server, author: Person, kind: Callable[[Path], None]) -> None:
    """Adopt exit 0, and the next push has the exit status and the hooks' output of the push before."""
    server, name = shared_server, f"kinds/{kind.__name__.replace('_', '-')}"
    directory = server.directory(name)
    run(["git", "init", "-q", "--bare", "--template=", str(directory)])
    (directory / "hooks").mkdir()
    kind(directory / "hooks")
    tree = server.work_tree(author, name)
    before = server.git(author, "push", str(directory), "HEAD:refs/heads/one", cwd=tree)
    dry = server.admin("repo", "adopt", name, "--dry-run")
    done = server.admin("repo", "adopt", name)
    assert "adopted" in done.out
    assert ("would close to others" in dry.out) == ("closed to others" in done.out)
    after = server.git(author, "push", "origin", "HEAD:refs/heads/two", cwd=tree)
    assert after.status == before.status, after.err
    assert [line.replace("/two", "/one") for line in spoken(after)] == spoken(before)
    server.admin("repo", "require", name, "push")
    again = server.git(author, "push", "origin", "HEAD:refs/heads/three", cwd=tree)
    assert (again.status, [line.replace("/three", "/one") for line in spoken(again)]) == (
        before.status,
        spoken(before),
    )
    assert "was in order" in server.admin("repo", "adopt", name).out


def test_a_dispatcher_is_no_fork_bomb(shared_server: Server, author: Person) -> None:
    """At most ten processes, each check once."""
    server = shared_server
    directory = server.directory("kinds/counted")
    run(["git", "init", "-q", "--bare", "--template=", str(directory)])
    write(
        directory / "hooks/pre-receive.d/10-count",
        f"#!/bin/sh\necho x >> {directory}/count\nps -e -o pid= | wc -l >> {directory}/processes\n",
    )
    write(
        directory / "hooks/pre-receive",
        "#!/bin/sh\nfor hook in hooks/pre-receive.d/*; do $hook || exit 1; done\n",
    )
    server.admin("repo", "adopt", "kinds/counted")
    tree = server.work_tree(author, "kinds/counted")
    server.git(author, "push", "-q", "origin", "HEAD:main", cwd=tree, status=0)
    assert (directory / "count").read_text() == "x\n"


def test_what_cannot_be_kept_is_refused_and_named(shared_server: Server, author: Person) -> None:
    """A hook that someone else may change, one that leads nowhere; one such stops nobody else."""
    del author
    server = shared_server
    for name in ("odd/foreign", "odd/dangling", "odd/fine"):
        run(["git", "init", "-q", "--bare", "--template=", str(server.directory(name))])
        (server.directory(name) / "hooks").mkdir()
    write(server.directory("odd/foreign") / "hooks/pre-receive", "#!/bin/sh\n")
    if os.geteuid() == 0:
        os.chown(server.directory("odd/foreign") / "hooks/pre-receive", 65533, 65533)
    else:
        (server.directory("odd/foreign") / "hooks/pre-receive").unlink()
        (server.directory("odd/foreign") / "hooks/pre-receive").mkdir()
    (server.directory("odd/dangling") / "hooks/pre-receive").symlink_to("nothing")
    done = server.admin("repo", "adopt", "odd/foreign", "odd/dangling", "odd/fine", status=2)
    assert re.search(
        r"odd/foreign: not adopted: \S+/pre-receive (belongs to uid 65533|is not a file)", done.err
    )
    assert "odd/dangling: not adopted:" in done.err
    assert "leads nowhere" in done.err
    assert "odd/fine: adopted" in done.out
    assert "2 repositories not adopted" in done.out
    for name in ("odd/foreign", "odd/dangling"):
        assert not (server.directory(name) / "hooks.kept").exists(), "nothing was changed"
        shutil.rmtree(server.directory(name))
    server.admin("repo", "forget", "odd/fine")


def test_a_refusal_of_another_hook_is_in_the_log(shared_server: Server, author: Person) -> None:
    """The gate let it on, the repository's own hook did not: both lines stand there, with one id."""
    server = shared_server
    directory = server.directory("kinds/refusing-log")
    run(["git", "init", "-q", "--bare", "--template=", str(directory)])
    write(directory / "hooks/pre-receive", "#!/bin/sh\nexit 7\n")
    server.admin("repo", "adopt", "kinds/refusing-log")
    tree = server.work_tree(author, "kinds/refusing-log")
    server.git(author, "push", "-q", "origin", "HEAD:main", cwd=tree, status=1)
    first, second = [line for line in server.log() if line["repository"] == "kinds/refusing-log"]
    assert (first["verdict"], second["verdict"]) == ("allowed", "refused")
    assert first["id"] == second["id"]
    assert second["because"] == "another hook refused: hooks.kept/pre-receive exited 7"


def test_deployments_are_left_alone(shared_server: Server, author: Person, tmp_path: Path) -> None:
    """A post-receive that pulls into a site, whose own post-merge must run, and not the bare repository's."""
    server = shared_server
    server.admin("repo", "create", "kinds/site")
    directory = server.directory("kinds/site")
    tree = server.work_tree(author, "kinds/site")
    server.git(author, "push", "-q", "origin", "HEAD:main", cwd=tree, status=0)
    site = tmp_path / "site"
    run(["git", "clone", "-q", str(directory), str(site)])
    write(site / ".git/hooks/post-merge", f"#!/bin/sh\necho site >> {tmp_path}/said\n")
    write(directory / "hooks/post-merge", f"#!/bin/sh\necho bare >> {tmp_path}/said\n")
    write(directory / "hooks/post-receive", f"#!/bin/sh\ncd {site}; unset GIT_DIR; git pull -q\n")
    (tree / "file").write_text("more\n")
    server.git(author, "commit", "-qam", "more", cwd=tree, status=0)
    server.git(author, "push", "-q", "origin", "HEAD:main", cwd=tree, status=0)
    assert (site / "file").read_text() == "more\n"
    assert (tmp_path / "said").read_text() == "site\n"


def test_a_borrower_and_its_lender_in_one_pass(server: Server) -> None:
    """The lender first; an unknown one is said with both remedies, dry or not; a lender's push
    asks what its borrowers ask.
    """
    alice = server.new_user("alice")
    pool = server.directory("zz-pool")
    run(["git", "init", "-q", "--bare", str(pool)])
    tree = server.work_tree(alice, "zz-pool")
    run(["git", "-C", str(tree), "push", "-q", str(pool), "HEAD:main"])
    run(["git", "clone", "-q", "--bare", "-s", str(pool), str(server.directory("aa-fork"))])
    done = server.admin("repo", "adopt", "aa-fork", "--dry-run", status=2)
    assert f"it borrows objects from {pool}, which is not known" in done.err
    assert f"adopt {pool} first, or give it its own objects" in done.err
    assert server.admin("repo", "adopt", "aa-fork", status=2).err.count("which is not known") == 1
    done = server.admin("repo", "adopt", "--all", "--dry-run")
    assert "aa-fork: would be adopted" in done.out
    assert "aa-fork: adopted" in server.admin("repo", "adopt", "--all").out
    server.git(alice, "ls-remote", server.url("aa-fork"), status=0)
    server.end_sessions()
    server.git(alice, "push", "-q", "origin", "HEAD:other", cwd=tree, status=0)
    server.admin("repo", "require", "aa-fork", "push")
    done = server.git(alice, "push", "-q", "origin", "HEAD:third", cwd=tree)
    assert done.status == 128
    assert "[verification-required]" in done.err
    assert "lends:aa-fork(toggle)" in server.admin("explain", "alice", "zz-pool", "push").out
    server.git(alice, "ls-remote", "origin", cwd=tree, status=0)


def test_forgotten_repositories_stay_out(server: Server) -> None:
    """What an admin took out does not come back by `adopt --all`; by name it does, and init renews hooks."""
    server.new_user("alice")
    server.admin("repo", "create", "gone")
    server.admin("repo", "create", "kept")
    server.admin("repo", "forget", "gone")
    done = server.admin("repo", "adopt", "--all")
    assert "gone: left alone, since it was forgotten" in done.out
    hook = server.directory("kept") / "hooks/pre-receive"
    hook.write_text(hook.read_text().replace("# Written", "# Written long ago"))
    assert "1 repository got the present hook" in server.raw_admin("init", "--home", str(server.home)).out
    assert "long ago" not in hook.read_text()
    assert "gone: adopted" in server.admin("repo", "adopt", "gone").out
    assert "left alone" not in server.admin("repo", "adopt", "--all").out


def test_odd_names_on_disk(server: Server) -> None:
    """Control characters are not adopted and do not reach the terminal; links and work trees are named."""
    for name in ("a\x1b[31mb.git", "-x.git"):
        run(["git", "init", "-q", "--bare", str(server.repositories / name)])
    run(["git", "init", "-q", str(server.repositories / "tree")])
    (server.repositories / "link.git").symlink_to(server.repositories / "-x.git")
    done = server.admin("repo", "adopt", "--all", "--dry-run", status=2)
    assert "\x1b" not in done.text
    assert "characters that no client can send" in done.err
    assert "tree is a work tree, not a bare repository" in done.err
    assert "link.git is a link to" in done.err
    listed = server.admin("repo", "list").out
    assert "\x1b" not in listed


def test_a_path_outside_the_roots(server: Server) -> None:
    """The path is said as it was typed."""
    done = server.admin("repo", "adopt", "/nowhere/at/all", status=21)
    assert "/nowhere/at/all is below no root" in done.err


def test_letters_of_every_language(server: Server) -> None:
    """Two names that differ by a letter stay two, in the log, in `admin log`, and in what is pasted."""
    alice = server.new_user("alice")
    for name in ("projekt-ä", "projekt-ö", "my repo's #1 100%"):
        done = server.admin("repo", "create", name)
        command = done.out.split("clone it with: ")[1].strip()
        clone = ["sh", "-c", f"{command} {server.folder}/clone-{abs(hash(name))}"]
        cloned = run(clone, env=server.git_env(alice), status=None)
        assert cloned.status == 0, cloned.err
    logged = {line["repository"] for line in server.log()}
    assert logged == {"projekt-ä", "projekt-ö", "my repo's #1 100%"}
    done = server.admin("log", "projekt-ä")
    assert "read projekt-ä: allowed" in done.out
    assert "projekt-ö" not in done.out
    long = "n" * 250
    server.admin("repo", "create", f"{long}/{long}")
    server.git(alice, "ls-remote", server.url(f"{long}/{long}"), status=0)
    assert server.log()[-1]["repository"] == f"{long}/{long}"


def test_remotes_that_count_from_the_home(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git@H:repositories/old.git`, as a plain account's remotes say, is the repository below the root."""
    del server, monkeypatch
    roots = (("/home/git/repos", "/home/git/repos"),)
    assert from_home("repos/old.git", "/home/git", roots) == "old"
    assert from_home("repos/team/app", "/home/git", roots) == "team/app"
    for spelled in (
        "old.git",
        "/repos/old.git",
        "repos",
        "repos/",
        "repos/../x",
        "reposit/x",
        "",
        "~/repos/old",
    ):
        assert from_home(spelled, "/home/git", roots) == ""
