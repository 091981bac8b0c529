"""What people read is plain English: no summary is cut off, and none of the words that
readers stumbled over is left.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gitguard.__main__ import root
from gitguard.web.texts import Texts
from tests.commands import commands

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SUMMARY = 45
# Said by people who wrote this, understood by nobody else -> say instead
RETIRED = {
    r"\bdemand(s|ed|ing)?\b": "require",
    r"\b(run|runs|ran) out\b": "expired",
    r"\bvoid\b": "no longer works",
    r"\bsomebody\b": "someone",
    r"\b(go|goes|gone) on\b": "continue",
    r"\b(let|lets|letting) (in|through)\b": "allowed",
    r"\bnobody is locked\b": "your account is not locked",
    r"\bUTC\+0\b": "UTC",
    r"\bin clear\b": "unencrypted",
    r"\bsay (which|whose)\b": "which? whose?",
    r"; or: |, or: | or: https?:": "or run:",
}
# Codes, not sentences: they stand in JSON, logs or SQL, or name something of another program's.
CODES = {"run out", "; or: |, or: | or: https?:"}


def test_no_summary_is_cut_off() -> None:
    """In a list of commands each says what it does in its first sentence, which fits."""
    for path, command in commands(root(), "gitguard"):
        summary = command.get_short_help_str(LONGEST_SUMMARY)
        assert summary, path
        assert not summary.endswith("..."), (path, command.help)


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module that hold more than one word, but for its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    # What click prints as help is read by people, and stands in a docstring.
    docs -= {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and isinstance(node.body[0], ast.Expr)
        and any("command" in ast.unparse(decorator) for decorator in node.decorator_list)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            text = node.value
            if (
                " " in text.strip()
                and text.strip() not in CODES
                and not text.lstrip().startswith(("SELECT", "--"))
            ):
                yield node.lineno, text


def found_in(text: str) -> list[str]:
    """The retired words in `text`, each with what to say instead."""
    return [
        f"{match[0]!r}: {new}"
        for old, new in RETIRED.items()
        for match in re.finditer(old, text, re.IGNORECASE)
    ]


def test_no_retired_word_is_left_in_the_program() -> None:
    """Neither in what the program prints nor on the page."""
    left = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in sorted((ROOT / "gitguard").rglob("*.py"))
        for line, text in sentences(path)
        for word in found_in(text)
    ]
    texts = Texts()
    left += [f"{key}: {word}" for key in texts.keys() for word in found_in(str(texts.raw(key)))]  # noqa: SIM118
    assert left == []


def test_no_retired_word_is_left_in_the_docs() -> None:
    """Nor in what people are given to read; history says what it said."""
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        ROOT / "etc" / "gitguard.toml",
        *ROOT.glob("man/*"),
    ]
    left = [
        f"{page.relative_to(ROOT)}:{number}: {word}"
        for page in sorted(pages)
        if page.name != "CHANGELOG.md"
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        for word in found_in(line)
    ]
    assert left == []


def test_the_retired_words_are_seen() -> None:
    """What looks for them finds them."""
    assert len(found_in("somebody demands that the void goes on, or: runs out")) == 6
