"""Directories that lead Git somewhere else than gitguard looked.

ATTACK: anyone who can place links, folders and work trees below the root, and a client that asks for them.
EXPECTED: refused as no-such-repository; whatever is accepted, Git opens exactly that repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitguard.message.reasons import Refusal
from gitguard.repository.directory import borrowed, check
from lab.meddling import meddle
from lab.server import Person, Server, run


def bare(path: Path) -> Path:
    """A bare repository at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    run(["git", "init", "-q", "--bare", "--template=", str(path)])
    return path


def commondir(root: Path) -> Path:
    """A repository that says its objects and refs are another's."""
    (bare(root / "c.git") / "commondir").write_text(f"{root}/a.git\n")
    return root / "c.git"


def inside_work_tree(root: Path) -> Path:
    """A bare repository that lies in a checked-out work tree below the root."""
    run(["git", "init", "-q", str(root / "w")])
    return bare(root / "w" / "x.git")


def linked(what: str) -> Callable[[Path], Path]:
    """A repository one part of which is a link into another."""

    def make(root: Path) -> Path:
        directory = bare(root / "l.git")
        part = directory / what
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
        part.symlink_to(root / "a.git" / what)
        return directory

    return make


def dot_git_link(root: Path) -> Path:
    """`free.git` with a `.git` link to another: Git opens that one."""
    (bare(root / "free.git") / ".git").symlink_to(root / "a.git")
    return root / "free.git"


def dot_git_file(root: Path) -> Path:
    """The same with a gitfile."""
    (bare(root / "free.git") / ".git").write_text(f"gitdir: {root}/a.git\n")
    return root / "free.git"


def dot_git_folder(root: Path) -> Path:
    """The same with a folder."""
    shutil.copytree(root / "a.git", bare(root / "free.git") / ".git")
    return root / "free.git"


def link_to_repository(root: Path) -> Path:
    """A link to another repository."""
    (root / "link.git").symlink_to(root / "a.git")
    return root / "link.git"


def link_on_the_way(root: Path) -> Path:
    """A folder on the way is a link."""
    bare(root / "real" / "r.git")
    (root / "way").symlink_to(root / "real")
    return root / "way" / "r.git"


def link_out_of_root(root: Path) -> Path:
    """A link that leaves the root."""
    bare(root.parent / "outside.git")
    (root / "out.git").symlink_to(root.parent / "outside.git")
    return root / "out.git"


def twin(root: Path) -> Path:
    """`d` and `d.git`, both repositories: suffixes decide which one Git opens."""
    bare(root / "d")
    return bare(root / "d.git")


def twin_bare(root: Path) -> Path:
    """The same, asked for the other one."""
    twin(root)
    return root / "d"


def worktree_folder(root: Path) -> Path:
    """`a.git/worktrees/x` of a linked work tree."""
    env = {
        **os.environ,
        "GIT_AUTHOR_NAME": "x",
        "GIT_AUTHOR_EMAIL": "x@x",
        "GIT_COMMITTER_NAME": "x",
        "GIT_COMMITTER_EMAIL": "x@x",
    }
    git = ["git", "-C", str(root / "a.git")]
    tree = run([*git, "mktree"], env=env).out.strip()
    commit = run([*git, "commit-tree", tree, "-m", "x"], env=env).out.strip()
    run([*git, "worktree", "add", "-q", "--detach", str(root.parent / "wt"), commit], env=env)
    return root / "a.git" / "worktrees" / "wt"


def no_head(root: Path) -> Path:
    """Something that Git would pass over."""
    (bare(root / "n.git") / "HEAD").unlink()
    return root / "n.git"


