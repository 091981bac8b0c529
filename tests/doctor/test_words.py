"""What doctor prints is for a terminal, and a part of it is names that anyone may have chosen."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from gitguard.cli.admin.doctor import say_findings
from gitguard.doctor import programs
from gitguard.doctor.finding import gap


def test_names_that_anybody_chose_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """ATTACK: a file's name holds escape sequences and a line of its own. EXPECTED: neither reaches the
    terminal, nor a line to type.
    """
    name = "/srv/a\x1b[2J\nGAP   all-good: b"
    say_findings([gap("setuid", f"{name} is open", f"rm '{name}'")], quiet=True)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert not any(line.startswith("GAP   all-good") for line in out.splitlines())
    assert "by hand" in out


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a setuid program of another's, as only root can")
def test_a_line_to_type_holds_a_name_as_one_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ATTACK: a setuid file is called so that the line which closes it runs something else. EXPECTED: it is
    closed, and nothing else ran.
    """
    entry = pwd.getpwnam("nobody")
    folder = tmp_path / "opt"
    folder.mkdir()
    folder.chmod(0o755)
    victim = folder / f"x'; touch {tmp_path.name}-ran; '"
    victim = folder / victim.name.replace("/", "_")
    victim.write_text("#!/bin/sh\n")
    os.chown(victim, entry.pw_uid, entry.pw_gid)
    victim.chmod(0o4755)
    monkeypatch.setattr(programs, "PLACES", (str(folder),))
    found = [finding for finding in programs.program_findings(entry, []) if finding.level == "gap"]
    assert [finding.name for finding in found] == ["setuid"]
    subprocess.run(["sh", "-c", found[0].remedy], check=True, cwd=tmp_path)
    assert not victim.stat().st_mode & stat.S_ISUID
    assert not (tmp_path / f"{tmp_path.name}-ran").exists()
