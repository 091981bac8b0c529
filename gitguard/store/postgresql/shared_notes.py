"""Notes of pending requests for every server of a database: rows, under the names that their files have.

A push that is held has a file beside its row, since its process is of one machine; that server counts by the
file. Another one sees the row as long as a push may wait at all.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from gitguard.message.reasons import Refusal
from gitguard.session.request_notes import Notes, PendingRequest, read_back, written

Ask = Callable[
    [str, tuple[object, ...]], list[tuple[Any, ...]]
]  # a statement and its values -> what it answers
LONGEST_WAIT_SECONDS = 600  # what `[session] wait` may be at most
KEPT_SECONDS = 3600
_OF_USER = 12  # characters of a name, by which all notes of one person begin


class SharedNotes(Notes):
    """Those of the database that answers `ask`. For one look or one change: what was read once is not read
    again. Methods raise Refusal, too.

    `server`: a name that no other server of the database has.
    """

    __slots__ = ("_ask", "_rows", "_server")

    def __init__(self, state: str, server: str, ask: Ask) -> None:
        super().__init__(state)
        self._server = blake2b(server.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
        self._ask = ask
        self._rows: dict[str, dict[str, bytes]] = {}

    def names(self, beginning: str) -> list[str]:
        """The notes whose names begin so; those of processes are not among them."""
        return [name for name in self._of_user(beginning) if name.startswith(beginning)]

    def read(self, name: str) -> PendingRequest | None:
        """The note of this name, None for none."""
        data = self._of_user(name).get(name)
        return None if data is None else read_back(name, data)

    def write(self, request: PendingRequest) -> None:
        """Keep it. Raises OSError as well."""
        self._ask(
            "INSERT INTO pending_requests (name, at, body) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET at = excluded.at, body = excluded.body RETURNING 1",
            (self._row_of(request.name), request.at, written(request)),
        )
        self._rows.clear()
        if request.pid:
            super().write(request)

    def remove(self, name: str) -> None:
        """Take it away, also where it is gone. Raises OSError as well."""
        if "-" in name:
            super().remove(name)
        self._ask("DELETE FROM pending_requests WHERE name = ? RETURNING 1", (self._row_of(name),))
        self._rows.clear()

    def drop(self, name: str) -> None:
        """Take it away, if that is possible."""
        try:
            super().drop(name)
        except Refusal:
            return  # its row counts no longer than a push may wait

    def held(self, at: int) -> list[PendingRequest]:
        """Every push that waits at `at`, on whichever server."""
        rows = self._ask(
            "SELECT name, body FROM pending_requests WHERE name LIKE '%-%' AND at > ? ORDER BY at, name",
            (at - LONGEST_WAIT_SECONDS,),
        )
        elsewhere = [
            request
            for name, body in rows
            if name.split("-")[1] != self._server and (request := read_back(name, bytes(body))) is not None
        ]
        return sorted([*self.held_here(), *elsewhere], key=lambda request: (request.at, request.pid))

    def _row_of(self, name: str) -> str:
        """The name of its row: a process is one of a server's."""
        digest, _, process = name.partition("-")
        return f"{digest}-{self._server}-{process}" if process else name

    def _of_user(self, name: str) -> dict[str, bytes]:
        """All notes of the person whose notes begin so, by name."""
        beginning = name[:_OF_USER]
        if beginning not in self._rows:
            rows = self._ask(
                "SELECT name, body FROM pending_requests WHERE name LIKE ? AND name NOT LIKE '%-%'",
                (beginning + "%",),
            )
            self._rows[beginning] = {name: bytes(body) for name, body in rows}
        return self._rows[beginning]
