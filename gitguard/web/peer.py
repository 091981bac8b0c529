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
from gitguard.message.numbers import number
from gitguard.message.reasons import printable

_FORWARDED = "HTTP_X_FORWARDED_FOR"
_MOST_HOPS = 20


class Peer(Struct, frozen=True):
    """`address`: the browser's, "" where it is not known; `login`: who a trusted
    proxy says it is, "" for nobody.

    `unknown`: for the log, why the address is not known; "" where it is.
    """

    address: str
    login: str
    unknown: str = ""


def peer_of(environ: Mapping[str, Any], settings: Settings) -> Peer:
    """Who sent the request that WSGI describes in `environ`."""
    connection = _socket_of(environ.get("gunicorn.socket"))
    is_unix = connection is not None and connection.family == socket.AF_UNIX
    # Who connects to a Unix socket may bind any name, even one that looks like an address:
    # it counts for nothing.
    near = "" if is_unix else str(environ.get("REMOTE_ADDR", ""))
    account = _account_of(connection) if is_unix and connection is not None else ""
    if not is_trusted(near, account, settings):
        why = (
            ""
            if near
            else f"[web] trusted_proxies does not name unix:{account or '?'}, which connects to the socket"
        )
        return Peer(near, "", why)
    header = str(settings.web.trusted_header)
    login = str(environ.get("HTTP_" + header.upper().replace("-", "_"), "")).strip() if header else ""
    return Peer(*_first_stranger(str(environ.get(_FORWARDED, "")), settings, login))


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


def is_trusted(address: str, account: str, settings: Settings) -> bool:
    """Whether this address, or this account at a Unix socket's other end, is a proxy that is believed."""
    for proxy in settings.web.trusted_proxies:
        if proxy.startswith("unix:"):
            if account and proxy == f"unix:{account}":
                return True
        elif address and _lies_in(address, proxy):
            return True
    return False


def _lies_in(address: str, network: str) -> bool:
    try:
        context = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(context, ipaddress.IPv6Address) and context.ipv4_mapped is not None:
            context = context.ipv4_mapped
        return context in ipaddress.ip_network(network)
    except (ValueError, TypeError):
        return False


def _first_stranger(forwarded: str, settings: Settings, login: str) -> tuple[str, str, str]:
    """(address, `login`, why there is no address): the last of the chain that is no trusted proxy's.

    What lies before it, anyone can have written. Where all are trusted, people sit in the proxies' own
    network: then the right-most counts, which the nearest proxy itself has added.
    """
    hops = [_bare(hop) for hop in forwarded.split(",")[-_MOST_HOPS:]]
    for hop in reversed(hops):
        try:
            ipaddress.ip_address(hop)
        except ValueError:
            what = (
                f"{printable(forwarded, 100)!r}, and {printable(hop, 60)!r} in it is no address"
                if hop
                else "nothing"
            )
            return "", login, f"the proxy's X-Forwarded-For says {what}"
        if not is_trusted(hop, "", settings):
            return hop, login, ""
    return hops[-1], login, ""


def _bare(hop: str) -> str:
    """An address without port and brackets, as some proxies write it: `192.0.2.1:51234`, `[2001:db8::1]`."""
    hop = hop.strip()
    if hop.startswith("["):
        address, bracket, port = hop[1:].partition("]")
        return address if bracket and (not port or _is_port(port)) else hop
    address, _, port = hop.partition(":")
    return address if _is_port(f":{port}") and address.count(".") == 3 else hop


def _is_port(text: str) -> bool:
    return text.startswith(":") and bool(number(text[1:], 65535))
