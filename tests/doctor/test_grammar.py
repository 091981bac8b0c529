"""What doctor reads by grammar: sudoers, sshd's words, Match blocks, patterns of paths, lines to take out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitguard.doctor import exports, match_blocks, shut_out, sudo
from gitguard.doctor.daemons import options_of
from gitguard.doctor.finding import without


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("bob ALL=(git) NOPASSWD: ALL", True),
        ("bob ALL=(#998) /bin/sh", True),
        ("bob ALL=(OPS) ALL", True),
        ("TEAM ALL=(root, git : git) ALL", True),
        ("git ALL=(ALL) NOPASSWD: /bin/true", True),
        ("%git ALL=ALL", True),
        ("#998 ALL=(root) /bin/sh", True),
        ("ALL ALL=(root) /usr/bin/id", True),
        ("root ALL=(ALL:ALL) ALL", False),
        ("%sudo ALL=(ALL:ALL) ALL", False),
        ("bob ALL=/usr/bin/apt-get install git", False),
        ("bob git=(www-data) ALL", False),
        ("Defaults:git !requiretty", False),
        ("# bob ALL=(git) ALL", False),
    ],
)
def test_sudo_by_its_grammar(line: str, named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L7, L12: who becomes the account, and as whom it runs anything; a word `git` elsewhere is a word."""
    file = tmp_path / "sudoers"
    file.write_text(f"User_Alias TEAM = alice, bob\nRunas_Alias OPS = www-data, git\n{line}\n")
    monkeypatch.setattr(sudo, "SUDOERS", (str(file),))
    monkeypatch.setattr(sudo, "DOAS", str(tmp_path / "none"))
    found = list(sudo.sudo_findings("git", 998, [("git", 998)]))
    assert bool(found) == named
    for finding in found:
        subprocess.run(["sh", "-c", finding.remedy.replace(" && sshd -t", "")], check=True)
        assert list(sudo.sudo_findings("git", 998, [("git", 998)])) == []


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("-D", ()),
        ("-D -f /etc/ssh/other", ("-f", "/etc/ssh/other")),
        ("-f/etc/ssh/other -D", ("-f", "/etc/ssh/other")),
        ("-Df/etc/ssh/other", ("-f", "/etc/ssh/other")),
        ("-o AuthorizedKeysCommand=/x -oUsePAM=no", ("-o", "AuthorizedKeysCommand=/x", "-o", "UsePAM=no")),
        ("-p 22 -E /var/log/x -h /etc/ssh/key", ()),
    ],
)
def test_sshd_words_are_taken_apart_as_sshd_does(words: str, options: tuple[str, ...]) -> None:
    """L1: one option has many spellings."""
    assert options_of(words.split()) == options


def test_words_that_no_sshd_takes_are_not_passed_over() -> None:
    """They are asked of sshd, which then says what it makes of them."""
    assert options_of(["--strange"])[0] == "-o"


@pytest.mark.parametrize(
    ("criteria", "spec"),
    [
        ({"address": "192.168.0.0/16"}, {"addr": "192.168.0.1"}),
        ({"address": "10.*"}, {"addr": "10.1"}),
        ({"address": "!10.0.0.1,2001:db8::/32"}, {"addr": "2001:db8::1"}),
        ({"localport": "2222", "host": "*.example.com"}, {"lport": "2222", "host": "1.example.com"}),
        ({"exec": "/bin/true"}, None),
    ],
)
def test_an_example_that_a_block_fits(criteria: dict[str, str], spec: dict[str, str] | None) -> None:
    """Made of the block's own words; where none can be, it is said."""
    assert match_blocks._example(criteria) == spec


@pytest.mark.parametrize(
    ("criteria", "about"),
    [
        ({"user": "backup", "address": "x"}, False),
        ({"user": "*,!git"}, False),
        ({"user": "g*"}, True),
        ({"group": "sftponly"}, False),
        ({"address": "x"}, True),
    ],
)
def test_a_block_for_others_is_passed_over(criteria: dict[str, str], about: bool) -> None:
    """L12: `Match User backup Address ...` says nothing of the account."""
    assert match_blocks._is_about(criteria, "git", ["git"]) is about


@pytest.mark.parametrize(
    ("line", "hit"),
    [
        ("<Directory /home/*/public_html>", False),
        ("<Directory /home/*>", True),
        ("root /srv/git;", True),
        ("root /srv/git/team;", True),
        ("alias /srv/;", True),
        ("root /srv/gitweb;", False),
        ("path = /sr?/git", True),
        ("# path = /srv/git", False),
    ],
)
def test_paths_of_configurations(line: str, hit: bool) -> None:
    """O3: a pattern is a pattern; a name that only begins alike is another."""
    assert bool(exports._hits(line, ["/srv/git", "/home/git/repositories"])) is hit


def test_a_line_is_taken_out_and_no_other(tmp_path: Path) -> None:
    """Whatever letters it has."""
    file = tmp_path / "it's"
    wanted = "git ALL=(ALL) NOPASSWD: /bin/x [a-z]* 100% ^$ \\d 'q'"
    file.write_text(f"keep 1\n  {wanted}\nkeep [2]\n")
    subprocess.run(["sh", "-c", without(str(file), wanted)], check=True)
    assert file.read_text() == "keep 1\nkeep [2]\n"


def test_limits_that_let_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L9: by name; usual numbers are silent."""
    limits = tmp_path / "limits.conf"
    monkeypatch.setattr(shut_out, "LIMITS", (str(limits),))
    monkeypatch.setattr(shut_out, "DENY", str(tmp_path / "deny"))
    monkeypatch.setattr(shut_out, "ALLOW", str(tmp_path / "allow"))
    for line, named in (
        ("git hard maxlogins 0", True), ("@git - nproc 0", True), ("* hard maxlogins 0", True),
        ("bob hard maxlogins 0", False), ("git hard nproc 4096", False), ("* soft core 0", False),
    ):  # fmt: skip
        limits.write_text(line + "\n")
        assert bool(list(shut_out.shut_out_findings("git", ["git"]))) is named, line
    limits.write_text("")
    for deny, allow, named in (
        ("ALL: ALL", "", True), ("sshd: ALL", "", True), ("sshd: 203.0.113.0/24", "", False),
        ("ALL: ALL", "sshd: 10.0.0.0/8", False), ("rpcbind: ALL", "", False),
    ):  # fmt: skip
        (tmp_path / "deny").write_text(deny + "\n")
        (tmp_path / "allow").write_text(allow + "\n")
        assert bool(list(shut_out.shut_out_findings("git", ["git"]))) is named, (deny, allow)
