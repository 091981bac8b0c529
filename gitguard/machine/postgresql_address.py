"""Where a PostgreSQL store is: `postgresql://USER@HOST[:PORT][,HOST...]/DATABASE[?sslmode=...]`.

Read without a driver, so that a configuration is checked on a machine that has none.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

from msgspec import Struct

PORT = 5432
WEAKEST = "verify-full"  # for what leaves this machine: every person's secrets go over this connection
_OPTIONS = ("host", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl")
_HERE = ("localhost", "127.0.0.1", "::1")


class Address(Struct, frozen=True):
    """One database and whom we are there. `hosts`: (name or socket's folder, port), any of which may be the
    primary; `options`: libpq's own, of those that `_OPTIONS` names.
    """

    user: str
    hosts: tuple[tuple[str, int], ...]
    database: str
    options: dict[str, str]

    @property
    def shown(self) -> str:
        """For people, without anything secret."""
        return f"{self.database} on {', '.join(f'{host}:{port}' for host, port in self.hosts)}"


def read(url: str) -> Address:
    """The address that `url` names. Raises ValueError with a sentence that names the part."""
    _, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    who, at, hosts = authority.rpartition("@")
    if ":" in who:
        raise ValueError("a password in the URL shows in every log; write it to a file: password_file = ...")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(options) - set(_OPTIONS)):
        raise ValueError(f"{unknown[0]!r} is no option of a store; there are {', '.join(_OPTIONS)}")
    folder = options.pop("host", "")
    if folder and hosts:
        raise ValueError("name the hosts before the database, or a socket's folder as host=, not both")
    database = unquote(path)
    if not at or not who:
        raise ValueError("the user is missing: postgresql://USER@HOST/DATABASE")
    if not database or "/" in database:
        raise ValueError("the database is missing: postgresql://USER@HOST/DATABASE")
    if not hosts and not folder:
        raise ValueError("the host is missing: postgresql://USER@HOST/DATABASE")
    found = tuple(_host(part) for part in (folder,) if part) or tuple(map(_host, hosts.split(",")))
    _check_encryption(found, options)
    return Address(unquote(who), found, database, options)


def _host(text: str) -> tuple[str, int]:
    text = unquote(text)
    if any(c == "," or ord(c) < 33 for c in text):
        raise ValueError(f"{text!r} is neither a host nor a folder")
    if text.startswith("/"):
        folder, _, port = text.rpartition(":") if ":" in text else (text, "", "")
        return folder, _port(port)
    if text.startswith("["):
        name, _, port = text[1:].partition("]")
        return name, _port(port.removeprefix(":"))
    name, _, port = text.partition(":")
    if not name:
        raise ValueError("a host is missing between two commas")
    return name, _port(port)


def _port(text: str) -> int:
    if not text:
        return PORT
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise ValueError(f"{text!r} is not a port")
    return int(text)


def _check_encryption(hosts: tuple[tuple[str, int], ...], options: dict[str, str]) -> None:
    """MUST: what goes over a network is encrypted, and to the database that it is meant for."""
    away = [host for host, _ in hosts if not host.startswith("/") and host not in _HERE]
    if away and options.setdefault("sslmode", WEAKEST) != WEAKEST:
        raise ValueError(
            f"sslmode={options['sslmode']} believes whoever answers for {away[0]}; write sslmode={WEAKEST}"
        )
