"""The types of single values in the configuration: how each is written, and what it must be."""

from __future__ import annotations

import datetime as dt
import os.path
import re
from collections.abc import Callable

from gitguard.identity.names import is_user_name
from gitguard.machine.postgresql_address import read as read_address
from gitguard.message.numbers import number
from gitguard.policy.glob import glob_fault, name_fault, ref_fault

# IPv6 addresses that count as the IPv4 address in them: session/scope.py.
_STAND_FOR_IPV4 = ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_LIFETIME = 30 * 86400
LONGEST_WAIT = 600
_LONGEST_SOCKET = 107  # bytes; unix(7)


class Duration(int):
    """Seconds, written as a whole number and a unit: `90s`, `15m`, `8h`, `7d`."""


class Lifetime(Duration):
    """A duration from 1 second to 30 days."""


class Wait(Duration):
    """A duration from 1 second to 10 minutes, or `off`, which is 0."""


class Limit:
    """At most `failures` within `seconds`; written as `5/5m`."""

    __slots__ = ("failures", "seconds")

    def __init__(self, failures: int, seconds: int) -> None:
        self.failures = failures
        self.seconds = seconds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limit) and (self.failures, self.seconds) == (other.failures, other.seconds)

    def __hash__(self) -> int:
        return hash((self.failures, self.seconds))


class Since(int):
    """When a rule begins (Unix seconds): a date (its first moment in the server's zone) or a date-time."""


class Until(int):
    """When a rule ends (Unix seconds): a date, to its last moment in the server's zone, or a date-time."""


class HeaderName(str):
    """The name of a request header, or empty."""

    __slots__ = ()


class Proxy(str):
    """Who is believed about a browser: an address, a network, or `unix:ACCOUNT`."""

    __slots__ = ()


class Domain(str):
    """The part of a login behind its @, in small letters."""

    __slots__ = ()


class Pattern(str):
    """A pattern of names, as policy/glob.py reads it."""

    __slots__ = ()


class RefPattern(str):
    """A pattern of refs, as policy/glob.py reads it."""

    __slots__ = ()


class Network(str):
    """An address, or a network such as 10.0.0.0/8."""

    __slots__ = ()


class Folder(str):
    """An absolute path."""

    __slots__ = ()


class SocketFile(str):
    """An absolute path that fits into a Unix socket's address; empty for none."""

    __slots__ = ()


class AccountName(str):
    """A name that an account of this machine may have; empty for none."""

    __slots__ = ()


class UserOrGroup(str):
    """A user's name, or `@group`."""

    __slots__ = ()


class UserName(str):
    """A name that a user may have."""

    __slots__ = ()


class StoreUrl(str):
    """`sqlite:///` and an absolute path, or a PostgreSQL database (machine/postgresql_address.py)."""

    __slots__ = ()

    @property
    def is_file(self) -> bool:
        """Whether the store is a file of this machine, and not a database that others use as well."""
        return self.startswith("sqlite:")

    @property
    def path(self) -> str:
        """The file. Only where there is one."""
        if not self.is_file:
            raise ValueError(f"{self} is no file")
        return self.removeprefix("sqlite:///")

    @property
    def shown(self) -> str:
        """Where it is, for people, without anything secret."""
        return self.path if self.is_file else read_address(self).shown


def seconds_of(text: str) -> int:
    """Seconds of `text` (`90s`, `15m`, `8h`, `7d`). Raises ValueError with what is expected."""
    count, unit = number(text[:-1], 10**9), text[-1:]
    if count is None or unit not in UNITS:
        raise ValueError(
            f"{text!r} is not a duration; write a whole number and a unit, such as 90s, 15m, 8h or 7d"
        )
    return count * UNITS[unit]


