"""Verify: prove a second factor, and a 2FA session opens in the same transaction."""

from __future__ import annotations

from msgspec import Struct

from gitguard.factor.attempt import Proof, TypedCode
from gitguard.factor.changes import told
from gitguard.factor.context import ProofContext
from gitguard.factor.person import Person
from gitguard.factor.proof import open_session, prove
from gitguard.session.moment import Moment
from gitguard.store.contract import Writing
from gitguard.store.rows import Session


class Verified(Struct, frozen=True):
    """An open session, and what proved it."""

    session: Session
    proof: Proof


def verify(context: ProofContext, person: Person, typed: bytes, moment: Moment) -> Verified:
    """Open a 2FA session for `person` if `typed` is a right code.

    Raises Refusal, as `prove` and `open_session` do; then no session was opened and no code is burned.
    """

    def change(tx: Writing, proof: Proof) -> Verified:
        told(tx, person, moment)
        return Verified(open_session(context, tx, person, moment, proof.method, proof.verified), proof)

    return prove(context, person, TypedCode(typed), moment, change, only_own=True)
