"""Parse the configuration strictly and report every fault at once, each with its line and a nearest word.

MUST: an unknown key, a wrong type, a group nobody defined is a fault, never a default.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import msgspec

from gitguard.config.faults import LONGEST_FILE, ConfigurationError, Fault, nearest, read_toml
from gitguard.config.schema import ASK, App, RuleTable, Settings
from gitguard.config.toml_lines import column_of, line_of
from gitguard.config.types import UserName, decode
from gitguard.identity.names import is_user_name
from gitguard.message.reasons import printable


def read_settings(path: str) -> Settings:
    """The settings in the file at `path`. Raises ConfigurationError."""
    try:
        with open(path, "rb") as file:
            data = file.read(LONGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError(path, [Fault(0, "file", error.strerror or str(error))]) from None
    return parse(data, path)


def parse(data: bytes, path: str = "gitguard.toml") -> Settings:
    """The settings in `data`. Raises ConfigurationError with every fault that can be found at once."""
    text, tables = read_toml(data, path)
    reader = _Reader(text)
    with server_zone():
        settings = reader.settings(tables)
    if settings is None:
        raise ConfigurationError(path, sorted(reader.faults, key=lambda fault: fault.line))
    return settings


@contextlib.contextmanager
def server_zone() -> Iterator[None]:
    """Dates are in the server's zone, whatever TZ the reader brought along: a client may send it."""
    brought = os.environ.pop("TZ", None)
    time.tzset()
    try:
        yield
    finally:
        if brought is not None:
            os.environ["TZ"] = brought
        time.tzset()


