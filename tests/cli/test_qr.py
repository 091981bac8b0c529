"""The QR code on a terminal is the QR code: read back cell by cell, colours and all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import segno

from gitguard.cli.qr import draw
from lab.server import Direct, Person, Server, enroll, run

URI = "otpauth://totp/git.example.com:alice?secret=ZGZPTHJO6X4J4GLQEUBCIIVV5TFXXYDB&issuer=git.example.com"
CELL = re.compile(r"\x1b\[38;5;(\d+);48;5;(\d+)m(\u2580|  )")


def read_back(drawn: str) -> list[list[bool]]:
    """The modules, dark or light, that a terminal shows: by foreground and background alone."""
    rows: list[list[bool]] = []
    for line in drawn.splitlines():
        cells = CELL.findall(line)
        if not cells:
            continue
        assert line.endswith("\x1b[0m"), "the terminal's own colours come back"
        if cells[0][2] == "\u2580":
            rows.append([int(cell[0]) == 16 for cell in cells])
        rows.append([int(cell[1]) == 16 for cell in cells])
    return rows


def modules(uri: str) -> list[list[bool]]:
    """What segno computed, with the border."""
    code = segno.make(uri, error="l", boost_error=False, micro=False)
    return [[bool(module) for module in row] for row in code.matrix_iter(border=2)]


@pytest.mark.parametrize("size", ["auto", "small", "large"])
def test_the_drawing_is_the_code(size: str) -> None:
    """Dark on light whatever the terminal's colours are, told by no glyph."""
    found, wanted = read_back(draw(URI, size)), modules(URI)
    assert found[: len(wanted)] == wanted
    assert not any(any(row) for row in found[len(wanted) :]), "an odd last row is filled up light"


def test_the_large_one_is_ascii() -> None:
    """For terminals that know no UTF-8."""
    assert draw(URI, "large").isascii()
    assert draw(URI, "none") == ""


def shown(server: Server, person: Person, *, prefix: list[str]) -> str:
    """What `2fa enroll` prints, the code for it being never right."""
    command = [*prefix, *server.ssh_command(person, f"2fa enroll {person.invite} --qr small")]
    return run(command, stdin="\n", status=12).out


@pytest.mark.e2e
def test_over_ssh_it_is_still_the_code(shared_server: Server) -> None:
    """`ssh -T` gives us a pipe, on which libraries like to take colours away."""
    person = shared_server.add_user("qr")
    text = shown(shared_server, person, prefix=[])
    uri = next(line for line in text.splitlines() if line.startswith("otpauth://"))
    wanted = modules(uri)
    assert read_back(text)[: len(wanted)] == wanted


@pytest.mark.e2e
def test_a_clients_locale_changes_nothing(tmp_path: object, bench: object) -> None:
    """Sshd often accepts LC_ALL; half blocks are UTF-8 all the same."""
    server = Direct(Path(str(tmp_path)) / "site")
    server.install()
    person = server.add_user("qr")
    command = server.ssh_command(person, f"2fa enroll {person.invite} --qr small")
    done = run(
        [*command[:2], "LC_ALL=POSIX", "PYTHONIOENCODING=latin-1", *command[2:]], stdin="\n", status=12
    )
    assert "\u2580" in done.out
    assert enroll(server, person, person.invite)[0].status == 0
