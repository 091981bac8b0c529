"""Second factors of other programs: ~/.google_authenticator of
pam_google_authenticator, users.oath of pam_oath.

Sources: google-authenticator-libpam's FILEFORMAT; oath-toolkit's "usersfile". Only time-based codes are
taken: a counter would have to be kept in two places.
"""

from __future__ import annotations

import re

from gitguard.importers.imported import (
    ImportedFactor,
    ImportedList,
    ImportedPerson,
    Skipped,
    base32_of,
    secret_fault,
)
from gitguard.message.numbers import number
from gitguard.message.reasons import Refusal

_LONGEST_PERIOD = 86400  # seconds; what is longer is no period at all

_FORGOTTEN = {  # options that mean nothing here, since ours are stricter or elsewhere
    "RATE_LIMIT": "[throttle] holds here",
    "WINDOW_SIZE": "one step either side counts here",
    "TIME_SKEW": "no clock drift is learned here",
    "RESETTING_TIME_SKEW": "no clock drift is learned here",
    "DISALLOW_REUSE": "a code counts once here, always",
    "LAST": "it belongs to other lists of logins",
}
_TYPE = re.compile(r"HOTP(?:/(?:(E)|T(\d+)))?(?:/(\d))?$")


def read_google_authenticator(data: bytes, login: str) -> ImportedList:
    """The secret of one person's file, whose first line it is. Raises Refusal("usage") for anything else."""
    lines = data.decode("ascii", "replace").splitlines()
    secret = "".join(lines[0].split()).rstrip("=").upper() if lines else ""  # some write it in groups of four
    if not re.fullmatch(r"[A-Z2-7]{8,}", secret):
        raise Refusal("usage", text="line 1, column 1: the file does not begin with a secret in base32")
    skipped: list[Skipped] = []
    period: int | None = 30
    timed = False
    for at, line in enumerate(lines[1:], 2):
        word, _, value = line.removeprefix('" ').partition(" ")
        if not line.strip():
            continue
        if not line.startswith('" '):
            skipped.append(
                Skipped(
                    at,
                    "a scratch code",
                    "eight digits are too few for a recovery code here; make new ones with: 2fa recovery-codes",
                )
            )
        elif word == "TOTP_AUTH":
            timed = True
        elif word == "STEP_SIZE":
            period = number(value.strip(), _LONGEST_PERIOD)
        elif word == "HOTP_COUNTER":
            timed = False
        else:
            known = next(
                (why for option, why in _FORGOTTEN.items() if word.startswith(option)), "it is not known here"
            )
            skipped.append(Skipped(at, word, known))
    if not timed:
        return ImportedList(
            (),
            (
                *skipped,
                Skipped(1, "the secret", "it is counter-based (HOTP), and only time-based codes are taken"),
            ),
        )
    if period is None:
        why = "how long its codes last (STEP_SIZE) cannot be read"
        return ImportedList((), (*skipped, Skipped(1, "the secret", why)))
    if fault := secret_fault(secret) or _period_fault(period):
        return ImportedList((), (*skipped, Skipped(1, "the secret", fault)))
    return ImportedList((ImportedPerson(1, login, factor=ImportedFactor(secret, 6, period)),), tuple(skipped))


def read_oath(data: bytes) -> ImportedList:
    """`TYPE USER PIN SECRET ...`, a line each; the secret in hexadecimal digits."""
    people, skipped = [], []
    for line_number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 4:
            skipped.append(Skipped(line_number, words[0], "it is not a line of TYPE USER PIN SECRET"))
            continue
        kind, login, pin, secret = words[:4]
        found = _TYPE.fullmatch(kind)
        digits = number(found[3] or "6", 9) or 0 if found else 0
        period = (number(found[2] or "0", _LONGEST_PERIOD) or 0) if found else 0
        if found is None:
            why = "its type is not known here; time-based codes are HOTP/T30"
            skipped.append(Skipped(line_number, f"{kind} of {login}", why))
        elif not period:
            why = "it is counter-based, and only time-based codes (HOTP/T30) are taken"
            skipped.append(Skipped(line_number, f"{kind} of {login}", why))
        elif pin not in ("-", "+"):
            skipped.append(
                Skipped(
                    line_number, f"{kind} of {login}", "it has a PIN, which nobody would be asked for here"
                )
            )
        elif not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", secret):
            skipped.append(
                Skipped(line_number, f"{kind} of {login}", "its secret is not in hexadecimal digits")
            )
        elif (
            fault := secret_fault(base32_of(bytes.fromhex(secret)))
            or _period_fault(period)
            or _digits_fault(digits)
        ):
            skipped.append(Skipped(line_number, f"{kind} of {login}", fault))
        else:
            people.append(
                ImportedPerson(
                    line_number,
                    login,
                    factor=ImportedFactor(base32_of(bytes.fromhex(secret)), digits, period),
                )
            )
    return ImportedList(tuple(people), tuple(skipped))


def _period_fault(period: int) -> str:
    return "" if 15 <= period <= 120 else f"its codes last {period} seconds; 15 to 120 are possible here"


def _digits_fault(digits: int) -> str:
    return "" if digits in (6, 7, 8) else f"its codes have {digits} digits; 6, 7 or 8 are possible here"
