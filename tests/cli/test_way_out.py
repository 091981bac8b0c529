"""`admin uninstall` and `admin stats`: leaving, and looking at the whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab.run import run
from lab.server import Direct, Server


def hook(folder: Path, words: str) -> None:
    """A pre-receive of the repository's own."""
    (folder / "hooks").mkdir(parents=True, exist_ok=True)
    path = folder / "hooks" / "pre-receive"
    path.write_text(f"#!/bin/sh\necho {words}\n")
    path.chmod(0o755)


def bare(site: Direct, name: str) -> Path:
    """A repository that gitguard has not made."""
    path = site.directory(name)
    run(["git", "init", "-q", "--bare", str(path)])
    return path


def test_everything_is_as_it_was(site: Direct) -> None:
    """Each key with its limits and its program, each hook under its own name, no mark of
    ours; suspended people stay out.
    """
    kept, plain, chained = (bare(site, name) for name in ("kept", "plain", "chained"))
    hook(kept, "its own")
    before = (kept / "hooks" / "pre-receive").read_bytes()
    site.admin("repo", "adopt", "--all")
    (chained / "hooks" / "pre-receive.d").mkdir()
    (chained / "hooks" / "pre-receive.d" / "10-style").write_text("#!/bin/sh\n")
    (chained / "hooks" / "pre-receive.d" / "10-style").chmod(0o755)
    ann, ben, cay = (site.new_key(name) for name in ("ann", "ben", "cay"))
    site.admin("user", "add", "ann", "--key", f"{ann.key}.pub")
    site.admin("user", "add", "ben", "--key", f"{ben.key}.pub", "--behind", "/usr/bin/env FOO={user}")
    site.admin("user", "add", "cay", "--key", f"{cay.key}.pub")
    site.admin("user", "suspend", "cay")
    foreign = "# a line of somebody's\n"
    site.key_file.write_text(site.key_file.read_text() + foreign)
    was = site.key_file.read_text()

    shown = site.admin("uninstall", "--dry-run").out
    assert site.key_file.read_text() == was
    assert "2 keys would go on without the gate" in shown
    assert f"left out: {cay.fingerprint} of cay, who is suspended" in shown
    assert "kept: its own pre-receive is in place again" in shown
    assert "chained: no pre-receive, as before; 10-style in pre-receive.d runs no more" in shown

    site.admin("uninstall", status=2)  # it asks, and nobody answers
    assert site.key_file.read_text() == was
    done = site.admin("uninstall", "--yes", "--reason", "moving").out
    text = site.key_file.read_text()
    assert "2 keys go on without the gate" in done
    assert "gitguard" not in text
    assert foreign in text
    assert cay.fingerprint not in text
    assert re.search(
        r'^restrict,command="git-shell -c \\"\$SSH_ORIGINAL_COMMAND\\"" ssh-ed25519 \S+ ann@laptop$',
        text,
        re.MULTILINE,
    )
    assert 'restrict,command="/usr/bin/env FOO=ben" ssh-ed25519' in text
    assert Path(f"{site.key_file}.with-gitguard").read_text() == was
    assert (kept / "hooks" / "pre-receive").read_bytes() == before
    assert not (kept / "hooks.kept").exists()
    assert not (plain / "hooks" / "pre-receive").exists()
    events = [row["event"] for row in json.loads(site.admin("audit", "show", "--json").out)]
    assert "uninstalled" in events

    again = site.admin("uninstall", "--yes").out
    assert Path(f"{site.key_file}.with-gitguard").read_text() == was, (
        "a second run keeps the first one's copy"
    )
    assert site.key_file.read_text() == text
    assert "kept:" not in again


def test_a_hook_that_cannot_be_taken_out_is_named(site: Direct) -> None:
    """The keys are free all the same, and the rest continues; the exit status says that something is left."""
    broken, good = bare(site, "broken"), bare(site, "good")
    site.admin("repo", "adopt", "--all")
    (broken / "hooks" / "pre-receive").rename(broken / "hooks" / "ours")
    (broken / "hooks" / "pre-receive").symlink_to("ours")
    (broken / "hooks.kept").mkdir()
    (broken / "hooks.kept" / "pre-receive").symlink_to("nowhere")
    (broken / "hooks" / "pre-receive.d.left-alone").mkdir()
    done = site.admin("uninstall", "--yes", status=40)
    assert "broken: cannot change" in done.err
    assert "1 hook could not be taken out" in done.err
    assert not (good / "hooks" / "pre-receive").exists()


