"""Every table and key of the configuration, its type, its default and its unit.

`etc/gitguard.toml` documents the same keys for people, and a test holds the two to the same defaults.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from gitguard.config.types import (
    AccountName,
    Domain,
    Folder,
    HeaderName,
    Lifetime,
    Limit,
    Network,
    Pattern,
    Proxy,
    RefPattern,
    Since,
    SocketFile,
    StoreUrl,
    Until,
    UserName,
    UserOrGroup,
    Wait,
)
from gitguard.policy.rules import EXEMPT, FREE, REQUIRE

ASK = "none"  # in the place of the key file's path


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file; every key has a default."""


class Host(Table, frozen=True):
    """How people reach this server: what refusals tell them to type."""

    name: str = ""
    port: int = 22
    account: UserName = UserName("git")
    web_url: str = ""


class Paths(Table, frozen=True):
    """Where things are. `authorized_keys` empty means the account's own; `none` that sshd asks the agent."""

    repositories: Folder = Folder("/srv/git")
    extra_roots: list[Folder] = msgspec.field(default_factory=list)
    state: Folder = Folder("/var/lib/gitguard")
    access_log: Folder = Folder("/var/log/gitguard/access.log")
    syslog: str = ""
    authorized_keys: str = ""

    @property
    def roots(self) -> list[str]:
        """The repositories roots, as configured; a new repository lies in the first."""
        return [str(self.repositories), *map(str, self.extra_roots)]

    @property
    def asks_for_keys(self) -> bool:
        """Whether sshd asks the agent for each key, and reads no file."""
        return self.authorized_keys == ASK

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

    url: StoreUrl = StoreUrl("sqlite:////var/lib/gitguard/gitguard.db")
    password_file: str = ""


class Git(Table, frozen=True):
    """The base answer, and who administers. A file must say `enforcement`: an emptied one does not."""

    enforcement: Literal["off", "rules", "opt-in", "enforced"] = "opt-in"
    admins: list[UserOrGroup] = msgspec.field(default_factory=list)
    pass_commands: list[str] = msgspec.field(default_factory=list)
    behind: list[str] = msgspec.field(default_factory=list)


class SessionTable(Table, frozen=True):
    """How long a verification counts, and for what."""

    lifetime: Lifetime = Lifetime(8 * 3600)
    scope: Literal["address", "key", "user"] = "address"
    wait: Wait = Wait(0)


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
    allow_keys: bool = True


class Web(Table, frozen=True):
    """The web page: whether a proxy says who is signed in, which proxies are believed; language and logo."""

    trusted_header: HeaderName = HeaderName("")
    trusted_proxies: list[Proxy] = msgspec.field(default_factory=list)
    login_domains: list[Domain] = msgspec.field(default_factory=list)
    language: str = "en"
    logo: str = ""


class AgentTable(Table, frozen=True):
    """The resident process that gate and hook ask; `socket` empty: none. `account`: whose store, keys and log
    are, empty for the Git account's.
    """

    socket: SocketFile = SocketFile("")
    account: AccountName = AccountName("")


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


Event = Literal[
    "enrolled", "reset", "removed", "recovery-codes", "recovery-code-used", "few-recovery-codes", "new-key", "new-address", "throttled",
    "suspended", "toggle", "exemption-used", "exemption-ends", "break-glass", "not-me",
]  # fmt: skip


class Notify(Table, frozen=True):
    """Which program is told of which events; without a program nobody is."""

    command: list[str] = msgspec.field(default_factory=list)
    events: list[Event] = msgspec.field(default_factory=lambda: list(get_args(Event)))


class RuleTable(Table, frozen=True):
    """A rule of the admin. Every condition that is given must match; the first rule that matches counts."""

    name: str = ""
    repositories: list[Pattern] = msgspec.field(default_factory=list)
    users: list[UserOrGroup] = msgspec.field(default_factory=list)
    operations: list[Literal["read", "push"]] = msgspec.field(default_factory=list)
    refs: list[RefPattern] = msgspec.field(default_factory=list)
    from_: list[Network] = msgspec.field(default_factory=list, name="from")
    require: bool | None = None
    exempt: bool = False
    lifetime: Lifetime | None = None
    since: Since | None = None
    until: Until | None = None

    @property
    def kind(self) -> str:
        """What follows where it matches."""
        return EXEMPT if self.exempt else REQUIRE if self.require else FREE


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
    web: Web = Web()
    agent: AgentTable = AgentTable()
    throttle: Throttle = Throttle()
    help: Help = Help()
    notify: Notify = Notify()
    apps: list[App] = msgspec.field(default_factory=lambda: list(DEFAULT_APPS))
    groups: dict[str, list[UserName]] = msgspec.field(default_factory=dict)
    aliases: dict[str, UserName] = msgspec.field(default_factory=dict)
    rules: list[RuleTable] = msgspec.field(default_factory=list)

    @property
    def issuer(self) -> str:
        """What an authenticator app shows above the code."""
        return self.second_factor.issuer or self.host.name or "gitguard"

    @property
    def keeper(self) -> str:
        """The account whose store, keys, passwords and log are."""
        return str(self.agent.account or self.host.account)

    @property
    def is_apart(self) -> bool:
        """Whether that is another account than the Git account, which then opens none of them."""
        return self.keeper != self.host.account

    @property
    def agent_decides(self) -> bool:
        """Whether nobody else can: the store is another account's, or a database that gate and hook do not
        reach by themselves.
        """
        return self.is_apart or not self.store.url.is_file

    def is_server_admin(self, user: str) -> bool:
        """Whether `user` stands in `[git] admins`, by name or in a group."""
        return any(
            user in self.groups.get(who[1:], ()) if who.startswith("@") else who == user
            for who in self.git.admins
        )
