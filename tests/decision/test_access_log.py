"""The access log: one whole line a decision, into one file of ours, or a refusal."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitguard.answer.access_log import append, line_of
from gitguard.answer.log_reader import read_log, unread
from gitguard.decision.decision import Decision
from gitguard.decision.request import Request
from gitguard.message.reasons import Refusal
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment


def config(path: Path) -> Any:
    """The one value that is looked at."""
    return SimpleNamespace(access_log=str(path), syslog="")


def refused(path: Path) -> Refusal:
    """Appending there, which must be refused."""
    with pytest.raises(Refusal) as caught:
        append(config(path), b"{}\n")
    assert caught.value.reason == "log-unavailable"
    return caught.value


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Anyone who may write the folder could lead the log to any file of the account's."""
    target = tmp_path / "target"
    target.write_text("precious\n")
    (tmp_path / "log").symlink_to(target)
    refused(tmp_path / "log")
    assert target.read_text() == "precious\n"


@pytest.mark.parametrize("reader", [False, True])
def test_a_pipe_neither_hangs_nor_counts(tmp_path: Path, reader: bool) -> None:
    """A named pipe in the log's place, with or without someone at its other end."""
    os.mkfifo(tmp_path / "log")
    handle = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK) if reader else None
    refused(tmp_path / "log")
    if handle is not None:
        os.close(handle)


def test_half_a_line_is_none(tmp_path: Path) -> None:
    """A file that may grow by a few bytes more: what was asked must be refused,
    not let through half logged.
    """
    (tmp_path / "log").write_text("x" * 99 + "\n")
    script = (
        "import resource, sys\nfrom types import SimpleNamespace\n"
        "from gitguard.answer.access_log import append\nfrom gitguard.message.reasons import Refusal\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (110, 110))\n"
        "try:\n    append(SimpleNamespace(access_log=sys.argv[1], syslog=''), b'{\"a\": \"' + b'b' * 50 + b'\"}\\n')\n"
        "except Refusal as refusal:\n    print(refusal.reason, refusal.detail)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "log")], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("log-unavailable"), done.stdout + done.stderr
    assert (tmp_path / "log").stat().st_size == 110
    append(config(tmp_path / "log"), b'{"next": 1}\n')
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1]) == {"next": 1}


def test_a_line_says_from_where(tmp_path: Path) -> None:
    """Address, key and user stand in each, as sshd and the key line gave them."""
    decision = Decision(
        Request(
            user="alice",
            credential=ssh_key("SHA256:k"),
            address="192.0.2.7",
            line=None,
            moment=Moment(1_800_000_000),
        )
    )
    decision.refusal = Refusal("no-identity", "why")
    entry = json.loads(line_of(decision, "0badc0de"))
    assert entry["address"] == "192.0.2.7"
    assert (entry["user"], entry["key"], entry["because"], entry["at"]) == (
        "alice",
        "SHA256:k",
        "why",
        1_800_000_000,
    )


def _lines(count: int, begins: int) -> list[bytes]:
    """So many decisions, one a second."""
    return [
        json.dumps({"id": f"{n:016x}", "at": begins + n, "user": "alice", "verdict": "allowed"}).encode()
        + b"\n"
        for n in range(count)
    ]


@pytest.mark.parametrize("wanted", [1, 10, 5_000, 20_000, 40_000])
def test_what_is_new_is_found_from_the_end(tmp_path: Path, wanted: int) -> None:
    """The last N decisions of a long log come whole and in order, and what is
    long before them is not read.
    """
    path, lines = tmp_path / "access.log", _lines(40_000, 1_000_000)
    path.write_bytes(b"".join(lines))
    after = 1_000_000 + 40_000 - wanted
    read = [entry for entry in read_log(str(path), after) if entry is not None]
    assert [entry["at"] for entry in read if int(str(entry["at"])) >= after] == list(range(after, 1_040_000))
    assert len(read) <= wanted + 30_000, "no more than two windows beside it"


def test_a_clock_that_was_wrong_for_a_moment_hides_nothing(tmp_path: Path) -> None:
    """A thousand decisions carry a date of long ago; what came before them, and is asked for, is there."""
    path = tmp_path / "access.log"
    path.write_bytes(b"".join([*_lines(2_000, 5_000_000), *_lines(1_000, 1_000), *_lines(100, 5_002_000)]))
    found = [e for e in read_log(str(path), 5_000_000) if e is not None and int(str(e["at"])) >= 5_000_000]
    assert len(found) == 2_100


@pytest.mark.parametrize(
    ("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_rotations_packed_in_any_common_way_are_read(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    """Logrotate packs with what its admin likes; numbered and dated names alike."""
    path = tmp_path / "access.log"
    path.write_bytes(b"".join(_lines(1, 300)))
    (tmp_path / f"access.log.2{ending}").write_bytes(pack(b"".join(_lines(1, 100))))
    (tmp_path / f"access.log-20261129{ending}").write_bytes(pack(b"".join(_lines(1, 200))))
    assert sorted(int(str(e["at"])) for e in read_log(str(path)) if e) == [100, 200, 300]
    assert unread(str(path)) == []


def test_a_rotation_that_cannot_be_unpacked_is_named(tmp_path: Path) -> None:
    """Zstd takes a program of its own: the file is named, so that nobody says
    "nothing"; a foreign file is not.
    """
    path = tmp_path / "access.log"
    for name in ("access.log", "access.log.1.zst", "access.log-20261129.lz4", "access.log.notes.zst"):
        (tmp_path / name).write_bytes(b"")
    assert [os.path.basename(name) for name in unread(str(path))] == [
        "access.log-20261129.lz4",
        "access.log.1.zst",
    ]


def test_half_a_packed_rotation_is_a_refusal(tmp_path: Path) -> None:
    """Cut short, as on a full disk: named, not passed over."""
    path = tmp_path / "access.log"
    (tmp_path / "access.log.1.xz").write_bytes(lzma.compress(b"".join(_lines(50_000, 1)))[:-200])
    with pytest.raises(Refusal, match=r"access\.log\.1\.xz"):
        list(read_log(str(path)))


def test_a_blank_line_is_no_line(tmp_path: Path) -> None:
    """Two who write at once may leave one: it is neither a decision nor a line that cannot be read."""
    path = tmp_path / "access.log"
    path.write_bytes(b'{"at": 100}\n\n{"at": 200}\n\n')
    assert [entry and entry["at"] for entry in read_log(str(path))] == [100, 200]
    path.write_bytes(b'{"at": 100}\nhalf\n')
    assert [entry and entry["at"] for entry in read_log(str(path))] == [100, None]
