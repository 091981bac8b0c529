"""What a policy is expected to answer: rows of a TOML file, judged by a configuration alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from msgspec import Struct

from gitguard.config.faults import LONGEST_LIST, ConfigurationError, Fault, check_end, nearest, read_toml
from gitguard.config.rules import policy_of
from gitguard.config.schema import Settings
from gitguard.config.toml_lines import tables_of
from gitguard.config.types import format_duration, seconds_of
from gitguard.message.reasons import Refusal, readable
from gitguard.policy.glob import whole_ref
from gitguard.policy.situation import Situation
from gitguard.repository.spelling import name_of
from gitguard.session.scope import network_of

ASKED = ("user", "repository", "operation", "ref", "from", "at")
WANTED = ("verdict", "lifetime", "rule")
VERDICTS = ("required", "not-required", "exempt")


class Expected(Struct, frozen=True):
    """One row: what is asked, what is wanted (left out: not compared), and the line that it begins on."""

    line: int
    asked: dict[str, str]
    wanted: dict[str, str | None]


class Outcome(Struct, frozen=True):
    """`got` has `verdict`, `lifetime` and `rule`; `differs` names those that were wanted otherwise."""

    expected: Expected
    got: dict[str, str | None]

    @property
    def differs(self) -> list[str]:
        """Which of them differ."""
        return [name for name, value in self.expected.wanted.items() if self.got[name] != value]


def read_expectations(data: bytes, path: str) -> list[Expected]:
    """The rows of `data`. Raises ConfigurationError with every fault and its line."""
    text, tables = read_toml(data, path, LONGEST_LIST)
    check_end(data, path)
    lines = tables_of(text.splitlines(), "expect")
    faults = [
        Fault(0, name, "unknown table" + nearest(name, ["expect"])) for name in tables if name != "expect"
    ]
    rows: list[Expected] = []
    entries = tables.get("expect", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigurationError(path, [Fault(0, "expect", "expected tables, [[expect]]")])
    for number, entry in enumerate(entries):
        line = lines[number] if number < len(lines) else 0
        row, wrong = _row(entry, line)
        faults += [Fault(line, "[[expect]]", what) for what in wrong]
        rows.append(row)
    if faults:
        raise ConfigurationError(path, faults)
    return rows


def _row(entry: dict[str, object], line: int) -> tuple[Expected, list[str]]:
    """One table of the file as a row, and what is wrong with it."""
    wrong = [
        f"unknown key {readable(name, 60)!r}" + nearest(name, [*ASKED, *WANTED])
        for name in entry
        if name not in (*ASKED, *WANTED)
    ]
    words = {name: _text(value) for name, value in entry.items()}
    wrong += [f"{name} is missing" for name in ("user", "repository") if not words.get(name)]
    wrong += _asked_faults(words)
    wrong += _wanted_faults(words)
    asked = {name: words[name] for name in ASKED if name in words}
    return Expected(line, asked, {name: words[name] or None for name in WANTED if name in words}), wrong


def _asked_faults(words: dict[str, str]) -> Iterator[str]:
    """What is wrong with the question. The repository's name is put in its plain form."""
    operation = words.get("operation", "push")
    if operation not in ("read", "push"):
        yield f"operation {operation!r} is not read or push" + nearest(operation, ["read", "push"])
    if "ref" in words and operation != "push":
        yield "ref belongs to a push"
    if words.get("from") and network_of(words["from"]) is None:
        yield f"from {words['from']!r} is not an IP address"
    if words.get("repository"):
        try:
            words["repository"] = name_of(words["repository"], ())[0]
        except Refusal:
            yield f"repository {words['repository']!r} cannot be a repository's name"
    if "at" in words:
        try:
            _moment(words["at"])
        except ValueError as error:
            yield str(error)


def _wanted_faults(words: dict[str, str]) -> Iterator[str]:
    """What is wrong with the expected answer. The lifetime is put in its plain form."""
    if not any(name in words for name in WANTED):
        yield "nothing is expected: give verdict, lifetime or rule"
    verdict = words.get("verdict")
    if verdict is not None and verdict not in VERDICTS:
        yield f"verdict {verdict!r} is not one of {', '.join(VERDICTS)}" + nearest(verdict, list(VERDICTS))
    if words.get("lifetime"):
        try:
            words["lifetime"] = format_duration(seconds_of(words["lifetime"]))
        except ValueError as error:
            yield str(error)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _moment(text: str) -> int:
    try:
        return int(dt.datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError):
        raise ValueError(f"at {text!r} is not a date or date-time, such as 2027-01-31T12:00:00") from None


def tried(settings: Settings, rows: list[Expected], at: int) -> list[Outcome]:
    """What `settings` answer to each row; `at` (Unix seconds) where a row names no time. Toggles and `always`
    are the store's, so none are set.
    """
    policy = policy_of(settings)
    outcomes = []
    for row in rows:
        asked = row.asked
        ref = asked.get("ref", "")
        demanded = policy.demands(
            Situation(
                asked["user"],
                asked.get("operation", "push"),
                repository=(asked["repository"], "none", None),
                address=asked.get("from", ""),
                at=_moment(asked["at"]) if "at" in asked else at,
                refs=(("", "", whole_ref(ref)),) if ref else (),
            )
        )
        seconds = demanded.lifetime_seconds
        verdict = "required" if demanded.required else "exempt" if demanded.exempt else "not-required"
        lifetime = None if seconds is None else format_duration(seconds)
        got = {"verdict": verdict, "lifetime": lifetime, "rule": demanded.rule or None}
        outcomes.append(Outcome(row, got))
    return outcomes
