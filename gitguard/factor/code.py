"""What a person typed: a TOTP code, a recovery code, or no code at all. Pure; nothing is compared here."""

from __future__ import annotations

from typing import NamedTuple

from gitguard.message.reasons import Refusal

LONGEST_BYTES = 64
# 32 letters (5 bits each) that no one confuses: no 0/O, no 1/l; case is ignored.
ALPHABET = "ABCDEFGHIJKMNPQRSTUVWXYZ23456789"
RECOVERY_LENGTH = 16  # 80 random bits


class Code(NamedTuple):
    """`kind` is totp or recovery; `text` is canonical (digits, or 16 letters of `ALPHABET`)."""

    kind: str
    text: str


def read_code(typed: bytes, digits: int) -> Code:
    """The code in `typed`. Costs nothing: what is not a code is not a failure.

    Exactly `digits` digits once spaces are removed, or the shape of a recovery code, as people copy them:
    digits of any script by their value, whatever dash, and 1 or l for I. Raises Refusal("not-a-code").
    """
    if len(typed) <= LONGEST_BYTES:
        compact = plain(typed.decode("utf-8", "replace").strip("\r\n")).replace(" ", "")
        if len(compact) == digits and all(c in "0123456789" for c in compact):
            return Code("totp", compact)
        letters = letters_of(compact)
        if len(letters) == RECOVERY_LENGTH and all(c in ALPHABET for c in letters):
            return Code("recovery", letters)
    raise Refusal("not-a-code", hint=_invisible(typed), digits=digits)


def letters_of(text: str) -> str:
    """`text` without dashes, in the letters of `ALPHABET`: it has neither 1 nor l, which are
    misread for I; nor 0, for O.
    """
    return text.replace("-", "").upper().replace("1", "I").replace("L", "I").replace("0", "O")


def plain(text: str) -> str:
    """`text` with each digit in ASCII, by its value, and each dash as `-`: what phones and
    word processors make of them.
    """
    if text.isascii():
        return text
    import unicodedata

    shown = []
    for letter in text:
        digit = unicodedata.decimal(letter, None)
        is_dash = unicodedata.category(letter) == "Pd" or letter == "\N{MINUS SIGN}"
        shown.append("-" if is_dash else letter if digit is None else str(digit))
    return "".join(shown)


def _invisible(typed: bytes) -> str:
    """A hint where the cause cannot be seen: a no-break space, a mark, a tab that came with a paste."""
    text = typed[:LONGEST_BYTES].decode("utf-8", "replace").strip(" \r\n")
    hidden = [c for c in text if not c.isprintable() or (c.isspace() and c != " ")]
    if not hidden:
        return ""
    return (
        f"it holds something invisible (U+{ord(hidden[0]):04X}), as pasted text may; type the digits by hand"
    )


def new_recovery_code() -> str:
    """A fresh recovery code in canonical form."""
    import secrets

    return "".join(secrets.choice(ALPHABET) for _ in range(RECOVERY_LENGTH))


def in_groups(text: str, size: int = 4, separator: str = "-") -> str:
    """`text` in groups of `size`, as people copy it."""
    return separator.join(text[start : start + size] for start in range(0, len(text), size))