class _Reader:
    """Turns tables into settings and collects the faults on the way."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.faults: list[Fault] = []

    def settings(self, tables: dict[str, Any]) -> Settings | None:
        """The settings, or None when `faults` holds why not."""
        values: dict[str, Any] = {}
        fields = {field.name: field for field in msgspec.structs.fields(Settings)}
        for name, content in tables.items():
            if name not in fields:
                self.fault(name, "", "unknown table" + nearest(name, list(fields)))
            elif name == "apps":
                values[name] = self.apps(content)
            elif name == "groups":
                values[name] = self.groups(content)
            elif name == "aliases":
                values[name] = self.aliases(content)
            elif name == "rules":
                values[name] = self.rules(content)
            elif not isinstance(content, dict):
                self.fault(name, "", f"expected a table, [{name}]")
            else:
                values[name] = self.table(name, fields[name].type, content)
        self.enforcement(tables.get("git", {}))
        # What no single key shows is looked at even beside other faults, so that all are said at once.
        settings = Settings(**values)
        self.meaning(settings)
        return None if self.faults else settings

    def enforcement(self, git: Any) -> None:
        """MUST: a file says it. Of all defaults it is the one that opens, and a file that was
        emptied or cut off is a file.
        """
        # A misspelt one is a fault of its own.
        if (
            isinstance(git, dict)
            and "enforcement" not in git
            and not any(nearest(key, ["enforcement"]) for key in git)
        ):
            self.fault("git", "enforcement", "it is missing; say off, rules, opt-in or enforced")

    def table(self, name: str, kind: Any, content: dict[str, Any], index: int = 0) -> Any:
        """One table as its struct, without the keys that have faults; these are collected."""
        values = {}
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        for key, value in content.items():
            if key not in fields:
                self.fault(name, key, "unknown key" + nearest(key, list(fields)), index)
                continue
            try:
                values[fields[key].name] = msgspec.convert(value, fields[key].type, dec_hook=decode)
            except msgspec.ValidationError as error:
                self.fault(name, key, _in_words(str(error), value, fields[key].type), index)
        return kind(**values)

    def apps(self, content: Any) -> list[App]:
        """`[[apps]]`."""
        if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
            self.fault("apps", "", "expected tables, [[apps]]")
            return []
        apps = []
        for index, entry in enumerate(content):
            before = len(self.faults)
            apps.append(self.table("apps", App, entry, index))
            if len(self.faults) == before and not apps[-1].name:
                self.fault("apps", "", "an app needs a name", index)
        return apps

    def rules(self, content: Any) -> list[RuleTable]:
        """`[[rules]]`, in the order in which they are read."""
        if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
            self.fault("rules", "", "each rule is a table of its own, with two brackets: [[rules]]")
            return []
        rules: list[RuleTable] = []
        for index, entry in enumerate(content):
            before = len(self.faults)
            rules.append(self.table("rules", RuleTable, entry, index))
            if len(self.faults) == before:
                for key, what in rule_faults(rules[-1], [rule.name for rule in rules[:-1]], entry):
                    self.fault("rules", key, what, index)
        return rules

    def groups(self, content: Any) -> dict[str, list[UserName]]:
        """`[groups]`: each a list of users, none empty."""
        groups: dict[str, list[UserName]] = {}
        if not isinstance(content, dict):
            self.fault("groups", "", "expected a table, [groups]")
            return groups
        for name, members in content.items():
            if not is_user_name(name):
                self.fault("groups", name, f"{name!r} cannot be a group's name")
                continue
            try:
                groups[name] = msgspec.convert(members, list[UserName], dec_hook=decode)
            except msgspec.ValidationError as error:
                self.fault("groups", name, _in_words(str(error), members, list))
                groups[name] = []  # it is there, whatever it holds
                continue
            if not groups[name]:
                self.fault("groups", name, "an empty group protects nobody; remove it or name its users")
        return groups

    def aliases(self, content: Any) -> dict[str, UserName]:
        """`[aliases]`: a login of another system, as it is written there, and the user that it is here."""
        aliases: dict[str, UserName] = {}
        if not isinstance(content, dict):
            self.fault("aliases", "", "expected a table, [aliases]")
            return aliases
        for login, name in content.items():
            if not isinstance(name, str) or not is_user_name(name):
                self.fault("aliases", login, f"{name!r} cannot be a user's name")
            elif login.casefold() in (other.casefold() for other in aliases):
                self.fault("aliases", login, "the same login twice, but for the case of its letters")
            else:
                aliases[login] = UserName(name)
        return aliases

    def meaning(self, settings: Settings) -> None:
        """What no single key shows."""
        self.known_groups(settings)
        for command in settings.git.pass_commands:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", command):
                self.fault("git", "pass_commands", f"{printable(command)!r} cannot be a command's name")
            elif command in ("git", "2fa") or command.startswith("git-"):
                self.fault("git", "pass_commands", f"{command!r} is gitguard's own to judge")
        if not 1 <= settings.host.port <= 65535:
            self.fault("host", "port", "out of range: 1 to 65535")
        self.web(settings)
        if ":" in settings.second_factor.issuer or not settings.second_factor.issuer.isprintable():
            self.fault(
                "second_factor", "issuer", "a colon or control character cannot stand in an app's label"
            )
        roots = settings.paths.roots
        for root in settings.paths.extra_roots:
            if (
                any(root != other and (root + "/").startswith(other + "/") for other in roots)
                or roots.count(root) > 1
            ):
                self.fault("paths", "extra_roots", f"{root} lies inside another root")
        if settings.paths.access_log == "/":
            self.fault("paths", "access_log", "a folder is not a file")
        for key, value in (("name", settings.host.name), ("web_url", settings.host.web_url)):
            if not re.fullmatch(r"[!-~]*", value) or value.startswith("-"):
                self.fault("host", key, "expected printable ASCII without spaces")
        self.ranges(settings)

    def web(self, settings: Settings) -> None:
        """The page's address: its cookies go over TLS alone, or to this very machine."""
        if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", settings.web.language):
            self.fault("web", "language", "expected the tag of a language, such as en, de or pt-BR")
        if settings.web.logo and not re.fullmatch(r"/[ -~]+\.(svg|png)", settings.web.logo):
            self.fault("web", "logo", "expected the absolute path of an .svg or .png file")
        url = settings.host.web_url
        if not url:
            return
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(url)
            there = parts.hostname or ""
            parts.port  # noqa: B018 - raises ValueError for what is none
        except ValueError:
            self.fault("host", "web_url", "that is not a link such as https://git.example.com/2fa")
            return
        local = there in ("localhost", "127.0.0.1", "::1")
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            self.fault("host", "web_url", "expected a link that begins with https://")
        elif not there or parts.username is not None or parts.query or parts.fragment:
            self.fault("host", "web_url", "expected a link of host, port and path alone")
        elif re.search(r"%|//|\\|/\.{1,2}(/|$)", parts.path):
            self.fault(
                "host", "web_url", "expected a path without escapes, empty parts and dots, such as /2fa"
            )

    def known_groups(self, settings: Settings) -> None:
        """Every `@group` that is named is there."""
        named = [("git", "admins", settings.git.admins, 0)]
        named += [("rules", "users", rule.users, index) for index, rule in enumerate(settings.rules)]
        for table, key, users, index in named:
            for who in users:
                if who.startswith("@") and who[1:] not in settings.groups:
                    near = nearest(who[1:], list(settings.groups))
                    self.fault(table, key, f"no group {who}" + near, index)

    def ranges(self, settings: Settings) -> None:
        """Numbers and combinations that cannot be."""
        factor = settings.second_factor
        if not 15 <= factor.period <= 120:
            self.fault("second_factor", "period", "out of range: 15 to 120 seconds")
        if not 0 <= factor.recovery_codes <= 50:
            self.fault("second_factor", "recovery_codes", "out of range: 0 (off) to 50")
        for key, limits in (("per_key", settings.throttle.per_key), ("per_user", settings.throttle.per_user)):
            if not limits:
                self.fault("throttle", key, "at least one limit is needed, such as 5/5m")
        if settings.git.behind and not settings.git.behind[0].startswith("/"):
            self.fault("git", "behind", f"{settings.git.behind[0]!r} is not an absolute path of a program")
        if any(not word or any(c < " " or c == "\x7f" for c in word) for word in settings.git.behind):
            self.fault("git", "behind", "a word is empty or holds control characters")
        if settings.notify.command and not settings.notify.command[0].startswith("/"):
            self.fault(
                "notify", "command", f"{settings.notify.command[0]!r} is not an absolute path of a program"
            )
        for key in ("authorized_keys", "syslog"):
            path = getattr(settings.paths, key)
            if path and not path.startswith("/") and (key, path) != ("authorized_keys", ASK):
                self.fault("paths", key, f"{path!r} is not an absolute path")
        if settings.paths.asks_for_keys and not settings.agent.socket:
            self.fault(
                "paths", "authorized_keys", "none needs an agent that sshd can ask: name [agent] socket"
            )
        if settings.agent.account == "root":
            self.fault("agent", "account", "root reads everything anyway; name an account of the agent's own")
        elif settings.is_apart and not settings.agent.socket:
            self.fault("agent", "account", "only an agent can keep the store for it: name its socket as well")
        self.store(settings)

    def store(self, settings: Settings) -> None:
        """What goes with which kind of store."""
        if settings.store.url.is_file:
            if settings.store.password_file:
                self.fault("store", "password_file", "SQLite takes no password")
            return
        if not settings.agent.socket:
            self.fault(
                "store",
                "url",
                "gate and hook reach a PostgreSQL store through the agent: name [agent] socket",
            )
        if settings.store.password_file and not settings.store.password_file.startswith("/"):
            self.fault("store", "password_file", f"{settings.store.password_file!r} is not an absolute path")

    def fault(self, table: str, key: str, what: str, index: int = 0) -> None:
        """Note a fault, with the line where `key` of the `index`-th `table` stands."""
        where = f"[{table}] {key}".strip()
        line = line_of(self.lines, table, key, index)
        self.faults.append(Fault(line, where, what, column_of(self.lines, line, key)))


