"""What may be believed on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitguard.machine.ownership import fault_on_the_way

ME = os.geteuid()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of ours, closed to others."""
    tmp_path.chmod(0o700)
    return tmp_path


def test_ours_alone_is_in_order(folder: Path) -> None:
    """A private file in a private folder, below the sticky /tmp."""
    (folder / "file").write_text("")
    assert fault_on_the_way(str(folder / "file"), ME) == ""


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_writable_by_others_is_named(folder: Path, mode: int) -> None:
    """The path stands in the message."""
    (folder / "file").write_text("")
    (folder / "file").chmod(mode)
    assert str(folder / "file") in fault_on_the_way(str(folder / "file"), ME)


def test_a_folder_above_counts(folder: Path) -> None:
    """Who may rename a folder above may replace the file."""
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a").chmod(0o777)
    assert str(folder / "a") in fault_on_the_way(str(folder / "a" / "b"), ME)


def test_a_sticky_folder_counts_only_as_roots(folder: Path) -> None:
    """/tmp passes since it is root's; a sticky folder that is someone else's does not."""
    (folder / "a").mkdir()
    (folder / "a").chmod(0o1777)
    sticky = fault_on_the_way(str(folder / "a"), ME)
    assert (sticky == "") == (ME == 0)


def test_a_foreign_owner_is_named(folder: Path) -> None:
    """Neither root's nor the account's."""
    (folder / "file").write_text("")
    if ME == 0:
        os.chown(folder / "file", 12345, 12345)
        assert "uid 12345" in fault_on_the_way(str(folder / "file"), ME)
    else:
        assert "belongs to uid" in fault_on_the_way(str(folder / "file"), ME + 1)


def test_a_link_below_a_folder_of_others_is_refused(folder: Path) -> None:
    """A link counts as its target only if every folder before it is root's; /tmp is not root's alone."""
    (folder / "target").write_text("")
    (folder / "link").symlink_to(folder / "target")
    assert "symbolic link" in fault_on_the_way(str(folder / "link"), ME)


def test_a_link_in_roots_folders_counts_as_its_target() -> None:
    """/etc/mtab or /bin on a merged system: root's links are followed."""
    link = next((p for p in ("/bin", "/lib", "/etc/mtab", "/var/run") if os.path.islink(p)), None)
    assert link is not None
    assert fault_on_the_way(link, ME) == ""


def test_missing_and_relative_are_faults() -> None:
    """Nothing is assumed."""
    assert fault_on_the_way("/no/such/file", ME)
    assert fault_on_the_way("relative", ME)


def test_a_loop_of_links_ends(folder: Path) -> None:
    """A link to itself is a fault, not a hang."""
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    assert fault_on_the_way(str(folder / "a"), ME)
