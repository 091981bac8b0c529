"""The server admin's rules over a real sshd: refs in the hook, robots, dates,
networks, and what a person reads.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from lab.server import Person, Server

pytestmark = pytest.mark.e2e

LATER = "2099-01-01"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Alice enrolled, a robot without a second factor, one repository."""
    server = Server(tmp_path_factory.mktemp("rules") / "server")
    server.install()
    server.start()
    server.new_user("alice")
    server.add_user("ci")
    server.admin("repo", "create", "team/app")
    yield server
    server.stop()


def rules(server: Server, text: str, enforcement: str = "rules") -> None:
    """The configuration with these rules."""
    tables = tomllib.loads(server.config.read_text())
    tables["git"]["enforcement"] = enforcement
    tables.pop("rules", None)
    server.write(tomli_w.dumps(tables) + text)
    server.admin("config", "check")


def tree(server: Server, person: Person, label: str) -> Path:
    """A work tree with a commit, and branches `topic` and tag v1 on it."""
    made = server.work_tree(person, "team/app", label)
    server.git(person, "checkout", "--quiet", "-b", "topic", cwd=made, status=0)
    server.git(person, "commit", "--quiet", "--allow-empty", "-m", "second", cwd=made, status=0)
    server.git(person, "checkout", "--quiet", "main", cwd=made, status=0)
    server.git(person, "tag", label, cwd=made)
    return made


MAIN = '[[rules]]\nname = "protect-main"\nrefs = ["main", "refs/tags/*"]\nrequire = true\nlifetime = "1h"\n'


def test_refs_are_judged_in_the_hook(house: Server) -> None:
    """A topic goes through with a word on stderr; main is refused by name and rule,
    once; verified, all of it goes.
    """
    zoe = house.new_user("zoe")  # told nothing yet today, whoever pushed here before
    rules(house, MAIN)
    house.end_sessions()
    made = tree(house, zoe, "one")
    topic = house.git(zoe, "push", "origin", "topic", cwd=made, status=0)
    assert (
        "pushing to refs/heads/main (rule protect-main), refs/tags/* (rule protect-main) needs 2FA"
        in topic.err
    )
    again = house.git(zoe, "push", "origin", "topic:topic3", cwd=made, status=0)
    assert "needs 2FA" not in again.err, "once a day is news"
    refused = house.git(zoe, "push", "origin", "+main", "topic:topic2", "+refs/tags/one", cwd=made, status=1)
    assert "[verification-required]" in refused.err
    assert refused.err.count("2FA is required by the rule protect-main") == 1
    assert "refs/heads/main, and 1 more" in refused.err
    assert house.git(zoe, "ls-remote", "origin", cwd=made, status=0).out.count("topic2") == 0, (
        "nothing was taken"
    )
    refusals = [line for line in house.log() if line["verdict"] == "refused"]
    assert refusals[-1]["because"] == "rule:protect-main"
    house.clear_watermark(zoe)
    house.verify(zoe)
    passed = house.git(zoe, "push", "origin", "+main", "topic:topic2", "+refs/tags/one", cwd=made, status=0)
    assert "needs 2FA" not in passed.err, "who has a session is told nothing"


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (("push", "--atomic", "origin", "topic:a", "main:b"), True),
        (("push", "--atomic", "origin", "topic:a2", "topic:main"), False),
        (("push", "--force", "origin", "topic:main"), False),
        (("push", "origin", "--delete", "main"), False),
        (("push", "origin", "--delete", "refs/tags/one"), False),
        (("push", "--mirror"), False),
        (("push", "origin", "topic:refs/heads/Main"), True),
        (("push", "origin", "topic:refs/heads/release/main"), True),
    ],
)
def test_every_kind_of_update(house: Server, words: tuple[str, ...], allowed: bool) -> None:
    """Atomic, forced, deleting, mirroring: one ref that requires refuses the whole push."""
    alice = house.people["alice"]
    rules(house, MAIN)
    house.clear_watermark(alice)
    house.verify(alice)
    label = f"kind-{abs(hash(words)) % 10**8}"
    made = tree(house, alice, label)
    house.git(alice, "push", "--force", "origin", "main", f"{label}:refs/tags/one", cwd=made, status=0)
    house.end_sessions()
    done = house.git(alice, *words, cwd=made, status=None)
    assert (done.status == 0) == allowed, done.text
    if not allowed:
        assert "protect-main" in done.err


