"""What a key alone may cause in an hour: records of the trail that take no code. Anyone who
has a copy of it fills nothing.

A file for each user and credential in the state folder holds the hour and the count. Ask inside the
transaction of what it allows: there, nobody else counts at the same time.
"""

from __future__ import annotations

import os
from _blake2 import blake2b

from gitguard.machine.files import put_quietly
from gitguard.message.numbers import number

FOLDER = "budgets"  # below the state folder
SECONDS = 3600
MOST = 30


def retry_at(state: str, user: str, credential: str, at: int) -> int | None:
    """Count one more at `at` (Unix seconds); None if allowed, else when the next
    is. If it cannot count, None.
    """
    folder = f"{state}/{FOLDER}"
    name = blake2b(f"{user}\n{credential}".encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    hour, count = at // SECONDS, 0
    try:
        with open(f"{folder}/{name}", encoding="ascii") as file:
            words = file.read(64).split()
        if len(words) == 2 and number(words[0], 1 << 40) == hour:
            count = number(words[1], 1 << 40) or 0
    except (OSError, UnicodeDecodeError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    if count >= MOST:
        return (hour + 1) * SECONDS
    put_quietly(f"{folder}/{name}", f"{hour} {count + 1}\n".encode())
    return None
