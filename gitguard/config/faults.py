"""What is wrong with a file that an admin wrote, and TOML read so that it can be said: by line,
with the nearest right word.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

import msgspec

from gitguard.message.reasons import Refusal

LONGEST_FILE = 4 * 1024 * 1024
LONGEST_LIST = 64 * 1024 * 1024  # of people and keys: the export of 100 000 people is 20 MB


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: line and column (0 if unknown), where, what, and the way out."""

    line: int
    where: str
    what: str
    column: int = 0

    def __str__(self) -> str:
        text = f"line {self.line}: {self.where}: {self.what}" if self.line else f"{self.where}: {self.what}"
        return f"{text} (column {self.column})" if self.column else text


class ConfigurationError(Refusal):
    """The configuration cannot be used; `.faults` holds every reason."""

    def __init__(self, path: str, faults: list[Fault]) -> None:
        self.path = path
        self.faults = faults
        super().__init__("config-invalid", "; ".join(f"{path}: {fault}" for fault in faults[:5]))


def read_toml(data: bytes, path: str, most: int = LONGEST_FILE) -> tuple[str, dict[str, Any]]:
    """(the text, its tables) of at most `most` bytes. Raises
    ConfigurationError with the line of the fault.
    """
    if len(data) > most:
        raise ConfigurationError(path, [Fault(0, "file", f"longer than {most >> 20} MiB")])
    try:
        text = data.decode("utf-8-sig")  # some editors begin a file with a mark of their own
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            path, [Fault(line, "file", "not UTF-8; convert it, say: iconv -f latin1 -t utf-8")]
        ) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines())
        raise ConfigurationError(path, [Fault(line, "syntax", f"{error}{_meant(text, line)}")]) from None


def _meant(text: str, line: int) -> str:
    """What was probably meant by a line that is no TOML, "" where that cannot be said."""
    lines = text.splitlines()
    found = (
        re.search(r"=\s*(\d{1,2})\.(\d{1,2})\.(\d{4})\b", lines[line - 1]) if 0 < line <= len(lines) else None
    )
    return f"; a date is written {found[3]}-{int(found[2]):02}-{int(found[1]):02}" if found else ""


def check_end(data: bytes, path: str) -> None:
    """Raises ConfigurationError where the last line has no end: what is cut off may be what limits."""
    if data and not data.endswith(b"\n"):
        what = "its last line has no end: was it cut off? Let an empty line be its last"
        raise ConfigurationError(path, [Fault(data.count(b"\n") + 1, "file", what)])


def nearest(word: str, words: list[str]) -> str:
    """`; did you mean X?` for the nearest of `words`, "" if none is near."""
    import difflib  # only where something is wrong

    close = difflib.get_close_matches(word, words, 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
