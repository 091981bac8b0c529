"""Where things stand in a TOML file, so a fault can name its line: the library that reads it does not say."""

from __future__ import annotations

import re

_HEADER = r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$"
_KEY = r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*="""


def line_of(lines: list[str], table: str, key: str, index: int) -> int:
    """The line (from 1) of `key` in the `index`-th `[table]`.

    Where the key has no line of its own (an inline table), the line of the table; 0 if there is none either.
    """
    current, seen, header = "", -1, 0
    for number, line in outside_strings(lines):
        if found := re.match(_HEADER, line):
            current = found[1].strip("\"'")
            if current.split(".")[0] == table:
                seen += 1
                header = header or (number if seen >= index else 0)
                if header and not key:
                    return header
        elif found := re.match(_KEY, line):
            words = [word.strip().strip("\"'") for word in found[1].split(".")]
            whole = ([current] if current else []) + words
            if whole[0] == table and (key in whole[1:] or not key) and max(seen, 0) == index:
                return number
            if whole[0] == table and not header and max(seen, 0) == index:
                header = number
    return header


def outside_strings(lines: list[str]) -> list[tuple[int, str]]:
    """The lines that do not lie inside a multi-line string, with their numbers."""
    kept, closing = [], ""
    for number, line in enumerate(lines, 1):
        if closing:
            closing = "" if closing in line else closing
            continue
        kept.append((number, line))
        for mark in ('"""', "'''"):
            if line.count(mark) % 2:
                closing = mark
    return kept


def tables_of(lines: list[str], name: str) -> list[int]:
    """The lines (from 1) on which the tables `[[name]]` begin."""
    head = re.compile(rf"\s*\[\[\s*{re.escape(name)}\s*\]\]")
    return [number for number, line in outside_strings(lines) if head.match(line)]


def key_of(lines: list[str], begin: int, key: str) -> tuple[int, int]:
    """(line, column), each from 1, of `key` in the table that begins on the line `begin`; (0,
    0) if it has none of its own.
    """
    for number, text in outside_strings(lines):
        if number > begin and text.lstrip().startswith("["):
            break
        if number >= max(begin, 1) and (found := re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", text)):
            return number, len(found[0]) - len(found[0].lstrip()) + 1
    return 0, 0


def column_of(lines: list[str], line: int, key: str) -> int:
    """Where `key` begins in its line, from 1; for a table's own line, where that begins; 0
    where the line is not known.
    """
    if not 0 < line <= len(lines):
        return 0
    text = lines[line - 1]
    found = text.find(key) if key else -1
    return (found if found >= 0 else len(text) - len(text.lstrip())) + 1
