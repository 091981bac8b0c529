"""How a 2FA session was opened, and what that means: a row a method. Store, trail and JSON use the words."""

from __future__ import annotations

from typing import NamedTuple

TOTP, RECOVERY_CODE, ENROLMENT, ADMIN = "totp", "recovery-code", "enrolment", "admin"


class Method(NamedTuple):
    """`by_factor`: the person proved a second factor of their own; `by_code`: one that they had before."""

    by_factor: bool
    by_code: bool


_METHODS = {
    TOTP: Method(by_factor=True, by_code=True),
    RECOVERY_CODE: Method(by_factor=True, by_code=True),
    ENROLMENT: Method(by_factor=True, by_code=False),
    ADMIN: Method(by_factor=False, by_code=False),
}
_UNKNOWN = Method(by_factor=False, by_code=False)


def method_of(name: str) -> Method:
    """The method `name`. MUST: of one that is not known nothing is believed."""
    return _METHODS.get(name, _UNKNOWN)
