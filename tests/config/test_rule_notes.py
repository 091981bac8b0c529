"""What `config check` says of rules that are in order, and odd."""

from __future__ import annotations

import pytest

from gitguard.action.expectations import read_expectations, tried
from gitguard.config.parse import parse
from gitguard.config.rule_notes import Known, rule_notes

NOW = 1_800_000_000  # 2027-01-15

ANY = "[[rules]]\nname = 'any'\nrequire = true\n"


GIT = "[git]\nenforcement = 'opt-in'\n"


def notes(text: str) -> str:
    """All of them."""
    return "\n".join(
        what for _, what in rule_notes(parse((text if "[git]" in text else GIT + text).encode()), NOW)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rules]]\nname = 'a'\nrequire = true\nuntil = 2026-12-31\n", "has ended"),
        (
            "[[rules]]\nname = 'a'\nrequire = true\nuntil = 2027-02-01\n",
            "ends within 30 days, at the end of 1 February",
        ),
        (
            "[[rules]]\nname = 'a'\nrequire = true\nsince = 2027-02-01\n",
            "has not begun: it begins on 1 February",
        ),
        ("[[rules]]\nname = 'a'\nrequire = false\n", "exempts everyone everywhere"),
        ("[git]\nenforcement = 'off'\n" + ANY, "enforcement is off"),
        (
            "[git]\nenforcement = 'rules'\nadmins = ['@ops']\n[groups]\nops = ['alice']\n[[rules]]\nname = 'a'\nusers = ['alice', 'ci']\nexempt = true\nuntil = 2028-01-01\n",
            "exempts alice, who may administer",
        ),
        (
            ANY + "[[rules]]\nname = 'b'\nusers = ['bob']\nrequire = false\n",
            "'b' can never be first: 'any' above",
        ),
        (
            "[groups]\nops = ['alice', 'bob']\n[[rules]]\nname = 'a'\nusers = ['@ops']\nrequire = true\n[[rules]]\nname = 'b'\nusers = ['bob']\nrefs = ['main']\nrequire = true\n",
            "'b' can never be first: 'a' above",
        ),
        (
            "[[rules]]\nname = 'a'\nrepositories = ['**']\nrequire = true\n[[rules]]\nname = 'b'\nrepositories = ['x']\nrequire = false\n",
            "can never be first",
        ),
    ],
)
def test_what_is_odd_is_said(text: str, said: str) -> None:
    """With the rule's name, and of a shadowed one by which."""
    assert said in notes(text)


@pytest.mark.parametrize(
    "text",
    [
        ANY,
        "[[rules]]\nname = 'a'\nrefs = ['**']\nrequire = true\n[[rules]]\nname = 'b'\nrefs = ['refs/tags/v*']\nrequire = true\n",
        "[[rules]]\nname = 'a'\noperations = ['read']\nrequire = false\n",
        "[[rules]]\nname = 'a'\nusers = ['bob']\nrequire = false\n" + ANY,
        "[[rules]]\nname = 'a'\nrefs = ['main']\nrequire = true\n" + ANY,
        "[[rules]]\nname = 'a'\nrequire = true\nuntil = 2027-06-01\n" + ANY,
        "[[rules]]\nname = 'a'\noperations = ['push']\nrequire = true\n" + ANY,
        "[[rules]]\nname = 'a'\nusers = ['bob']\nrequire = false\n[[rules]]\nname = 'b'\nusers = ['bob', 'eve']\nrequire = true\n",
    ],
)
def test_what_is_plain_is_passed_over(text: str) -> None:
    """A narrower rule above a wider one is how rules are written."""
    assert notes(text) == ""


KNOWN = Known(frozenset({"alice", "bob"}), frozenset({"team/app", "infra/dns"}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("users = ['eve']\n", "'a' names nobody that the store knows (eve)"),
        (
            "users = ['@ops']\n[groups]\nops = ['eve', 'fay']\n",
            "'a' names nobody that the store knows (eve, fay)",
        ),
        ("users = ['alice', 'eve']\n", "'a' names eve, whom the store does not know"),
        ("repositories = ['teams/**']\n", "'a' names no repository that the store knows (teams/**)"),
        ("repositories = ['team/**', 'infar/*']\n", "'a' has patterns that no repository fits: infar/*"),
        ("users = ['alice']\nrepositories = ['infra/*']\n", ""),
        ("", ""),
    ],
)
def test_names_that_nothing_answers_to(text: str, said: str) -> None:
    """A slip of the pen, or someone who has left: said where the store can be asked, and never a fault."""
    found = rule_notes(parse((GIT + "[[rules]]\nname = 'a'\nrequire = true\n" + text).encode()), NOW, KNOWN)
    assert "\n".join(what for _, what in found) == (f"rule {said}" if said else "")


@pytest.mark.parametrize(
    ("refs", "said"),
    [
        ("['Main']", "capital letters count, so it is not 'main'"),
        ("['origin/main']", "as a clone calls it; here it is 'main'"),
        ("['refs/head/main']", "refs/head/ is no kind of ref that Git has"),
        ("['release/*']", "which a/b does not fit below it; release/** does"),
        ("['main,release/x']", "a comma is a letter of the name"),
        ("['m\u00e4in']", "letters outside ASCII"),
        ("['main', 'release/**', 'refs/tags/v*', 'PROJ-1/**', 'refs/notes/**']", ""),
    ],
)
def test_patterns_that_hardly_mean_what_they_say(refs: str, said: str) -> None:
    """In order, and protecting something else than someone thinks: a note each,
    and none for the usual ones.
    """
    found = notes(f"[[rules]]\nname = 'a'\nrequire = true\nrefs = {refs}\n")
    assert said in found if said else found == ""


@pytest.mark.parametrize(
    ("first", "second", "never"),
    [
        ("repositories = ['ops/**']", "repositories = ['ops/dns']", True),
        ("repositories = ['ops/*']", "repositories = ['ops/a/b']", False),
        ("refs = ['release/**']", "refs = ['release/1', 'release/2/*']", True),
        ("refs = ['release/*']", "refs = ['release/1/x']", False),
        ("from = ['10.0.0.0/8']", "from = ['10.1.0.0/16', '10.2.3.4']", True),
        ("from = ['10.0.0.0/8']", "from = ['10.1.0.0/16', '2001:db8::1']", False),
        ("from = ['10.0.0.0/8']", "", False),
        ("operations = ['push']", "operations = ['push']", True),
        ("operations = ['push']", "", False),
        ("users = ['a', 'b']", "users = ['b']", True),
    ],
)
def test_a_rule_that_can_never_be_first(first: str, second: str, never: bool) -> None:
    """By what its patterns, networks and people can stand for, not by how they are written."""
    text = f"[[rules]]\nname = 'one'\nrequire = true\n{first}\n[[rules]]\nname = 'two'\nrequire = true\n{second}\n"
    assert ("'two' can never be first" in notes(text)) is never


def test_a_lifetime_longer_than_the_servers() -> None:
    """The smaller counts, in the gate as in an expectation; a note says so."""
    rule = "[[rules]]\nname = 'a'\nrequire = true\nlifetime = '{}'\n"
    assert "longer than [session] lifetime, 8h, which counts" in notes(rule.format("9h"))
    assert "longer" not in notes(rule.format("8h"))
    settings = parse((GIT + rule.format("9h")).encode())
    rows = read_expectations(b'[[expect]]\nuser = "a"\nrepository = "b"\nlifetime = "9h"\n', "e")
    assert tried(settings, rows, NOW)[0].got["lifetime"] == "8h"
