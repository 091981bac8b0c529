"""`admin policy test`: rows of expectations, by the configuration alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.server import gitguard

CONFIG = """
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
    """With its line, what was asked, what was expected and what came out; what is left out is not compared."""
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
