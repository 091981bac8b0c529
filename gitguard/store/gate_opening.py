"""Which questions go to which kind of store, for who decides. Plain dialect: gate and hook load this file."""

from gitguard.store.gate_query import WAIT_SECONDS, GateQuery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Where(Protocol):
        """What a configuration says of the store: a file's path or a database's URL, its password's file,
        and the access log, beside which the newest audit hash stands.
        """

        store: str
        store_password_file: str
        access_log: str


def query_of(config: "Where", wait_seconds: float = WAIT_SECONDS) -> GateQuery:
    """The questions to the store of `config`. Opened by the first question."""
    if config.store[:1] == "/":
        return GateQuery(config.store, wait_seconds)
    from gitguard.store.postgresql.query import PostgresQuery  # an agent's alone: its driver is heavy

    head = config.access_log.rpartition("/")[0] + "/audit.head"
    return PostgresQuery(config.store, config.store_password_file, head, wait_seconds)
