"""Every table and key of the configuration, its type, its default and its unit.

`etc/gitguard.toml` documents the same keys for people, and a test holds the two to the same defaults.
"""

from __future__ import annotations

import os.path
from typing import Literal

import msgspec

from gitguard.account.names import is_user_name
from gitguard.policy.situation import Policy

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_LIFETIME = 30 * 86400


class Duration(int):
    """Seconds, written as a whole number and a unit: `90s`, `15m`, `8h`, `7d`."""


class Lifetime(Duration):
    """A duration from 1 second to 30 days."""


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


class Folder(str):
    """An absolute path."""

    __slots__ = ()


class UserOrGroup(str):
    """A user's name, or `@group`."""

    __slots__ = ()


class UserName(str):
    """A name that a user may have."""

    __slots__ = ()


class SqliteUrl(str):
    """`sqlite:///` and an absolute path."""

    __slots__ = ()

    @property
    def path(self) -> str:
        """The file."""
        return self.removeprefix("sqlite:///")


def duration(text: str) -> int:
    """Seconds of `text` (`90s`, `15m`, `8h`, `7d`). Raises ValueError with what is expected."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and len(number) < 10) or unit not in UNITS:
        raise ValueError(
            f"{text!r} is not a duration; write a whole number and a unit, such as 90s, 15m, 8h or 7d"
        )
    return int(number) * UNITS[unit]


def format_duration(seconds: int) -> str:
    """`seconds` as the configuration writes it, in the largest unit that divides it."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % UNITS[unit] == 0:
            return f"{seconds // UNITS[unit]}{unit}"
    return f"{seconds}s"


def decode(kind: type, value: object) -> object:
    """Our own types from what TOML holds (msgspec's `dec_hook`). Raises ValueError in words for people."""
    if not isinstance(value, str):
        raise ValueError(f"expected a text in quotes, got {value!r}")  # noqa: TRY004 - msgspec turns ValueError into a fault
    if issubclass(kind, Lifetime):
        seconds = duration(value)
        if not 1 <= seconds <= LONGEST_LIFETIME:
            raise ValueError(f"{value!r} is out of range: 1s to 30d")
        return Lifetime(seconds)
    if issubclass(kind, Duration):
        return Duration(duration(value))
    if issubclass(kind, Limit):
        return _limit(value)
    if issubclass(kind, Folder):
        if not os.path.isabs(value) or any(c < " " or c == "\x7f" for c in value):
            raise ValueError(f"{value!r} is not an absolute path")
        return Folder(os.path.normpath(value))
    if issubclass(kind, SqliteUrl):
        return _store_url(value)
    if issubclass(kind, UserOrGroup | UserName):
        bare = value.removeprefix("@") if issubclass(kind, UserOrGroup) else value
        if not is_user_name(bare):
            raise ValueError(f"{value!r} cannot be a user's name ([a-z0-9][a-z0-9._-]*, at most 64)")
        return kind(value)
    raise NotImplementedError(kind)


def _limit(value: str) -> Limit:
    count, slash, window = value.partition("/")
    if not slash or not (count.isascii() and count.isdigit() and len(count) < 7) or int(count) < 1:
        raise ValueError(f"{value!r} is not a limit; write failures and a window, such as 5/5m")
    seconds = duration(window)
    if not 1 <= seconds <= LONGEST_LIFETIME:
        raise ValueError(f"{value!r}: a window is 1s to 30d")
    return Limit(int(count), seconds)


