"""What a foreign list offers, line by line, and what of it cannot be taken."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping

from msgspec import Struct

from gitguard.host.key_options import NewKey
from gitguard.identity.names import is_user_name

LEAST_SECRET_BYTES = 10  # 80 bits, what the older of these programs made


class ImportedFactor(Struct, frozen=True):
    """A TOTP secret in base32, and how its codes are computed; `repr` does not show it."""

    secret: str
    digits: int = 6
    period_seconds: int = 30

    def __repr__(self) -> str:
        return f"ImportedFactor(<secret>, {self.digits}, {self.period_seconds})"


class ImportedPerson(Struct, frozen=True):
    """What one line says of one person. `login` as it stands there; `unsure`: an address,
    or what they call themselves.
    """

    line: int
    login: str
    keys: tuple[NewKey, ...] = ()
    factor: ImportedFactor | None = None
    unsure: bool = False


class Skipped(Struct, frozen=True):
    """A line, or a part of one, that is not taken, and why."""

    line: int
    what: str
    why: str


class ImportedList(Struct, frozen=True):
    """All that a file offers."""

    people: tuple[ImportedPerson, ...]
    skipped: tuple[Skipped, ...]


def name_of_login(login: str, aliases: Mapping[str, str], domains: Collection[str]) -> str:
    """The user's name for a login of another system: `Alice Doe` is alice.doe; "" for nobody.

    An alias of the configuration comes first, whatever its letters' case. MUST: a login that holds an @ is
    unique in its domain alone, so it counts by an alias or where `domains` ([web] login_domains, in small
    letters) name the domain: or anyone who signs up as alice elsewhere would be our alice.
    """
    if named := name_of_alias(login, aliases):
        return named
    local, at, domain = login.strip().rpartition("@")
    if at and not (domain.isascii() and domain.lower() in domains):
        return ""
    return plain_name(local if at else login)


def name_of_alias(login: str, aliases: Mapping[str, str]) -> str:
    """The user's name that `[aliases]` gives the login, whatever its letters' case; "" for none."""
    wanted = _as_compared(login)
    return next((str(name) for alias, name in aliases.items() if _as_compared(alias) == wanted), "")


def _as_compared(login: str) -> str:
    """MUST: only what is small and large of one letter is the same; the Kelvin sign is no
    k, though its small letter is.
    """
    words = " ".join(word for word in login.split(" ") if word)
    return "".join(c if c.lower().isascii() and not c.isascii() else c.lower() for c in words)


def plain_name(login: str) -> str:
    """A name made of `login` in small letters, "" for none. Letters that only fold to ASCII give none."""
    plain = ".".join(login.split()).lower() if login.isascii() else ""
    return plain if is_user_name(plain) else ""


def base32_of(secret: bytes) -> str:
    """A raw secret as authenticators write it, without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def secret_fault(secret: str) -> str:
    """Why `secret` (base32) cannot be a TOTP secret, "" if it can."""
    try:
        raw = base64.b32decode(secret + "=" * (-len(secret) % 8))
    except (binascii.Error, ValueError):
        return "its secret is not base32"
    if len(raw) < LEAST_SECRET_BYTES:
        return f"its secret has {len(raw) * 8} bits, too few"
    return ""
