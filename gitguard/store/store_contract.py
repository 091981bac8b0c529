"""The place where transactions happen, as any store keeps it; contract.py has what holds for all of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from gitguard.store.chain import Head
from gitguard.store.reading_contract import Reading
from gitguard.store.rows import Health, Recorded
from gitguard.store.writing_contract import Writing


class Store(Protocol):
    """A place where transactions happen.

    `lags`: why the audit head outside could not follow the last change, "" if it did. The change stands all
    the same. `heard`: is given what a transaction recorded once that is committed, and never what was taken
    back. It raises nothing: the change stands. `place`: where it is, in words for people; `head`: the newest
    audit hash outside it; `why_head_lags`: how it comes that this one is older, in order.
    """

    place: str
    why_head_lags: str
    head: Head
    lags: str
    heard: Callable[[list[Recorded]], None]

    def reading(self) -> AbstractContextManager[Reading]:
        """One state of the store, for questions."""

    def writing(self) -> AbstractContextManager[Writing]:
        """One transaction: committed at the end of the block, taken back by any exception."""

    def writing_for(self, user: str) -> AbstractContextManager[Writing]:
        """The same for a change that touches nothing but what is `user`'s own, and the trail: where the
        store can, other people's go on beside it. MUST: it asks for no record of the trail.
        """

    def integrity(self) -> str:
        """What the database's own check finds wrong, "" if nothing."""

    def backup(self, target: str) -> None:
        """Copy the whole store to the file `target` while others use it. Raises Refusal."""

    def renew_head(self) -> None:
        """Write the newest hash outside the store, whatever stood there. Raises Refusal."""

    def size(self) -> int:
        """How many bytes it takes. In no transaction."""

    def be_patient(self) -> None:
        """From now on a transaction may take minutes, as a copy does."""

    def health(self) -> Health:
        """What there is to know of the database beneath. In no transaction."""

    def allow_apart(self) -> None:
        """From now on also where this machine's clock is not the store's: for who judges no age by it."""

    def note_server(self, name: str, version: str, boot: str, cipher_keys: list[str]) -> None:
        """The server of this name uses the store, and runs since `boot`. `cipher_keys`: the names of what its
        key file holds. Raises Refusal.
        """

    def keys_of_servers(self) -> dict[str, list[str]]:
        """Server -> the keys of its key file, the one that encrypts last. In no transaction."""

    def boots(self) -> set[str]:
        """Since when the servers run that share the store, as each said last. In no transaction."""

    def tidy(self) -> None:
        """Clear away what killed writers left. Waits for nobody. Raises Refusal."""

    def close(self) -> None:
        """Let go of files and connections."""
