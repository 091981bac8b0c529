"""One catalogue, and every sentence of it in use."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from gitguard.message.reasons import REFUSED, Refusal
from gitguard.web.texts import Texts, flat

WEB = Path(__file__).resolve().parents[2] / "gitguard" / "web"
# Keys that a template or a module puts together: what stands before the part that varies.
MADE = ("changed.", "account.done.", "repository.done.", "repository.words.", "person.done.", "people.states.", "people.filter.",
        "rules.operations.", "rules.facts.", "doctor.levels.", "event.", "act.", "effect.", "button.", "method.", "concern.", "plain.", "reason.", "admin.")  # fmt: skip


def _used() -> set[str]:
    sources = [path.read_text() for path in [*WEB.rglob("*.html"), *WEB.rglob("*.py")]]
    return {
        key
        for text in sources
        for key in re.findall(r"""\b(?:t|texts\(\)|said|say)\(\s*['"]([\w.-]+)['"]""", text)
    }


def test_every_sentence_that_is_used_is_there() -> None:
    """A key without a sentence would be an error page."""
    texts = Texts()
    used = _used()
    assert len(used) > 100
    assert [key for key in sorted(used) if not key.endswith(".") and not texts.has(key)] == []
    for act in (
        "account-always-on",
        "account-remove",
        "repositories-require",
        "verify-not_me",
        "people-suspend",
    ):
        assert texts.has(f"act.{act}")
    ours = [reason for reason in REFUSED if Refusal(reason).is_our_fault]
    assert [r for r in REFUSED if r not in ours and not texts.has(f"reason.{r}")] == [
        "no-grant", "malformed-command", "unknown-command", "hook-not-live",
    ], "reasons that no page can meet"  # fmt: skip


def test_every_sentence_is_used() -> None:
    """What nobody says is deleted."""
    used = _used()
    keys = flat(tomllib.loads((WEB / "texts" / "en.toml").read_text()))
    assert [key for key in keys if key not in used and not key.startswith(MADE)] == []


def test_no_sentence_stands_in_a_template() -> None:
    """Whoever translates finds everything in the catalogue."""
    for path in WEB.rglob("*.html"):
        text = re.sub(
            r"{% block width %}\w+|{%.*?%}|{{.*?}}|<[^>]*>|{#.*?#}", " ", path.read_text(), flags=re.DOTALL
        )
        words = re.findall(r"[A-Za-z]{3,}", text)
        assert set(words) <= {"gitguard"}, (path.name, words)


def test_what_is_filled_in_is_text() -> None:
    """A name that looks like HTML stays a name."""
    assert Texts()("request.push", repository="<b>x</b>") == "push to &lt;b&gt;x&lt;/b&gt;"