def rule_faults(rule: RuleTable, others: list[str], entry: dict[str, Any]) -> list[tuple[str, str]]:
    """(key, what is wrong) of one rule by itself, and beside the names of those before it."""
    faults = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", rule.name):
        faults.append(("name", "a rule needs a name of letters, digits, . _ -: refusals and the log say it"))
    elif rule.name in others:
        faults.append(("name", f"a second rule {rule.name!r}; names tell rules apart"))
    faults += [
        (key, "an empty list matches nothing; leave the key out for any")
        for key in ("repositories", "users", "operations", "refs", "from")
        if entry.get(key) == []
    ]
    if (rule.require is None) == (not rule.exempt):
        faults.append(("", "a rule says one of: require = true, require = false, exempt = true"))
    elif rule.exempt and (not rule.users or rule.until is None):
        faults.append(("exempt", "an exemption names its users and its end (until)"))
    if rule.lifetime is not None and not rule.require:
        faults.append(("lifetime", "a lifetime belongs to a rule with require = true"))
    if rule.refs and "read" in rule.operations:
        faults.append(("refs", "refs are known for pushes alone, so operations cannot hold read"))
    if rule.since is not None and rule.until is not None and rule.since >= rule.until:
        faults.append(("until", "it ends before it begins"))
    return faults


def fault_at(data: bytes, table: str, key: str, what: str, index: int = 0) -> Fault:
    """A fault that only the machine shows, with the line of `key` in the `index`-th `table` of `data`."""
    lines = data.decode("utf-8", "replace").splitlines()
    line = line_of(lines, table, key, index)
    return Fault(line, f"[{table}] {key}".strip(), what, column_of(lines, line, key))


def _in_words(error: str, value: Any, kind: Any) -> str:
    """Msgspec's message without its `$` path, with the allowed words and the nearest one."""
    text = error.partition(" - at `$")[0]
    for name, words_of in _TYPES.items():
        text = text.replace(f"`{name}`", f"{words_of} ({name})")
    if get_origin(kind) is list and isinstance(value, list) and get_origin(get_args(kind)[0]) is Literal:
        kind = get_args(kind)[0]
        value = next((one for one in value if one not in get_args(kind)), value)
    if get_origin(kind) is Literal:
        words = [str(word) for word in get_args(kind)]
        return f"{value!r} is not one of {', '.join(words)}" + (
            nearest(value, words) if isinstance(value, str) and words[0].isalpha() else ""
        )
    return text[:1].lower() + text[1:]


# msgspec's names of types -> an admin's
_TYPES = {
    "bool": "true or false",
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "array": "a list in [ ]",
    "object": "a table",
}