def format_duration(seconds: int) -> str:
    """`seconds` as the configuration writes it, in the largest unit that divides it."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % UNITS[unit] == 0:
            return f"{seconds // UNITS[unit]}{unit}"
    return f"{seconds}s"


def decode(kind: type, value: object) -> object:
    """Our own types from what TOML holds (msgspec's `dec_hook`). Raises ValueError in words for people."""
    if issubclass(kind, Since | Until):
        return kind(_moment_of(value, ends=issubclass(kind, Until)))
    if not isinstance(value, str):
        raise ValueError(f"expected a text in quotes, got {value!r}")  # noqa: TRY004 - msgspec turns ValueError into a fault
    return _DECODERS[kind](value)


def _lifetime(value: str) -> Lifetime:
    seconds = seconds_of(value)
    if not 1 <= seconds <= LONGEST_LIFETIME:
        raise ValueError(f"{value!r} is out of range: 1s to 30d")
    return Lifetime(seconds)


def _wait(value: str) -> Wait:
    seconds = 0 if value == "off" else seconds_of(value)
    if value != "off" and not 1 <= seconds <= LONGEST_WAIT:
        raise ValueError(f"{value!r} is out of range: off, or 1s to 10m")
    return Wait(seconds)


def _socket_file(value: str) -> SocketFile:
    if value and (not value.startswith("/") or len(value.encode()) > _LONGEST_SOCKET or "\0" in value):
        raise ValueError(f"an absolute path of at most {_LONGEST_SOCKET} bytes, not {value!r}")
    return SocketFile(os.path.normpath(value) if value else "")


def _account_name(value: str) -> AccountName:
    if value and not re.fullmatch(r"[a-z_][a-z0-9_.-]{0,31}", value):
        raise ValueError(f"{value!r} is not the name of an account")
    return AccountName(value)


def _folder(value: str) -> Folder:
    if not os.path.isabs(value) or any(c < " " or c == "\x7f" for c in value):
        raise ValueError(f"{value!r} is not an absolute path")
    return Folder(os.path.normpath(value))


def _header_name(value: str) -> HeaderName:
    if value and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", value):
        raise ValueError(f"{value!r} is not the name of a header; write letters, digits and hyphens")
    return HeaderName(value)


def _proxy(value: str) -> Proxy:
    import ipaddress  # a configuration without networks is read without it, at each login

    account = value.removeprefix("unix:")
    if account == value:
        try:
            ipaddress.ip_network(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no address, no network and no unix:ACCOUNT: {error}") from None
    elif not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?", account):
        raise ValueError(f"{value!r} names no account; write unix: and its name, such as unix:www-data")
    return Proxy(value)


def _domain(value: str) -> Domain:
    if (
        not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*", value)
        or len(value) > 253
    ):
        raise ValueError(f"{value!r} is not a domain; write what stands behind the @, such as example.com")
    return Domain(value.lower())


def _pattern(value: str) -> Pattern:
    if fault := glob_fault(value) or name_fault(value):
        raise ValueError(f"{value!r} is not a pattern: {fault}")
    return Pattern(value)


def _ref_pattern(value: str) -> RefPattern:
    if fault := glob_fault(value) or ref_fault(value):
        raise ValueError(f"{value!r} is not a pattern of refs: {fault}")
    return RefPattern(value)


def _user_name(value: str) -> UserName:
    if not is_user_name(value):
        raise ValueError(f"{value!r} cannot be a user's name ([a-z0-9][a-z0-9._-]*, at most 64)")
    return UserName(value)


def _user_or_group(value: str) -> UserOrGroup:
    _user_name(value.removeprefix("@"))
    return UserOrGroup(value)


def _moment_of(value: object, *, ends: bool) -> int:
    try:
        return _seconds_of(value, ends=ends)
    except (OverflowError, OSError):
        raise ValueError(f"{value} is further off than dates go here; leave it out for no end") from None


def _seconds_of(value: object, *, ends: bool) -> int:
    if isinstance(value, dt.datetime):
        return int(value.astimezone().timestamp())  # one without an offset is the server's own time
    if isinstance(value, dt.date):
        day = value + dt.timedelta(days=1) if ends else value
        return _begin_of(day)
    raise ValueError(f"{value!r} is not a date; write it without quotes, such as 2027-01-31")


def _begin_of(day: dt.date) -> int:
    """The first second whose local date is `day`; of the next day that has one, where clocks passed it over.

    Midnight need not exist: in some zones clocks go forward just then.
    """

    def has_begun(at: int) -> bool:
        return dt.datetime.fromtimestamp(at).astimezone().date() >= day

    try:
        midnight = int(dt.datetime.combine(day, dt.time()).timestamp())
        if has_begun(midnight) and not has_begun(midnight - 1):
            return midnight
        middle = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp())
        after = next(filter(has_begun, range(middle - _FURTHEST, middle + 2 * _FURTHEST, _STEP)))
        return next(filter(has_begun, range(after - _STEP + 1, after + 1)))
    except ValueError as error:
        raise OverflowError(error) from None


_FURTHEST = 15 * 3600  # seconds between a local clock and UTC, and more
_STEP = 900


def _network(value: str) -> Network:
    import ipaddress

    try:
        found = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8: {error}") from None
    if "%" in value:
        raise ValueError(f"{value!r}: a rule knows no zones of link-local addresses")
    if isinstance(found, ipaddress.IPv6Network) and any(
        found.subnet_of(ipaddress.IPv6Network(net)) for net in _STAND_FOR_IPV4
    ):
        raise ValueError(f"{value!r} stands for IPv4 addresses; write the IPv4 network")
    return Network(found)


def _limit(value: str) -> Limit:
    failures, slash, window = value.partition("/")
    count = number(failures, 10**6)
    if not slash or not count:
        raise ValueError(f"{value!r} is not a limit; write failures and a window, such as 5/5m")
    seconds = seconds_of(window)
    if not 1 <= seconds <= LONGEST_LIFETIME:
        raise ValueError(f"{value!r}: a window is 1s to 30d")
    return Limit(count, seconds)


def store_url(value: str) -> StoreUrl:
    """The store that `value` names. Raises ValueError in words for people."""
    if value.startswith(("postgresql://", "postgres://")):
        url = StoreUrl("postgresql://" + value.partition("://")[2])
        read_address(url)
        return url
    if not value.startswith("sqlite:////"):
        raise ValueError(
            f"{value!r} is not a store; write sqlite:// and an absolute path, such as sqlite:////var/lib/x.db,"
            " or postgresql://USER@HOST/DATABASE"
        )
    return StoreUrl("sqlite:///" + os.path.normpath(value.removeprefix("sqlite:///")))


_DECODERS: dict[type, Callable[[str], object]] = {
    Lifetime: _lifetime,
    Wait: _wait,
    Duration: lambda value: Duration(seconds_of(value)),
    Limit: _limit,
    Folder: _folder,
    SocketFile: _socket_file,
    AccountName: _account_name,
    Domain: _domain,
    Pattern: _pattern,
    HeaderName: _header_name,
    Proxy: _proxy,
    RefPattern: _ref_pattern,
    Network: _network,
    StoreUrl: store_url,
    UserName: _user_name,
    UserOrGroup: _user_or_group,
}
