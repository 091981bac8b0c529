"""What someone presents to prove a second factor, and what it proves: values, whatever the factor."""

from __future__ import annotations

from msgspec import Struct

from gitguard.session.moment import Moment
from gitguard.store.rows import Change, Guessing


class TypedCode(Struct, frozen=True):
    """What was typed, as it came. `repr` does not show it."""

    typed: bytes

    def __repr__(self) -> str:
        return "TypedCode(...)"


Attempt = TypedCode  # a passkey's assertion and a sign-on's token are values beside it


class Proof(Struct, frozen=True):
    """A second factor was proved. `method` is totp or recovery-code; `verified`: when. `rejected`: the
    wrong codes since the last proof.

    `changes`: what changed since the last proof by this credential from this network, made elsewhere.
    """

    method: str
    enrolment: str
    recovery_codes_left: int
    verified: Moment
    rejected: Guessing | None = None
    changes: tuple[Change, ...] = ()
