"""Which questions go to which kind of store, for who decides. Plain dialect: gate and hook load this file."""

import posix

from gitguard.store.gate_query import WAIT_SECONDS, GateQuery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from gitguard.session.request_notes import Notes

    class Where(Protocol):
        """What a configuration says of the store: a file's path or a database's URL, its password's file,
        and the access log, beside which the newest audit hash stands.
        """

        store: str
        store_password_file: str
        access_log: str
        state: str
        port: int


def query_of(config: "Where", wait_seconds: float = WAIT_SECONDS) -> GateQuery:
    """The questions to the store of `config`. Opened by the first question."""
    if config.store[:1] == "/":
        return GateQuery(config.store, wait_seconds)
    from gitguard.store.postgresql.query import PostgresQuery  # an agent's alone: its driver is heavy

    return PostgresQuery(config.store, config.store_password_file, _head(config), wait_seconds)


def notes_of(config: "Where") -> "Notes":
    """Where a refusal is noted for its person to see. Each question opens a connection of its own: who waits
    keeps none.
    """
    from gitguard.session.request_notes import Notes

    if config.store[:1] == "/":
        return Notes(config.state)
    from gitguard.store.postgresql.query import PostgresQuery
    from gitguard.store.postgresql.shared_notes import SharedNotes

    def ask(sql: str, values: "tuple[object, ...]") -> "list[tuple[Any, ...]]":
        query = PostgresQuery(config.store, config.store_password_file, _head(config))
        try:
            return query.ask(sql, values)
        finally:
            query.close()

    return SharedNotes(config.state, server_name(config.port), ask)


def server_name(port: int) -> str:
    """What this server is called by those that share its store; docs/servers.md asks for such a name."""
    return f"{posix.uname()[1]}:{port}"


def _head(config: "Where") -> str:
    return config.access_log.rpartition("/")[0] + "/audit.head"
