"""Who else may write a path: by owner, mode, members of groups and ACLs, all the way up."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from gitguard.doctor.reach import Reach, way_back

NOBODY, NO_ID = 65534, 0xFFFFFFFF
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others, as only root can")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A file below folders that are root's alone."""
    path = tmp_path / "a" / "b" / "file"
    path.parent.mkdir(parents=True)
    path.write_text("x")
    path.chmod(0o644)
    return path


def said(path: Path) -> str:
    """A fresh look."""
    return Reach(0).writer_on_the_way(str(path))


def acl(*entries: tuple[int, int, int]) -> bytes:
    """As the kernel keeps it."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def keep_acls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system keeps no ACLs, what is set is handed back as the kernel
    would: nothing here is skipped.
    """
    real_set, real_get = os.setxattr, os.getxattr
    kept: dict[tuple[str, str], bytes] = {}

    def set_(path: str | Path, name: str, data: bytes) -> None:
        try:
            real_set(path, name, data)
        except OSError:
            kept[str(path), name] = data

    def get(path: str | Path, name: str, *, follow_symlinks: bool = True) -> bytes:
        held = kept.get((str(path), name))
        return held if held is not None else real_get(path, name, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "setxattr", set_)
    monkeypatch.setattr(os, "getxattr", get)


def test_closed(place: Path) -> None:
    """Root's, all the way, and what is not there is nobody's gap."""
    assert said(place) == ""
    assert said(place.parent / "missing") == ""


@pytest.mark.parametrize(
    ("break_it", "words", "mends"),
    [
        (lambda p: p.chmod(0o666), "writable by everybody (mode 0666)", "chmod o-w"),
        (lambda p: p.parent.chmod(0o777), "writable by everybody (mode 0777)", "chmod o-w"),
        (lambda p: os.chown(p.parent, NOBODY, 0), "belongs to nobody", "chown root"),
        (
            lambda p: os.setxattr(
                p, "system.posix_acl_access",
                acl((1, 6, NO_ID), (2, 6, NOBODY), (4, 4, NO_ID), (16, 6, NO_ID), (32, 4, NO_ID)),
            ),
            "writable by nobody, by an ACL", "setfacl -b",
        ),
        (
            lambda p: os.setxattr(
                p.parent, "system.posix_acl_default",
                acl((1, 7, NO_ID), (2, 7, NOBODY), (4, 0, NO_ID), (16, 7, NO_ID), (32, 0, NO_ID)),
            ),
            "what is made in it is writable by nobody", "setfacl -b",
        ),
    ],
)  # fmt: skip
def test_open(
    place: Path, break_it: Callable[[Path], None], words: str, mends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way is named, with the line that heals it."""
    keep_acls(monkeypatch)
    break_it(place)
    found = said(place)
    assert words in found
    assert mends in way_back(found, "root")


def test_a_group_counts_by_its_members(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's /usr/local/lib is root:staff 2775, and nobody is in staff."""
    os.chown(place, 0, 4242)
    place.chmod(0o664)
    assert said(place) == ""
    monkeypatch.setattr(Reach, "_all_members", lambda _: {4242: ["bob"]})
    assert "writable by bob, in the group 4242" in said(place)


def test_a_mask_takes_back_what_an_acl_gives(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an entry allows and the mask does not, is not allowed."""
    entries = ((1, 6, NO_ID), (2, 6, NOBODY), (4, 4, NO_ID), (16, 4, NO_ID), (32, 4, NO_ID))
    keep_acls(monkeypatch)
    os.setxattr(place, "system.posix_acl_access", acl(*entries))
    assert said(place) == ""


def test_links_are_followed(place: Path, tmp_path: Path) -> None:
    """A link is its target, and each folder that leads there."""
    link = tmp_path / "link"
    link.symlink_to(place)
    place.parent.chmod(0o777)
    assert str(place.parent) in said(link)


def test_who_may_read(place: Path) -> None:
    """A closed folder above closes what is below, whatever its own mode."""
    for folder in (*place.parents[:6],):
        folder.chmod(folder.stat().st_mode | 0o755)
    assert "readable by everybody" in Reach(0).reader_on_the_way(str(place))
    place.parent.chmod(0o700)
    assert Reach(0).reader_on_the_way(str(place)) == ""
