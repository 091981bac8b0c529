"""Who sent a request: the browser's address, and whether what a proxy says about it is believed.

MUST: what is not from a trusted proxy is a stranger: its headers about address and login count for nothing.
"""

from __future__ import annotations

import ipaddress
import pwd
import socket
import struct
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gitguard.config.schema import Settings

_FORWARDED = "HTTP_X_FORWARDED_FOR"
_MOST_HOPS = 20


class Peer(Struct, frozen=True):
    """`address`: the browser's, "" where it is not known; `login`: who a trusted proxy says it is, "" for nobody."""

    address: str
    login: str


def peer_of(environ: Mapping[str, Any], settings: Settings) -> Peer:
    """Who sent the request that WSGI describes in `environ`."""
    connection = _socket_of(environ.get("gunicorn.socket"))
    is_unix = connection is not None and connection.family == socket.AF_UNIX
    # Who connects to a Unix socket may bind a name of their choice, which looks like an address: it counts for nothing.
    near = "" if is_unix else str(environ.get("REMOTE_ADDR", ""))
    account = _account_of(connection) if is_unix and connection is not None else ""
    if not _is_trusted(near, account, settings):
        return Peer(near, "")
    header = str(settings.web.trusted_header)
    login = str(environ.get("HTTP_" + header.upper().replace("-", "_"), "")).strip() if header else ""
    return Peer(_first_stranger(str(environ.get(_FORWARDED, "")), settings), login)


def _socket_of(given: object) -> socket.socket | None:
    found = given if isinstance(given, socket.socket) else getattr(given, "sock", None)
    return found if isinstance(found, socket.socket) else None


def _account_of(connection: socket.socket) -> str:
    """The account at the other end of a Unix socket, as the kernel says; "" where it says nothing."""
    size = struct.calcsize("3i")
    try:
        _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return pwd.getpwuid(uid).pw_name
    except (OSError, KeyError):
        return ""


def _is_trusted(address: str, account: str, settings: Settings) -> bool:
    for proxy in settings.web.trusted_proxies:
        if proxy.startswith("unix:"):
            if account and proxy == f"unix:{account}":
                return True
        elif address and _lies_in(address, proxy):
            return True
    return False


def _lies_in(address: str, network: str) -> bool:
    try:
        here = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(here, ipaddress.IPv6Address) and here.ipv4_mapped is not None:
            here = here.ipv4_mapped
        return here in ipaddress.ip_network(network)
    except (ValueError, TypeError):
        return False


def _first_stranger(forwarded: str, settings: Settings) -> str:
    """The last address of the chain that is no trusted proxy's: what lies before it, anybody can have written. "" for none."""
    for hop in reversed(forwarded.split(",")[-_MOST_HOPS:]):
        address = hop.strip()
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return ""
        if not _is_trusted(address, "", settings):
            return address
    return ""
