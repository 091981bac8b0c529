"""Who types."""

from __future__ import annotations

from msgspec import Struct

from gitguard.session.credential import Credential


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
