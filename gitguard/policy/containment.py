"""Whether one pattern lies within another, so that a rule below can never be first. Pure."""

from __future__ import annotations

from functools import cache


@cache
def lies_within(inner: str, outer: str) -> bool:
    """Whether whatever fits the pattern `inner` fits `outer` too. Sometimes no where it does;
    never yes where it does not.
    """
    return _parts_within(tuple(inner.split("/")), tuple(outer.split("/")))


def _parts_within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    if not outer or not inner:
        return not outer and not inner
    if outer[0] == "**":
        if len(outer) == 1:
            return True  # at the end it stands for whatever is left, and something is
        return any(_parts_within(inner[skipped:], outer[1:]) for skipped in range(len(inner) + 1))
    return inner[0] != "**" and _letters_within(inner[0], outer[0]) and _parts_within(inner[1:], outer[1:])


def _letters_within(inner: str, outer: str) -> bool:
    """The same within one part: a star of `inner` can be taken by a star of `outer` alone."""
    if not outer or not inner:
        return not inner and not outer.strip("*")
    if outer[0] == "*":
        return any(_letters_within(inner[skipped:], outer[1:]) for skipped in range(len(inner) + 1))
    return inner[0] == outer[0] and _letters_within(inner[1:], outer[1:])
