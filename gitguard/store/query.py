"""What one decision asks of the store, whoever answers it: the store's own file
(gate_query.py), or a process that keeps it.

Nothing loads this file but the type checker. MUST: a method raises Refusal and nothing else.
"""

from __future__ import annotations

from typing import Protocol

from gitguard.session.credential import Credential
from gitguard.store.gate_query import State


class Query(Protocol):
    """The questions of gate, hook, `explain` and revocation."""

    def state(
        self,
        user: str,
        credential: Credential,
        scope: tuple[str, str, str] | None,
        *,
        name: str = "",
        directory: str = "",
    ) -> State:
        """What is known about `user`, `credential`, a repository by `name` or by `directory`, and `scope`."""

    def repository(self, directory: str) -> tuple[str, str, int | None] | None:
        """(name, require, toggle's lifetime) of the repository in `directory`, None if unknown."""

    def is_known_by_another_form(self, name: str) -> bool:
        """Whether a repository is known whose name equals `name` but for case, outer blanks, or a suffix."""

    def borrowers(self, directory: str) -> list[tuple[str, str, int | None]]:
        """(name, require, toggle's lifetime) of the repositories that borrow from the one in `directory`."""

    def shortest_demand(self, operation: str, default_seconds: int) -> int | None:
        """The shortest lifetime of all toggles that require 2FA for `operation`, None if none does."""

    def other_sessions(self, user: str) -> list[tuple[str, str, str, int, str, int, int | None]]:
        """(scope, key, network, verified_at, boot, boot_seconds, limit_seconds) of
        their sessions, newest first.
        """
