"""From a client's spelling to one name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitguard.message.reasons import Refusal
from gitguard.repository.spelling import name_of

ROOTS = (
    *((root, root) for root in ("/srv/git", "/srv/git-private", "/data/git")),
    ("/old/link", "/data/new"),
)


@pytest.mark.parametrize(
    "spelled",
    [
        "team/app",
        "team/app.git",
        "/team/app.git/",
        "//team/app",
        "team//app.git",
        "/srv/git/team/app.git",
        "/srv/git//team/app/",
    ],
)
def test_one_repository_has_one_name(spelled: str) -> None:
    """Every spelling that means a repository gives the same name, so policy cannot be dodged by spelling."""
    assert name_of(spelled, ROOTS)[0] == "team/app"


@pytest.mark.parametrize(
    "spelled",
    [
        "", "/", "//", "-x", "--help", "~bob/a", "~/a", "..", "../a", "x/../a", "./a", "a/.", "a.git/refs/..", "a.git/worktrees/x",
        "a.git/x.git", ".git", "a/.git", "d/.git/", "a.git.git", "a\nb", "a\x1b[2J", "a\x7f", "x\udcff", "a" * 2000, "team/-x", "team/~x",
        "/srv/git", "/srv/git/", "/srv/git/.git", "/srv/git/a.git/b",
    ],
)  # fmt: skip
def test_what_can_be_no_repository_is_refused(spelled: str) -> None:
    """ATTACK: spellings that climb, hide, or look like options. EXPECTED: no such repository."""
    with pytest.raises(Refusal) as caught:
        name_of(spelled, ROOTS)
    assert caught.value.reason == "no-such-repository"


def test_root_prefix_twin_is_another_root() -> None:
    """`/srv/git-private/a` is below its own root, never `-private/a` below `/srv/git`."""
    assert name_of("/srv/git-private/a", ROOTS) == ("a", "/srv/git-private")
    assert name_of("/srv/gitless/a", ROOTS) == ("srv/gitless/a", "")


def test_absolute_path_remembers_its_root() -> None:
    """The root that a path names is reported, so that another root's repository is not served for it."""
    assert name_of("/data/git/a.git", ROOTS) == ("a", "/data/git")


def test_a_linked_root_is_known_by_both_its_paths() -> None:
    """Existing remotes use the path that was configured; a resolved one means the same."""
    assert name_of("/old/link/a.git", ROOTS) == name_of("/data/new/a", ROOTS) == ("a", "/data/new")


@given(st.text(max_size=60))
def test_names_are_stable(spelled: str) -> None:
    """A name is its own spelling: asking again changes nothing."""
    try:
        name, _ = name_of(spelled, ROOTS)
    except Refusal:
        return
    assert name_of(name, ROOTS)[0] == name
