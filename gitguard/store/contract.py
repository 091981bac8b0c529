"""What every store promises, in prose and types. SQLite keeps it today; PostgreSQL will.

MUST:
1. `writing` is one transaction: all of it and its audit records, or nothing. Two of them never interleave:
   the trail is one chain, so anyone who writes takes it as a whole when the block begins and lets go when it
   is committed. (SQLite: BEGIN IMMEDIATE. A server database: a lock that every writer takes first.)
2. `reading` sees one state of the store from its first question to its last.
3. A method that changes something says whether it did (a count, a bool), never raises for "not there".
4. Whatever goes wrong inside (locked, full, truncated, gone) leaves as Refusal("store-unavailable"), a
   schema that this code does not know as Refusal("store-schema"), each within two seconds.
5. Nothing here decides: who may do what is the business of the rooms that call.

Questions are in reading_contract.py, changes in writing_contract.py. A method's own sentence is
what it promises; tests/contract holds every backend to them. Values come out as the rows of
rows.py; times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from gitguard.store.chain import Head
from gitguard.store.reading_contract import Reading
from gitguard.store.rows import Recorded
from gitguard.store.writing_contract import Writing

__all__ = ["Reading", "Store", "Writing"]


class Store(Protocol):
    """A place where transactions happen.

    `lags`: why the audit head outside could not follow the last change, "" if it did. The change stands all
    the same. `heard`: is given what a transaction recorded once that is committed, and never what was taken
    back. It raises nothing: the change stands. `place`: where it is, in words for people; `head`: the newest
    audit hash outside it.
    """

    place: str
    head: Head
    lags: str
    heard: Callable[[list[Recorded]], None]

    def reading(self) -> AbstractContextManager[Reading]:
        """One state of the store, for questions."""

    def writing(self) -> AbstractContextManager[Writing]:
        """One transaction: committed at the end of the block, taken back by any exception."""

    def integrity(self) -> str:
        """What the database's own check finds wrong, "" if nothing."""

    def backup(self, target: str) -> None:
        """Copy the whole store to the file `target` while others use it. Raises Refusal."""

    def renew_head(self) -> None:
        """Write the newest hash outside the store, whatever stood there. Raises Refusal."""

    def size(self) -> int:
        """How many bytes it takes."""

    def tidy(self) -> None:
        """Clear away what killed writers left. Waits for nobody. Raises Refusal."""

    def close(self) -> None:
        """Let go of files and connections."""
