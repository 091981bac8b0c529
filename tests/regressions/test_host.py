"""A whole server with an account, PAM and the system's own places: gitolite behind the gate,
gaps, the pages of operations.

Each story runs in a private mount namespace (lab/host.py), which only root can make.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.host import CAN, SOURCE
from lab.night import NIGHTS, PAGE, TRY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.xdist_group("host"),
    pytest.mark.skipif(not CAN, reason="only root can make a server of its own (the header says so)"),
]


def story(module: str, *words: str) -> str:
    """Run it; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_every_gap_is_named_and_a_healthy_host_is_silent() -> None:
    """More than a hundred gaps, each by its name; nothing before, and nothing after they are taken back."""
    text = story("lab.gaps", "--own")
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("healthy")] == [
        "silent",
        "silent",
    ]
    assert "NOT NAMED" not in text
    assert int(text.splitlines()[-1].split()[0]) >= 80


@pytest.mark.long
def test_what_somebody_planted_who_had_not_read_the_checks() -> None:
    """Forty gaps and twelve of the kinds near them are named but for three that say why not; thirteen healthy
    machines are silent but for two.
    """
    text = story("lab.strangers")
    assert text.splitlines()[-1].endswith("; 0 lines are not as they should be"), text


@pytest.mark.long
def test_every_gap_of_the_system_is_named() -> None:
    """What belongs to sshd, PAM, Git, Python, the loader, cron and systemd: nearly seventy gaps."""
    assert story("lab.gaps", "--system").splitlines()[-1].endswith("; 0 lines are not as they should be")


@pytest.mark.long
def test_remedies_for_the_system_that_were_typed() -> None:
    """The same for the lines that heal those."""
    assert story("lab.gaps", "--remedies", "--system").splitlines()[-1].endswith("; 0 remedies did not heal")


@pytest.mark.long
def test_services_as_debian_ships_them_are_silent() -> None:
    """O3, L12: twenty packages' own configurations and units beside gitguard; no gap."""
    assert story("lab.healthy").splitlines()[-1].endswith("; 0 were not silent")


@pytest.mark.long
def test_remedies_that_were_typed() -> None:
    """Each gap is planted, the line that doctor gives is typed, and it is gone; what only a
    person can decide is listed.
    """
    text = story("lab.gaps", "--remedies", "--own")
    assert text.splitlines()[-1].endswith("; 0 remedies did not heal"), text


def test_every_night_of_the_page_ends_well() -> None:
    """What breaks is named by the page's first commands, and its remedy, as it stands there, mends it."""
    rows = [line for line in story("lab.night").splitlines() if line.endswith(" mended")]
    assert len(rows) == len(NIGHTS)


def test_the_page_on_a_socket_served_from_roots_own_folder() -> None:
    """O5, O6: the web server that is trusted may connect and nobody else; root gives
    nothing away; whatever the folder.
    """
    assert story("lab.socket_page").count("ok: ") == 6


def test_the_page_typed_on_an_empty_server() -> None:
    """O1, O2: eight commands from a built wheel, libraries with their hashes, end in the refusal of README's
    first screen; and the rest of the page.
    """
    text = story("lab.operations", "empty")
    assert "ok: the block of the page ends in the refusal of the first screen" in text
    assert "ok: refused, set up, pushed" in text


@pytest.mark.long
def test_the_page_typed_from_an_sdist() -> None:
    """The same from the source of a release, by the page's two other lines."""
    assert "ok: refused, set up, pushed" in story("lab.operations", "empty", "--source")


def test_the_page_typed_on_a_server_in_use() -> None:
    """28 key lines, 40 repositories, gitolite; people, hooks and deployments continue as
    before; what is left is named.
    """
    text = story("lab.operations", "in-use", "--copied")
    assert "ok: 27 people read what they read before (4 of them by lines that are named as left)" in text
    assert "ok: 36 pushes end as before, hooks' words and all; 1 was said not to be adopted" in text
    assert "ok: a push still deploys" in text
    assert "ok: refused, set up, pushed; doctor is silent" in text
    assert "ok: uninstalled; 23 people and 36 pushes are as before" in text


def test_the_page_typed_on_a_git_shell_account() -> None:
    """Keys first, then the shell: nobody is cut off in between, and nobody is handed a shell."""
    assert "ok: no one was cut off, no one got a shell" in story("lab.operations", "git-shell", "--copied")


def test_every_remedy_stands_on_the_page() -> None:
    """What the lab types is what the page says, up to names and files."""
    page = PAGE.read_text()
    for night in NIGHTS:
        for line in night.remedy:
            command = re.split(r" (?:--yes|--reason|\$|alice|team/|/var|/home|-C)", line)[0]
            cleanup = (
                line.startswith(("sed ", "rm ")) or "grep" in line
            )  # taking out what the page only calls by kind
            assert line == TRY or cleanup or command in page, f"{night.name}: {command}"


@pytest.mark.skipif(
    not Path("/usr/share/gitolite3/gitolite-shell").exists() and shutil.which("gitolite") is None,
    reason="gitolite is not here (make test installs it)",
)
def test_gitolite_behind_the_gate() -> None:
    """What gitolite denies stays denied after every change around it, and works with 2FA on top."""
    text = story("lab.gitolite")
    assert text.count("\nok: ") >= 8


def test_a_real_limit_on_processes_closes_and_never_opens() -> None:
    """Whatever cannot be started, a branch moves only with every hook's consent; and the
    server comes back by itself.
    """
    assert "0 lines are wrong" in story("lab.limits")