def test_a_robot_with_a_dated_exemption(house: Server) -> None:
    """Named, narrow, dated: it pushes without a second factor; a day late it is treated as
    anyone; `explain` says the rule.
    """
    ci = house.people["ci"]
    robot = '[[rules]]\nname = "robot"\nusers = ["ci"]\nrepositories = ["team/*"]\nfrom = ["127.0.0.0/8"]\nexempt = true\nuntil = {}\n'
    rules(house, robot.format(LATER), "enforced")
    made = tree(house, ci, "robot")
    house.git(ci, "push", "origin", "main:robot", cwd=made, status=0)
    assert house.log()[-1]["reason"] == "exempt"
    assert house.log()[-1]["because"] == "rule:robot"
    said = house.admin("explain", "ci", "team/app", "push", "--from", "127.0.0.1")
    assert "allowed [exempt]" in said.out
    assert "by the rule robot" in said.out
    elsewhere = json.loads(
        house.admin("explain", "ci", "team/app", "push", "--from", "192.0.2.1", "--json").out
    )
    assert elsewhere["reason"] == "enrolment-required"
    rules(house, robot.format("2020-01-01"), "enforced")
    late = house.git(ci, "push", "origin", "main:robot2", cwd=made, status=128)
    assert "[enrolment-required]" in late.err


def test_explain_with_a_ref(house: Server) -> None:
    """Without one it says what depends on the refs; with one, the hook's answer and its rule."""
    rules(house, MAIN)
    house.end_sessions()
    words = ("explain", "alice", "team/app", "push", "--from", "127.0.0.1")
    before = house.admin(*words)
    assert "allowed [not-required]" in before.out
    assert "some refs require more" in before.out
    main = json.loads(house.admin(*words, "--ref", "main", "--json").out)
    assert (main["reason"], main["rule"], main["lifetime_seconds"]) == (
        "verification-required",
        "protect-main",
        3600,
    )
    assert json.loads(house.admin(*words, "--ref", "topic", "--json").out)["required"] is False
    assert (
        "refs belong to a push"
        in house.admin("explain", "alice", "team/app", "read", "--ref", "x", status=2).err
    )


def test_a_push_past_the_gate_meets_the_rules_too(house: Server) -> None:
    """ATTACK: a push on the machine itself, without a grant, to a ref that a rule
    protects. EXPECTED: no-grant.
    """
    rules(house, MAIN)
    made = tree(house, house.people["alice"], "local")
    push = ["git", "push", str(house.directory("team/app"))]
    main = subprocess.run(
        [*push, "HEAD:refs/heads/main", "--force"], cwd=made, capture_output=True, text=True, check=False
    )
    assert main.returncode != 0
    assert "[no-grant]" in main.stderr
    topic = subprocess.run(
        [*push, "HEAD:refs/heads/quiet"], cwd=made, capture_output=True, text=True, check=False
    )
    assert topic.returncode == 0, topic.stderr


def test_a_broken_rule_closes_everything(house: Server) -> None:
    """MUST: a rule that cannot be read breaks the file; it is never passed over."""
    alice = house.people["alice"]
    rules(house, MAIN)
    whole = house.config.read_text()
    house.config.write_text(whole + 'requires = "typo"\n')
    made = house.work_tree(alice, "team/app", "broken")
    assert "[config-invalid]" in house.git(alice, "ls-remote", "origin", cwd=made, status=128).err
    told = house.admin("config", "check", status=30)
    assert "did you mean 'require'" in told.out
    house.write(whole)


def test_a_person_reads_what_applies_to_them(house: Server) -> None:
    """`2fa repo show`: what is required of me here, by which rule, and who is exempt; in JSON too."""
    alice = house.people["alice"]
    robot = f'[[rules]]\nname = "robot"\nusers = ["ci"]\nrepositories = ["team/*"]\nexempt = true\nuntil = {LATER}\n'
    rules(house, robot + MAIN + '[[rules]]\nname = "all"\noperations = ["read"]\nrequire = true\n')
    said = house.ssh(alice, "2fa", "repo", "show", "team/app", status=0).out
    assert "to read you need 2FA from the last 8h (set by rule all)" in said
    assert (
        "to push you need 2FA from the last 8h (set by rule all); more for refs/heads/main (rule protect-main)"
        in said
    )
    assert "exempt by the rule robot until" in said
    assert said.rstrip().endswith(": ci")
    robots = house.ssh(house.people["ci"], "2fa", "repo", "show", "team/app", status=0).out
    assert "you may push without 2FA, by the exemption robot" in robots
    told = json.loads(house.ssh(alice, "2fa", "repo", "show", "team/app", "--json", status=0).out)
    assert told["of_you"]["read"]["because"] == "rule:all"
    assert [(row["rule"], row["users"]) for row in told["exempt"]] == [("robot", ["ci"])]


