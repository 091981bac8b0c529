"""`admin policy test`: rows of expectations, by the configuration alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.server import Direct, gitguard

CONFIG = """
[git]
enforcement = "opt-in"
[groups]
ops = ["alice"]
[[rules]]
name = "robot"
users = ["ci"]
repositories = ["team/*"]
exempt = true
until = 2027-06-30
[[rules]]
name = "main"
refs = ["main"]
require = true
lifetime = "1h"
"""
GOOD = """
[[expect]]
user = "ci"
repository = "team/app"
at = 2027-01-01
verdict = "exempt"
rule = "robot"

[[expect]]
user = "bob"
repository = "x"
ref = "main"
verdict = "required"
lifetime = "60m"

[[expect]]
user = "bob"
repository = "x"
operation = "read"
verdict = "not-required"
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A configuration and its expectations."""
    config, expected = tmp_path / "c.toml", tmp_path / "e.toml"
    config.write_text(CONFIG)
    expected.write_text(GOOD)
    return config, expected


def test_what_is_as_expected_exits_0(files: tuple[Path, Path]) -> None:
    """No store, no installation, no root: in a pipeline, beside the file."""
    config, expected = files
    done = gitguard("admin", "policy", "test", str(expected), "--config", str(config))
    assert done.out == "3 expectations, 0 differing\n"


def test_what_differs_stands_side_by_side(files: tuple[Path, Path]) -> None:
    """With its line, what was asked, what was expected and what came out; what
    is left out is not compared.
    """
    config, expected = files
    config.write_text(CONFIG.replace('"1h"', '"2h"').replace("2027-06-30", "2026-06-30"))
    done = gitguard("admin", "policy", "test", str(expected), "--config", str(config), status=1)
    assert f"{expected}:2: user=ci repository=team/app at=2027-01-01" in done.out
    assert "verdict   expected exempt           got not-required" in done.out
    assert "lifetime  expected 1h               got 2h" in done.out
    assert "3 expectations, 2 differing" in done.out
    told = json.loads(
        gitguard("admin", "policy", "test", str(expected), "--config", str(config), "--json", status=1).out
    )
    assert [row["line"] for row in told["differing"]] == [2, 9]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[expect]]\nuser = 'a'\n", ["line 1", "repository is missing", "nothing is expected"]),
        ("[[expect]]\nuser='a'\nrepository='b'\nverdict='requird'\n", ["did you mean 'required'?"]),
        ("[[expect]]\nuser='a'\nrepository='b'\nverdct='required'\n", ["did you mean 'verdict'?"]),
        ("[[expects]]\nuser='a'\n", ["unknown table; did you mean 'expect'?"]),
        (
            "[[expect]]\nuser='a'\nrepository='b'\noperation='pull'\nverdict='required'\n",
            ["not read or push"],
        ),
        (
            "[[expect]]\nuser='a'\nrepository='b'\noperation='read'\nref='x'\nverdict='required'\n",
            ["belongs to a push"],
        ),
        ("[[expect]]\nuser='a'\nrepository='b'\nfrom='x'\nverdict='required'\n", ["not an IP address"]),
        ("[[expect]]\nuser='a'\nrepository='b'\nat='soon'\nverdict='required'\n", ["not a date"]),
        ("[[expect]]\nuser='a'\nrepository='b'\nlifetime='8'\n", ["not a duration"]),
        ("[[expect\n", ["syntax", "line 1"]),
        ("", ["no [[expect]]"]),
    ],
)
def test_bad_expectations_are_named(files: tuple[Path, Path], text: str, words: list[str]) -> None:
    """Every fault with its line and the nearest right word; nothing is tried."""
    config, expected = files
    expected.write_text(text)
    done = gitguard("admin", "policy", "test", str(expected), "--config", str(config), status=2)
    assert all(word in done.err for word in words), done.err


def test_a_broken_configuration_is_named(files: tuple[Path, Path]) -> None:
    """As `config check` names it."""
    config, expected = files
    config.write_text(CONFIG.replace("require = true", "requires = true"))
    done = gitguard("admin", "policy", "test", str(expected), "--config", str(config), status=30)
    assert "did you mean 'require'?" in done.err


def test_the_past_by_another_policy(tmp_path: Path) -> None:
    """Who would be refused, where, how often, by which rule; who would no longer
    be asked; what hangs on refs.
    """
    site = Direct(tmp_path / "server")
    site.install()
    alice, bob = site.new_user("alice"), site.add_user("bob")
    site.admin("repo", "create", "team/app")
    site.admin("repo", "create", "free")
    site.new_repository("closed", "all")
    for person, name, times in (
        (alice, "team/app", 2),
        (bob, "team/app", 3),
        (bob, "free", 1),
        (bob, "closed", 2),
    ):
        for _ in range(times):
            site.ssh(person, f"git-upload-pack '{name}'", stdin="0000")
    site.ssh(bob, "git-receive-pack 'free'", stdin="0000")
    site.ssh(bob, "git-upload-pack 'none'", stdin="0000")
    other = tmp_path / "other.toml"
    rules = (
        '[[rules]]\nname = "team"\nrepositories = ["team/*"]\nrequire = true\n'
        '[[rules]]\nname = "main"\nrepositories = ["free"]\nrefs = ["main"]\nrequire = true\n'
        '[[rules]]\nname = "bob"\nusers = ["bob"]\nexempt = true\nuntil = 2099-01-01\n'
    )
    other.write_text(site.config.read_text() + rules)
    done = site.admin("policy", "replay", "--config", str(other))
    assert done.out.splitlines() == [
        "bob read team/app: would be refused 3 times by rule:team, and has no second factor",
        "bob push free: 1 time it would hang on the refs by rule:main",
        "bob read closed: would no longer be asked, 2 times",
        "9 decisions of 7d judged; 1 person would be asked more often; 1 line about what is not known any more left out",
    ]
    assert site.admin("policy", "replay").out.startswith("9 decisions"), (
        "by the policy in force nothing differs"
    )
    told = json.loads(site.admin("policy", "replay", "--config", str(other), "--json").out)
    assert told["rows"][0] == {
        "user": "bob", "operation": "read", "repository": "team/app", "because": "rule:team", "enrolled": False,
        "newly": 3, "freed": 0, "by_refs": 0,
    }  # fmt: skip
    assert "not a duration" in site.admin("policy", "replay", "--since", "ever", status=2).err


def test_config_check_asks_the_store(site: Direct) -> None:
    """Rules that name nobody, or no repository: a note with the line, exit 0; a file for
    another server is checked too.
    """
    site.add_user("alice")
    site.admin("repo", "create", "team/app")
    text = site.config.read_text()
    rule = '\n[[rules]]\nname = "a"\nusers = ["alcie"]\nrepositories = ["team/*"]\nrequire = true\n'
    site.config.write_text(text + rule)
    said = site.admin("config", "check").out
    assert "note: " in said
    assert "rule 'a' names nobody that the store knows (alcie)" in said
    other = site.folder / "other.toml"
    other.write_text((text + rule).replace(str(site.store), "/nowhere/gitguard.db"))
    assert "names nobody" not in site.admin("config", "check", str(other)).out
