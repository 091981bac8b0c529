"""Every sentence of the page: one catalogue a language, as TOML. Another language is another
file, beside the configuration.
"""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from typing import Any

from markupsafe import Markup, escape

from gitguard.message.reasons import Refusal

ENGLISH = "en"


class Texts:
    """The sentences of one language, in English where it lacks one. `lang`: its tag, as in `<html lang>`."""

    def __init__(self, lang: str = ENGLISH, folder: str = "") -> None:
        """`folder`: where languages other than English lie. Raises Refusal("usage") where that
        one is not there or not TOML.
        """
        data = (resources.files(__name__) / f"{ENGLISH}.toml").read_text(encoding="utf-8")
        self.lang = lang
        self._sentences = flat(tomllib.loads(data))
        if lang != ENGLISH:
            self._sentences |= self._others(os.path.join(folder, f"{lang}.toml"))

    def _others(self, path: str) -> dict[str, str]:
        try:
            with open(path, "rb") as file:
                found = flat(tomllib.load(file))
        except (OSError, ValueError) as error:
            raise Refusal(
                "usage", text=f"[web] language is {self.lang}, but {path} cannot be read: {error}"
            ) from None
        for key, text in found.items():
            wanted = set(_names(self._sentences.get(key, "")))
            if key in self._sentences and not set(_names(text)) <= wanted:
                raise Refusal(
                    "usage",
                    text=f"{path}: {key} fills in other words than {', '.join(sorted(wanted)) or 'none'}",
                )
        return found

    def __call__(self, key: str, /, **facts: object) -> Markup:
        """The sentence of `key` with `facts` filled in, each made safe. Raises KeyError for a missing one."""
        return escape(self._sentences[key]).format(**facts)

    def has(self, key: str) -> bool:
        """Whether there is such a sentence."""
        return key in self._sentences

    def keys(self) -> list[str]:
        """The key of each sentence."""
        return list(self._sentences)

    def raw(self, key: str) -> str:
        """The sentence of `key` as it stands in the file."""
        return self._sentences[key]


def _names(text: str) -> list[str]:
    """The words in braces."""
    import string

    try:
        return [name for _, name, _, _ in string.Formatter().parse(str(text)) if name is not None]
    except ValueError:
        return ["?"]


def flat(table: dict[str, Any], before: str = "") -> dict[str, str]:
    """`{"a": {"b": "c"}}` as `{"a.b": "c"}`."""
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{key}.")
        else:
            found[before + key] = str(value)
    return found
