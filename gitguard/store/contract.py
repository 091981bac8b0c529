"""What every store promises, in prose and types. SQLite keeps it today; PostgreSQL will.

MUST:
1. `writing` is one transaction: all of it and its audit records, or nothing. Two of them never interleave:
   the trail is one chain, so anyone who writes takes it as a whole when the block begins and lets go when it
   is committed. (SQLite: BEGIN IMMEDIATE. A server database: a lock that every writer takes first.)
2. `reading` sees one state of the store from its first question to its last.
3. A method that changes something says whether it did (a count, a bool), never raises for "not there".
4. Whatever goes wrong inside (locked, full, truncated, gone) leaves as Refusal("store-unavailable"), a
   schema that this code does not know as Refusal("store-schema"), each within two seconds.
5. A block of `writing` in which a statement failed is taken back and says so, also where its fault was
   caught.
6. No text with a NUL and no number with a fraction is kept. Search knows no capitals of a to z; order is
   by bytes.
7. Nothing here decides: who may do what is the business of the rooms that call.

Questions are in reading_contract.py, changes in writing_contract.py. A method's own sentence is
what it promises; tests/contract holds every backend to them. Values come out as the rows of
rows.py; times are Unix seconds.

At run time these are names alone, for readers and the type checker: they cost a verification nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitguard.store.reading_contract import Reading
    from gitguard.store.store_contract import Store
    from gitguard.store.writing_contract import Writing
else:
    Reading = Writing = Store = Any

__all__ = ["Reading", "Store", "Writing"]
