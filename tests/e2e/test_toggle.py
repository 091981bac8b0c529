"""A repository admin's toggle, server admins, and what each enforcement makes of it, over real ssh."""

from __future__ import annotations

import json

import pytest

from lab.meddling import meddle
from lab.server import Server

pytestmark = pytest.mark.e2e


def test_a_repository_admin_tightens(shared_server: Server) -> None:
    """The admin of a repository requires 2FA; other people may look, not change; every change is told."""
    server = shared_server
    rita, sam = server.new_user("rita"), server.new_user("sam")
    server.admin("repo", "create", "rita/app", "--admin", "rita")
    shown = server.ssh(sam, "2fa repo show rita/app", status=0).out
    assert "require none" in shown
    assert "admins: rita" in shown
    server.ssh(sam, "2fa repo require rita/app push", status=14)
    done = server.ssh(rita, "2fa repo require rita/app.git push", status=0)
    assert "rita/app now requires push (was none)" in done.out
    assert (
        "now requires push, lifetime 30m" in server.ssh(rita, "2fa repo lifetime rita/app 30m", status=0).out
    )
    long = server.ssh(rita, "2fa repo lifetime rita/app 9h", status=2)
    assert "cannot be longer than the server's" in long.err
    assert (
        "sam is now an admin of rita/app" in server.ssh(rita, "2fa repo admin rita/app add sam", status=0).out
    )
    server.ssh(sam, "2fa repo admin rita/app remove rita", status=0)
    server.ssh(rita, "2fa repo require rita/app none", status=14)
    answer = json.loads(server.ssh(rita, "2fa repo show rita/app --json", status=0).out)
    assert (answer["require"], answer["lifetime_seconds"], answer["admins"]) == ("push", 1800, ["sam"])
    assert "all" in server.ssh(sam, "2fa repo require rita/app bogus", status=2).err
    server.ssh(sam, "2fa repo require nope all", status=21)
    for name in ("../up", "--", "'-x'"):
        done = server.ssh(sam, f"2fa repo show -- {name}", status=21)
        assert f"no such repository: {name.strip(chr(39))}" in done.err, "the name that was typed is said"


def test_the_lifetime_of_a_toggle_counts(shared_server: Server) -> None:
    """A verification that is fresh for the server is too old for the repository."""
    server = shared_server
    tom = server.new_user("tom")
    server.new_repository("tom/app", "push")
    server.admin("repo", "lifetime", "tom/app", "10m")
    tree = server.work_tree(tom, "tom/app")
    server.git(tom, "push", "--quiet", "origin", "main", cwd=tree, status=0)

    meddle(
        server.kept,
        "UPDATE sessions SET verified_at = verified_at - 601, boot_seconds = boot_seconds - 601 WHERE user_name = 'tom'",
    )
    assert "verification-expired" in server.git(tom, "push", "origin", "main", cwd=tree, status=128).err
    server.git(tom, "fetch", "--quiet", "origin", cwd=tree, status=0)
    server.ssh(tom, "2fa status --check", status=0)


def test_toggles_need_a_fresh_factor(shared_server: Server) -> None:
    """With the key alone each change asks for a code, and without one nothing changes."""
    server = shared_server
    uma = server.new_user("uma")
    server.new_repository("uma/app", "push", "uma")
    server.ssh(uma, "2fa leave", status=0)
    for command in ("require uma/app none", "lifetime uma/app default", "admin uma/app add uma"):
        server.ssh(uma, f"2fa repo {command}", stdin="\n", status=12)
    assert json.loads(server.ssh(uma, "2fa repo show uma/app --json").out)["require"] == "push"
    server.clear_watermark(uma)
    server.ssh(uma, "2fa repo require uma/app all", stdin=server.fresh_code(uma) + "\n", status=0)
    server.ssh(uma, "2fa status --check", status=10)


def test_enforcements(server: Server) -> None:
    """opt-in offers the toggle; rules and enforced refuse it and keep what was tightened; off ignores it."""
    vera = server.new_user("vera")
    server.admin("repo", "create", "vera/app", "--admin", "vera")
    server.admin("repo", "create", "vera/open")
    server.ssh(vera, "2fa repo require vera/app all", status=0)
    closed, opened = server.url("vera/app"), server.url("vera/open")
    outcomes = {}
    for enforcement in ("opt-in", "rules", "enforced", "off"):
        server.configure(git={"enforcement": enforcement})
        change = server.ssh(vera, "2fa repo require vera/app all")
        server.end_sessions()
        outcomes[enforcement] = (
            change.status,
            server.git(vera, "ls-remote", closed).status,
            server.git(vera, "ls-remote", opened).status,
        )
        server.clear_watermark(vera)
        server.verify(vera)
    assert outcomes == {
        "opt-in": (0, 128, 0),
        "rules": (14, 128, 0),
        "enforced": (14, 128, 128),
        "off": (0, 0, 0),
    }
    done = server.admin("repo", "require", "vera/app", "push")
    assert "no effect now: enforcement is off" in done.out
    server.configure(git={"enforcement": "enforced"})
    refused = server.ssh(vera, "2fa repo require vera/app none", status=14)
    assert "[not-available]" in refused.err
    assert "enforcement = enforced" in refused.err
    assert "vera/app now requires all" in server.admin("repo", "require", "vera/app", "all").out


def test_server_admins_administer_every_repository(server: Server) -> None:
    """Named in `[git] admins`, by name or group."""
    will = server.new_user("will")
    server.admin("repo", "create", "any/app")
    server.ssh(will, "2fa repo require any/app push", status=14)
    server.configure(git={"admins": ["@ops"]}, groups={"ops": ["will"]})
    server.ssh(will, "2fa repo require any/app push", status=0)


def test_tightening_takes_effect_on_the_next_command(shared_server: Server) -> None:
    """No cache anywhere: the next request sees the toggle."""
    server = shared_server
    xena = server.add_user("xena")
    server.admin("repo", "create", "xena/app")
    server.git(xena, "ls-remote", server.url("xena/app"), status=0)
    server.admin("repo", "require", "xena/app", "all")
    server.git(xena, "ls-remote", server.url("xena/app"), status=128)
    server.admin("repo", "require", "xena/app", "push")
    server.git(xena, "ls-remote", server.url("xena/app"), status=0)