MAKERS = [
    commondir, inside_work_tree, linked("refs"), linked("objects"), linked("HEAD"), linked("config"), linked("hooks"), linked("packed-refs"),
    dot_git_link, dot_git_file, dot_git_folder, link_to_repository, link_on_the_way, link_out_of_root, twin, twin_bare, worktree_folder, no_head,
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_what_would_lead_elsewhere(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """Each of these opened another repository, or ran code, in a trial."""
    root = tmp_path / "root"
    bare(root / "a.git")
    directory = make(root)
    with pytest.raises(Refusal) as caught:
        check(str(directory), str(root), os.geteuid())
    assert caught.value.reason == "no-such-repository"


def test_what_is_in_order(tmp_path: Path) -> None:
    """A plain bare repository, one without suffix, and one beside a folder of the same name."""
    root = tmp_path / "root"
    for path in (root / "a.git", root / "team.git", root / "team" / "app.git", root / "plain"):
        check(str(bare(path)), str(root), os.geteuid())


@pytest.mark.e2e
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_over_ssh(
    shared_server: Server, shared_thief: Person, make: Callable[[Path], Path], request: pytest.FixtureRequest
) -> None:
    """The same over ssh, even where the admin has made the directory known before it was changed."""
    server = shared_server
    number = MAKERS.index(make)
    root = server.repositories / f"disk{number}"
    bare(root / "a.git")
    directory = make(root)
    name = str(directory.relative_to(server.repositories)).removesuffix(".git")

    meddle(
        server.store,
        "INSERT INTO repositories (name, directory, adopted_at) VALUES (?, ?, 0)",
        (name, str(directory)),
    )
    done = server.ssh(shared_thief, f"git-upload-pack '{name}'")
    assert done.status == 21
    assert "[no-such-repository]" in done.out
    adopt = server.admin("repo", "adopt", name, status=None)
    assert adopt.status in (2, 21), "and adopting it is refused"
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def shared_thief(shared_server: Server) -> Person:
    """Any known user."""
    return shared_server.add_user("disk-thief")


def test_borrowing_is_followed(tmp_path: Path) -> None:
    """Alternates of alternates, relative ones, comments; each lender is found once."""
    a, b, c = (bare(tmp_path / f"{name}.git") for name in "abc")
    (b / "objects/info").mkdir(exist_ok=True)
    (c / "objects/info").mkdir(exist_ok=True)
    (b / "objects/info/alternates").write_text(f"# lender\n{a}/objects\n")
    (c / "objects/info/alternates").write_text(f"../../b.git/objects\n{a}/objects/\n")
    assert borrowed(str(a)) == []
    assert borrowed(str(b)) == [str(a)]
    assert sorted(borrowed(str(c))) == [str(a), str(b)]


@pytest.mark.parametrize(
    "text", ["/no/such/objects\n", "/tmp\n", '"/quoted/objects"\n', "\xff\n", "x" * 70_000]
)
def test_borrowing_that_cannot_be_followed(tmp_path: Path, text: str) -> None:
    """What cannot be read as the objects of a repository closes the borrower."""
    a = bare(tmp_path / "a.git")
    (a / "objects/info").mkdir(exist_ok=True)
    (a / "objects/info/alternates").write_bytes(text.encode("latin-1"))
    with pytest.raises(Refusal):
        borrowed(str(a))


def test_borrowing_in_a_circle_ends(tmp_path: Path) -> None:
    """Two that borrow from each other."""
    a, b = (bare(tmp_path / f"{name}.git") for name in "ab")
    for one, other in ((a, b), (b, a)):
        (one / "objects/info").mkdir(exist_ok=True)
        (one / "objects/info/alternates").write_text(f"{other}/objects\n")
    assert borrowed(str(a)) == [str(b)]


PARTS = st.sampled_from(
    ["a", "b", "a.git", "b.git", ".git", "..", ".", "w", "refs", "objects", "l", "x.git", "HEAD", "d"]
)


@pytest.fixture(scope="session")
def maze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with repositories, work trees, links and folders of every kind."""
    root = tmp_path_factory.mktemp("maze") / "root"
    for name in ("a.git", "b", "d/a.git", "d/b", "w/x.git", "l.git"):
        bare(root / name)
    run(["git", "init", "-q", str(root / "d" / "w")])
    bare(root / "d" / "w" / "a.git")
    (root / "l").symlink_to(root / "d")
    (root / "b" / ".git").symlink_to(root / "a.git")
    return root


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(PARTS, min_size=1, max_size=4))
def test_git_opens_exactly_what_was_checked(maze: Path, parts: list[str]) -> None:
    """Whatever passes the check, a real `git upload-pack` opens as exactly that directory."""
    directory = os.path.normpath("/".join([str(maze), *parts]))
    try:
        check(directory, str(maze), os.geteuid())
    except Refusal:
        return
    opened = subprocess.run(
        ["git-shell", "-c", f"git-upload-pack '{directory}'"],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, env={"PATH": "/usr/bin:/bin", "GIT_TRACE_SETUP": "1", "HOME": "/"},
    )  # fmt: skip
    text = opened.stderr.decode()
    assert f"git_dir: {directory}" in text or "git_dir: ." in text or opened.stdout, text
    real = subprocess.run(
        ["git", "--git-dir", directory, "rev-parse", "--git-common-dir"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert os.path.realpath(real.stdout.strip()) == directory
