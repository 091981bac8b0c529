"""TOTP by RFC 6238: which time steps a code fits. pyotp computes, this file compares.

pyotp is loaded where a code is looked at: most commands look at none.

MUST: every candidate is computed and compared in constant time before anything is decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import pyotp

WINDOW = 1  # steps either side that are accepted: RFC 6238, section 5.2
CLOCK_SEARCH = 20  # steps either side in which a wrong clock is recognised (ten minutes at 30 s)
SECRET_CHARACTERS = 32  # base32 for 160 bits: RFC 4226, section 4, R6


class Parameters(Struct, frozen=True):
    """How an authenticator computes. `secret` is base32; `repr` does not show it."""

    secret: str
    digits: int = 6
    period_seconds: int = 30
    algorithm: str = "SHA1"

    def __repr__(self) -> str:
        return f"Parameters(<secret>, {self.digits}, {self.period_seconds}, {self.algorithm})"

    def step(self, at: int) -> int:
        """The time step of `at`."""
        return at // self.period_seconds

    def code(self, step: int) -> str:
        """The code of `step`."""
        return self.totp().generate_otp(step)

    def totp(self) -> pyotp.TOTP:
        """Pyotp's object for these parameters."""
        import hashlib

        import pyotp

        digest = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}[self.algorithm]
        return pyotp.TOTP(self.secret, digits=self.digits, digest=digest, interval=self.period_seconds)

    def uri(self, user: str, issuer: str) -> str:
        """The otpauth:// link that an app scans or opens."""
        from urllib.parse import quote

        # The issuer as a parameter alone: apps take it from there, and twice would enlarge the QR code.
        link = self.totp().provisioning_uri(name=user)
        return f"{link}&issuer={quote(issuer)}"


def new_secret() -> str:
    """A fresh base32 secret of 160 random bits."""
    import pyotp

    return pyotp.random_base32(SECRET_CHARACTERS)


def fitting_steps(parameters: Parameters, code: str, at: int, reach: int = WINDOW) -> list[int]:
    """The steps at most `reach` from `at` whose code is `code`, ascending. All of them are compared."""
    import hmac

    now = parameters.step(at)
    totp = parameters.totp()
    steps = range(max(now - reach, 0), now + reach + 1)
    fits = [(step, hmac.compare_digest(totp.generate_otp(step), code)) for step in steps]
    return [step for step, fit in fits if fit]
