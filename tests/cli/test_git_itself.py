"""The workstation against Git itself: for each spelling and setting, host, port's options and
directory are what Git hands to ssh.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gitguard.client.remote import server_of, ssh_of_clone, url_of
from lab.server import run

URLS = (
    "git@example.com:team/app.git", "example.com:app", "alias:app", "git@GitServer:app", "[git@example.com:2222]:team/app", "[example.com:22]:app",
    "[2001:db8::1]:app", "git@[2001:db8::1]:~/app", "ssh://example.com/app", "ssh://git@example.com/team/app.git", "ssh://git@GitServer:2222/app",
    "ssh://git@[2001:db8::1]/app", "ssh://git@[2001:db8::1]:2222/app", "ssh://example.com/~git/app", "ssh://example.com/a%20b", "git+ssh://example.com/app",
    "ssh+git://git@example.com:29418/app", "git@example.com:/srv/git/app.git", "work:team/app", "gh:team/app",
)  # fmt: skip
VARIANTS = ("ssh", "plink", "tortoiseplink")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("url", URLS)
def test_what_git_hands_to_ssh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, variant: str
) -> None:
    """Sixty rows; insteadOf, ports, brackets, capitals, tilde, and the options that other programs take."""
    seen = tmp_path / "seen"
    stand_in = tmp_path / variant
    stand_in.write_text(
        f'#!/usr/bin/python3\nimport json,sys\nopen("{seen}","w").write(json.dumps(sys.argv[1:]))\nsys.exit(1)\n'
    )
    stand_in.chmod(0o755)
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_SSH", str(stand_in))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    tree = tmp_path / "tree"
    run(["git", "init", "-q", str(tree)])
    run(["git", "-C", str(tree), "config", "url.ssh://git@example.com:2222/.insteadOf", "work:"])
    run(["git", "-C", str(tree), "config", "url.git@example.org:.pushInsteadOf", "gh:"])
    run(["git", "-C", str(tree), "remote", "add", "origin", url])
    monkeypatch.chdir(tree)
    pushed = run(["git", "remote", "get-url", "--push", "origin"]).out.strip()
    run(["git", "-c", "protocol.version=0", "ls-remote", pushed], status=None)
    *options, destination, command = json.loads(seen.read_text())
    found = server_of(url_of(None), ssh_of_clone().variant)
    assert ssh_of_clone().variant == variant
    assert found.destination == destination
    assert list(found.options) == [option for option in options if option != "-batch"]
    assert command.endswith(f"'{found.path}'")
