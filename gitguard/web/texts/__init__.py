"""Every sentence of the page: one catalogue a language, as TOML. Another language is another file."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

from markupsafe import Markup, escape

ENGLISH = "en"


class Texts:
    """The sentences of one language. `lang` is its tag, as `<html lang>` has it."""

    def __init__(self, lang: str = ENGLISH) -> None:
        data = (resources.files(__name__) / f"{lang}.toml").read_text(encoding="utf-8")
        self.lang = lang
        self._sentences = flat(tomllib.loads(data))

    def __call__(self, key: str, /, **facts: object) -> Markup:
        """The sentence of `key` with `facts` filled in, each made safe. Raises KeyError for one that is not there."""
        return escape(self._sentences[key]).format(**facts)

    def has(self, key: str) -> bool:
        """Whether there is such a sentence."""
        return key in self._sentences


def flat(table: dict[str, Any], before: str = "") -> dict[str, str]:
    """`{"a": {"b": "c"}}` as `{"a.b": "c"}`."""
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{key}.")
        else:
            found[before + key] = value
    return found
