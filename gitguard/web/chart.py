"""Bars by day, stacked by kind, as numbers that a template draws. The table beside it says the same."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

WIDTH, HEIGHT, GAP = 600, 160, 4
MOST_KINDS = 5  # the rest is one kind of its own
OTHER = "other"


class Bar(Struct, frozen=True):
    """A rectangle; `kind` counts from 0, and its colour and pattern go by it."""

    x: float
    y: float
    width: float
    height: float
    kind: int
    date: str
    count: int


class Chart(Struct, frozen=True):
    """`kinds`: their names, the most frequent first; `highest`: what the top stands for;
    `rows`: (date, count by kind).
    """

    kinds: tuple[str, ...]
    bars: tuple[Bar, ...]
    highest: int
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    total: int
    width: int = WIDTH
    height: int = HEIGHT


def chart_of(days: list[tuple[str, dict[str, int]]]) -> Chart:
    """The chart of (date, count by kind)."""
    total: Counter[str] = Counter()
    for _, counts in days:
        total.update(counts)
    kinds = [kind for kind, count in total.most_common(MOST_KINDS) if count]
    if len([count for count in total.values() if count]) > len(kinds):
        kinds.append(OTHER)
    rows = [(date, tuple(_count(counts, kind, kinds) for kind in kinds)) for date, counts in days]
    highest = max((sum(row) for _, row in rows), default=0)
    step = WIDTH / max(len(days), 1)
    bars = []
    for place, (date, row) in enumerate(rows):
        below = 0
        for kind, count in enumerate(row):
            if not count:
                continue
            height = HEIGHT * count / highest
            top = HEIGHT - HEIGHT * below / highest - height
            bars.append(
                Bar(
                    round(place * step + GAP / 2, 1),
                    round(top, 1),
                    round(step - GAP, 1),
                    round(height, 1),
                    kind,
                    date,
                    count,
                )
            )
            below += count
    return Chart(tuple(kinds), tuple(bars), highest, tuple(rows), sum(total.values()))


def _count(counts: dict[str, int], kind: str, kinds: list[str]) -> int:
    if kind == OTHER and OTHER not in counts:
        return sum(count for name, count in counts.items() if name not in kinds)
    return max(counts.get(kind, 0), 0)
