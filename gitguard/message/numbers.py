"""Whole numbers that someone else wrote. Pure; plain dialect."""


def number(text: str, most: int) -> "int | None":
    """The number that `text` is, written in ASCII digits alone and at most `most`; None for
    anything else, however long it is.

    `int` and `isdigit` know digits of every script, and thousands of them; neither is a
    parser for what others wrote.
    """
    if not text or len(text) > 20 or not text.isascii() or not text.isdigit():
        return None
    found = int(text)
    return found if found <= most else None