def test_a_symbolic_ref_is_no_way_around(house: Server) -> None:
    """ATTACK: a branch that was renamed left a symbolic ref; Git writes through it and names only
    that. EXPECTED: both are judged.
    """
    alice = house.people["alice"]
    rules(house, MAIN)
    directory = house.directory("team/app")
    subprocess.run(
        ["git", "-C", str(directory), "symbolic-ref", "refs/heads/old-name", "refs/heads/main"], check=True
    )
    house.end_sessions()
    made = tree(house, alice, "symbolic")
    refused = house.git(alice, "push", "--force", "origin", "topic:old-name", cwd=made, status=1)
    assert "refs/heads/main: 2FA is required by the rule protect-main" in refused.err
    subprocess.run(
        ["git", "-C", str(directory), "symbolic-ref", "refs/heads/loop", "refs/heads/loop2"], check=True
    )
    subprocess.run(
        ["git", "-C", str(directory), "symbolic-ref", "refs/heads/loop2", "refs/heads/loop"], check=True
    )
    assert house.git(alice, "push", "origin", "topic:loop", cwd=made, status=None).status != 0
    for name in ("old-name", "loop", "loop2"):
        (directory / "refs" / "heads" / name).unlink()


def test_an_lfs_upload_is_no_way_around(house: Server) -> None:
    """ATTACK: a stolen robot key, exempt for its branches alone, asks for an LFS token. EXPECTED:
    refused, since no hook sees it.
    """
    ci = house.people["ci"]
    robot = f'[[rules]]\nname = "robot"\nusers = ["ci"]\nrefs = ["bot/**"]\nexempt = true\nuntil = {LATER}\n'
    rules(house, robot, "enforced")
    for verb in ("git-lfs-authenticate", "git-lfs-transfer"):
        assert "[enrolment-required]" in house.ssh(ci, f"{verb} 'team/app' upload").err


def test_what_begins_soon_is_said_to_those_whom_it_will_refuse(house: Server) -> None:
    """After a push that goes through, once a day: to the robot that has no second factor, not to
    anyone who is verified or exempt.
    """
    soon = dt.datetime.now().astimezone().date() + dt.timedelta(days=5)
    text = f'[[rules]]\nname = "from-next-week"\nrequire = true\noperations = ["push"]\nsince = {soon}\n'
    rules(house, text)
    ci, alice = house.people["ci"], house.people["alice"]
    made = tree(house, ci, "soon")

    def push(person: Person, ref: str) -> str:
        return house.git(person, "push", "origin", f"HEAD:refs/heads/{ref}", cwd=made, status=0).err

    said = push(ci, "soon1")
    assert f"gitguard: from {soon.day} {soon:%B}" in said
    assert "pushing to team/app needs 2FA (rule from-next-week); set up a second factor: ssh -T" in said
    assert "from-next-week" not in push(ci, "soon2"), "once a day"
    house.clear_watermark(alice)
    house.verify(alice)
    assert "from-next-week" not in push(alice, "soon3"), "whoever is verified knows how"
    house.ssh(alice, "2fa leave", status=0)
    assert "verify before you push" in push(alice, "soon4")

    exempt = f'[[rules]]\nname = "robots"\nexempt = true\nusers = ["ci"]\nuntil = {LATER}\n'
    rules(house, exempt + text.replace("from-next-week", "another"))
    assert "another" not in push(ci, "soon5")
    rules(house, text.replace("from-next-week", "far").replace(str(soon), LATER))
    assert "far" not in push(ci, "soon6"), "what is months away is not news yet"
    (house.home / "state" / "announced").rename(house.home / "state" / "gone")
    (house.home / "state" / "announced").write_text("a file where the folder should be")
    rules(house, text.replace("from-next-week", "unnoted"))
    assert "unnoted" not in push(ci, "soon7"), "what cannot be noted would be said each time"
    (house.home / "state" / "announced").unlink()