def test_what_somebody_put_beside_the_kept_hook_stays(site: Direct) -> None:
    """`hooks.kept/` holds links of ours, and perhaps files of theirs."""
    kept = bare(site, "kept")
    hook(kept, "its own")
    site.admin("repo", "adopt", "kept")
    (kept / "hooks.kept" / "lib.sh").write_text("theirs\n")
    said = site.admin("uninstall", "--yes").out
    assert "lib.sh lay beside it in hooks.kept and is still there" in said
    assert (kept / "hooks.kept" / "lib.sh").read_text() == "theirs\n"
    assert [path.name for path in (kept / "hooks.kept").iterdir()] == ["lib.sh"]


@pytest.mark.e2e
def test_people_keep_working(server: Server) -> None:
    """Over a real sshd: a person who had to verify pushes by the whole path
    without; no shell, no other command.
    """
    alice = server.new_user("alice")
    server.new_repository("app", "all")
    server.ssh(alice, "2fa leave", status=0)
    tree = server.work_tree(alice, "app")
    url = f"ssh://{server.account}@127.0.0.1:{server.port}{server.directory('app')}"
    server.git(alice, "push", url, "main", cwd=tree, status=128)
    server.admin("uninstall", "--yes")
    server.git(alice, "push", "--quiet", url, "main", cwd=tree, status=0)
    server.git(alice, "ls-remote", url, status=0)
    refused = server.ssh(alice, "id")
    assert refused.status != 0
    assert "uid=" not in refused.out


def test_statistics(site: Direct) -> None:
    """The numbers of people, the trail and the log; in Prometheus's form each with
    its kind; a period that fits.
    """
    ann = site.add_user("ann")
    site.add_user("ben")
    site.admin("user", "suspend", "ben")
    site.new_repository("app", "push")
    site.access_log.parent.mkdir(exist_ok=True)
    lines = [
        {"id": "1", "at": 1, "user": "ann", "verdict": "refused", "reason": "old"},
        *({
            "id": "2", "at": 4_000_000_000, "user": "ann", "key": ann.fingerprint, "address": "192.0.2.1", "repository": "app",
            "operation": "push", "verdict": "refused", "reason": reason,
        } for reason in ("verification-required", "verification-required", 'x"} 1\nbad', "x1bad")),
    ]  # fmt: skip
    site.access_log.write_text("".join(json.dumps(line) + "\n" for line in lines) + "not json\n")
    found = json.loads(site.admin("stats", "--json").out)
    assert (
        found["people"] | {"active": 1, "enrolled": 0, "suspended": 1, "keys": 2, "demanding": 1}
        == found["people"]
    )
    assert found["refused"]["verification-required"] == 2
    assert "old" not in found["refused"]
    assert found["store_bytes"] > 0
    assert [slow["repository"] for slow in found["slowest"]] == ["app"]
    assert found["slowest"][0]["milliseconds"] > 0
    said = site.admin("stats").out
    assert "1 active, 0 enrolled (0 %), 1 suspended" in said
    assert "2 verification-required" in said
    text = site.admin("stats", "--prometheus").out
    assert 'gitguard_decisions{verdict="refused",reason="verification-required"} 2' in text
    assert 'reason="x1bad"} 2' in text, "one series, however it was spelled"
    for line in text.splitlines():
        assert re.fullmatch(
            r"# (HELP|TYPE) gitguard_\w+ .+|gitguard_\w+(\{(\w+=\"[\w-]+\",?)+\})? [\d.e+-]+", line
        ), line
    assert "not both" in site.admin("stats", "--json", "--prometheus", status=2).err
    labelled = site.admin("stats", "--prometheus", "--label", "server=git1", "--since", "7d").out
    assert 'reason="verification-required",server="git1"} 2' in labelled
    assert 'gitguard_keys{server="git1"} 2' in labelled
    helps = [[line for line in out.splitlines() if line.startswith("#")] for out in (text, labelled)]
    assert helps[0] == helps[1], "one HELP, whatever the period: two installations may be collected together"
    for wrong in ("git1", 'a=b"', "a b=c", "1a=b"):
        assert "NAME=VALUE" in site.admin("stats", "--prometheus", "--label", wrong, status=2).err
    assert "belongs to --prometheus" in site.admin("stats", "--label", "a=b", status=2).err
    assert "--since" in site.admin("stats", "--since", "soon", status=2).err
