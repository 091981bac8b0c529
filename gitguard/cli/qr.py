"""A QR code for a terminal. segno computes it; foreground and background are always set explicitly, since a
scanner needs dark on light whatever the terminal's colours are.
"""

from __future__ import annotations

_BORDER = 2
# Black and white of the fixed 256-colour cube, which themes leave alone.
_DARK, _LIGHT = 16, 231
_RESET = "\x1b[0m"


def draw(text: str, size: str) -> str:
    """`text` as a QR code: `small` (UTF-8 half blocks), `large` (spaces, any encoding), `none` ("")."""
    if size == "none":
        return ""
    rows = _modules(text)
    lines = _small(rows) if size in ("auto", "small") else _large(rows)
    return "\n".join(lines) + "\n"


def width(text: str) -> int:
    """The columns that `large` takes for `text`."""
    return 2 * len(_modules(text)[0])


def _modules(text: str) -> list[list[bool]]:
    import segno  # heavy to load, and only enrolment draws

    code = segno.make(text, error="l", boost_error=False, micro=False)
    return [[bool(module) for module in row] for row in code.matrix_iter(border=_BORDER)]


def _small(rows: list[list[bool]]) -> list[str]:
    """Two rows a line: the upper half block's foreground is the upper module, its background the lower."""
    if len(rows) % 2:
        rows = [*rows, [False] * len(rows[0])]
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        cells = [
            f"\x1b[38;5;{_colour(u)};48;5;{_colour(d)}m\u2580" for u, d in zip(upper, lower, strict=True)
        ]
        lines.append("".join(cells) + _RESET)
    return lines


def _large(rows: list[list[bool]]) -> list[str]:
    """One row a line, two spaces a module, told by the background alone."""
    return [
        "".join(f"\x1b[38;5;{_colour(not dark)};48;5;{_colour(dark)}m  " for dark in row) + _RESET
        for row in rows
    ]


def _colour(dark: bool) -> int:
    return _DARK if dark else _LIGHT