def _store_url(value: str) -> SqliteUrl:
    if value.startswith(("postgresql:", "postgres:")):
        raise ValueError("a PostgreSQL store is not available in this version; use sqlite:////absolute/path")
    if not value.startswith("sqlite:////"):
        raise ValueError(
            f"{value!r} is not a store; write sqlite:// and an absolute path, such as sqlite:////var/lib/x.db"
        )
    return SqliteUrl("sqlite:///" + os.path.normpath(value.removeprefix("sqlite:///")))


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file; every key has a default."""


class Host(Table, frozen=True):
    """How people reach this server: what refusals tell them to type."""

    name: str = ""
    port: int = 22
    account: UserName = UserName("git")
    web_url: str = ""


class Paths(Table, frozen=True):
    """Where things are. `authorized_keys` empty means the account's own."""

    repositories: Folder = Folder("/srv/git")
    extra_roots: list[Folder] = msgspec.field(default_factory=list)
    state: Folder = Folder("/var/lib/gitguard")
    access_log: Folder = Folder("/var/log/gitguard/access.log")
    syslog: str = ""
    authorized_keys: str = ""

    @property
    def key_ring(self) -> str:
        """The file of the keys that secrets rest under."""
        return f"{self.state}/secret.keys"

    @property
    def grant_key(self) -> str:
        """The file of the key that signs grants."""
        return f"{self.state}/grant.key"

    @property
    def lock(self) -> str:
        """The file that admin commands lock while they write files."""
        return f"{self.state}/admin.lock"


class StoreTable(Table, frozen=True):
    """Where accounts, sessions and toggles live."""

    url: SqliteUrl = SqliteUrl("sqlite:////var/lib/gitguard/gitguard.db")
    password_file: str = ""


class Git(Table, frozen=True):
    """The base answer, and who administers."""

    enforcement: Literal["off", "rules", "opt-in", "enforced"] = "opt-in"
    admins: list[UserOrGroup] = msgspec.field(default_factory=list)
    pass_commands: list[str] = msgspec.field(default_factory=list)
    behind: list[str] = msgspec.field(default_factory=list)


class SessionTable(Table, frozen=True):
    """How long a verification counts, and for what."""

    lifetime: Lifetime = Lifetime(8 * 3600)
    scope: Literal["address", "key", "user"] = "address"


class SecondFactor(Table, frozen=True):
    """What is enrolled, and who may enrol. `issuer` empty means the host's name."""

    issuer: str = ""
    digits: Literal[6, 7, 8] = 6
    period: int = 30
    algorithm: Literal["SHA1", "SHA256", "SHA512"] = "SHA1"
    recovery_codes: int = 6
    self_enrolment: Literal["invite", "open"] = "invite"
    hardware_keys: bool = False


class AccountTable(Table, frozen=True):
    """What people may do to their own account."""

    allow_always: bool = True
    allow_remove: bool = True


class Throttle(Table, frozen=True):
    """How many failures, per user and key, and per user over all keys."""

    per_key: list[Limit] = msgspec.field(
        default_factory=lambda: [Limit(5, 300), Limit(20, 3600), Limit(50, 86400)]
    )
    per_user: list[Limit] = msgspec.field(default_factory=lambda: [Limit(60, 86400)])


class Help(Table, frozen=True):
    """Added to refusals."""

    line: str = ""
    url: str = ""


class App(Table, frozen=True):
    """An authenticator app offered at enrolment."""

    name: str = ""
    platforms: str = ""
    url: str = ""


DEFAULT_APPS = [
    App("Aegis", "Android", "https://getaegis.app"),
    App("2FAS", "Android, iOS", "https://2fas.com"),
    App("KeePassXC", "Linux, macOS, Windows", "https://keepassxc.org"),
]


class Settings(msgspec.Struct, frozen=True):
    """The whole configuration."""

    host: Host = Host()
    paths: Paths = Paths()
    store: StoreTable = StoreTable()
    git: Git = Git()
    session: SessionTable = SessionTable()
    second_factor: SecondFactor = SecondFactor()
    account: AccountTable = AccountTable()
    throttle: Throttle = Throttle()
    help: Help = Help()
    apps: list[App] = msgspec.field(default_factory=lambda: list(DEFAULT_APPS))
    groups: dict[str, list[UserName]] = msgspec.field(default_factory=dict)

    @property
    def issuer(self) -> str:
        """What an authenticator app shows above the code."""
        return self.second_factor.issuer or self.host.name or "gitguard"

    @property
    def policy(self) -> Policy:
        """What decides what is demanded."""
        return Policy(self.git.enforcement, self.session.lifetime, allow_always=self.account.allow_always)

    def is_server_admin(self, user: str) -> bool:
        """Whether `user` stands in `[git] admins`, by name or in a group."""
        return any(
            user in self.groups.get(who[1:], ()) if who.startswith("@") else who == user
            for who in self.git.admins
        )
