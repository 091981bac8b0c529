"""Who types, and the records of what they do about themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from gitguard.session.credential import Credential
from gitguard.store.contract import Writing

if TYPE_CHECKING:
    from gitguard.session.moment import Moment


class Person(Struct, frozen=True):
    """Who types, with which credential, from where: from the forced command, never from the client.

    `signed_in_by`: what signed their browser in, whose budget of wrong codes is the browser's too.
    """

    user: str
    credential: Credential
    address: str
    signed_in_by: Credential | None = None

    @property
    def budget_key(self) -> str:
        """Wrong codes count against this credential; otherwise each sign-in would get a fresh budget."""
        return (self.signed_in_by or self.credential).text


def record(tx: Writing, event: str, person: Person, moment: Moment, **details: object) -> None:
    """One audit record of something that `person` did about themselves."""
    tx.record(
        event,
        moment.at,
        person.user,
        user=person.user,
        key=person.credential.text,
        address=person.address,
        **details,
    )
