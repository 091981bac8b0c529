"""Columns of other programs' lists that say who may not come in: a person who is not
plainly active there is none here.
"""

from __future__ import annotations

import datetime as dt
import re

from gitguard.message.numbers import number

_ACTIVE = ("state", "status", "user_state", "user_status", "account_status")
_ON = ("active", "is_active", "enabled", "is_enabled", "accountenabled", "account_enabled")
_OFF = (
    "blocked", "is_blocked", "disabled", "is_disabled", "locked", "is_locked", "suspended", "is_suspended", "deactivated",
    "archived", "is_archived", "deleted", "is_deleted", "banned", "inactive", "prohibit_login", "prohibitlogin", "is_restricted",
    "nsaccountlock", "pwdaccountlockedtime", "account_locked",
)  # fmt: skip
_ENDS = (
    "expires", "expires_at", "expires_on", "expire", "expiry", "expiry_date", "expiration", "expiration_date", "account_expires",
    "accountexpires", "valid_until", "shadowexpire", "access_expires_at", "membership_expires_at",
)  # fmt: skip
_FLAGS = "useraccountcontrol"  # Active Directory's; bit 2 is ACCOUNTDISABLE
_DISABLED = 2

_YES = ("true", "1", "yes", "y", "t", "on", "active", "enabled")
_NO = ("", "false", "0", "no", "n", "f", "off", "-", "never", "none", "null")
_NEVER = ("", "-", "-1", "never", "none", "null")
_NEVER_IN_WINDOWS = ("0", "9223372036854775807")  # accountExpires alone


def is_limit(head: str) -> bool:
    """Whether a column of this head (small letters, _ for blanks) says who is active, or until when."""
    return head in (*_ACTIVE, *_ON, *_OFF, *_ENDS, _FLAGS)


def limited(head: str, value: str, at: int) -> str:
    """Why `value` in the column `head` means not plainly active at `at` (Unix seconds); "" if active."""
    word = value.strip().casefold()
    if head in _ACTIVE:
        active = word in ("active", "enabled", "ok")
    elif head in _ON:
        active = word in _YES
    elif head in _OFF:
        active = word in _NO
    elif head == _FLAGS:
        active = bool(re.fullmatch(r"[0-9]{1,10}", word)) and not int(word) & _DISABLED
    else:
        ends = _days(word) if head == "shadowexpire" else _moment_of(word)
        never = word in _NEVER or (
            head in ("accountexpires", "account_expires") and word in _NEVER_IN_WINDOWS
        )
        active = never or (ends is not None and at < ends)
    return "" if active else f"not plainly active: its {head} is {value.strip()[:60] or 'empty'!s}"


def _days(text: str) -> float | None:
    """shadow(5): whole days since 1970, from whose first moment on the account is locked. 0 was long ago."""
    days = number(text, 1 << 40)
    return None if days is None else days * 86400.0


def _moment_of(text: str) -> float | None:
    """The end of a date, or a moment, in Unix seconds; None for what is neither."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return dt.datetime.fromisoformat(text).astimezone().timestamp() + 86400
        return dt.datetime.fromisoformat(text.upper()).astimezone().timestamp()
    except (ValueError, OverflowError):
        return None
