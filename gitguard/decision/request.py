"""A request as a value: who asks, from where, for what, when. Plain dialect: the gate loads this file.

`user` and `key` come from the forced command's own arguments, never from anything a client can send.
"""

from gitguard.session.moment import Moment

_NAME_START = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_NAME_REST = _NAME_START | frozenset("._-")
LONGEST_USER = 64


class Request:
    """One connection's one command. `line` is the client's command, None for none; `downstream` the
    program behind the gate with its arguments, empty for git-shell.
    """

    __slots__ = ("address", "connection", "downstream", "key", "line", "moment", "protocol", "user")

    def __init__(
        self,
        user: str,
        key: str,
        address: str,
        line: "str | None",
        moment: Moment,
        downstream: "tuple[str, ...]" = (),
        connection: str = "",
        protocol: str = "",
    ) -> None:
        self.user = user
        self.key = key
        self.address = address
        self.line = line
        self.moment = moment
        self.downstream = downstream
        self.connection = connection
        self.protocol = protocol


def is_user_name(name: str) -> bool:
    """Whether `name` matches `[a-z0-9][a-z0-9._-]{0,63}`, whole and in ASCII."""
    return 0 < len(name) <= LONGEST_USER and name[0] in _NAME_START and all(c in _NAME_REST for c in name)


def is_fingerprint(key: str) -> bool:
    """Whether `key` has the shape of an OpenSSH SHA256 fingerprint: `SHA256:` and 43 base64 characters."""
    return (
        len(key) == 50
        and key.startswith("SHA256:")
        and all(c.isalnum() or c in "+/" for c in key[7:])
        and key.isascii()
    )
