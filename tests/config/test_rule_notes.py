"""What `config check` says of rules that are in order, and odd."""

from __future__ import annotations

import pytest

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
        ("[[rules]]\nname = 'a'\nrequire = false\n", "frees everybody everywhere"),
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
    """A slip of the pen, or somebody who has left: said where the store can be asked, and never a fault."""
    found = rule_notes(parse((GIT + "[[rules]]\nname = 'a'\nrequire = true\n" + text).encode()), NOW, KNOWN)
    assert "\n".join(what for _, what in found) == (f"rule {said}" if said else "")
