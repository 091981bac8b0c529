"""The state that a file wants: users, keys, repositories and toggles, in the form that `export` prints."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from gitguard.config.faults import LONGEST_LIST, ConfigurationError, Fault, check_end, nearest, read_toml
from gitguard.config.toml_lines import key_of, tables_of
from gitguard.config.types import seconds_of
from gitguard.host.key_options import NewKey, program_fault, understand
from gitguard.identity.names import is_user_name
from gitguard.identity.public_key import parse_public_key
from gitguard.message.reasons import Refusal
from gitguard.policy.requirement import TOGGLES
from gitguard.repository.spelling import name_of

STATES = ("active", "suspended", "removed")


class DesiredKey(Struct, frozen=True):
    """One key of a user. `limited`: the file says what limits it, as a table does and a line does not."""

    new: NewKey
    limited: bool


class DesiredUser(Struct, frozen=True):
    """One user of the file. `state` and `keys` None: the file says nothing of them."""

    line: int
    name: str
    state: str | None = None
    keys: tuple[DesiredKey, ...] | None = None


class Demand(Struct, frozen=True):
    """What is required: none, push or all, and the lifetime of a verification
    (seconds, None as everywhere).
    """

    require: str
    lifetime_seconds: int | None


class DesiredRepository(Struct, frozen=True):
    """One repository of the file; `demand`, `floor` or `admins` is None where the file says nothing."""

    line: int
    name: str
    demand: Demand | None = None
    floor: Demand | None = None
    admins: tuple[str, ...] | None = None


class DesiredState(Struct):
    """All that the file says."""

    users: list[DesiredUser] = field(default_factory=list)
    repositories: list[DesiredRepository] = field(default_factory=list)


_USER = (
    "name",
    "state",
    "enrolled",
    "always",
    "keys",
)  # enrolled and always are people's own: read, and left alone
_REPOSITORY = ("name", "directory", "require", "lifetime", "floor", "floor_lifetime", "admins")
_KEY = ("key", "limits", "verify_required", "behind")


def read_desired_state(data: bytes, path: str) -> DesiredState:
    """What `data` wants. Raises ConfigurationError with every fault, its line and the nearest right word."""
    text, tables = read_toml(data, path, LONGEST_LIST)
    check_end(data, path)
    reader = _StateReader(text)
    wanted = reader.wanted(tables)
    if reader.faults:
        raise ConfigurationError(path, sorted(reader.faults, key=lambda fault: fault.line))
    return wanted


class _StateReader:
    """Collects what is wanted, and the faults on the way."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.faults: list[Fault] = []
        self.line = 0
        self.where = ""

    def wanted(self, tables: dict[str, Any]) -> DesiredState:
        """Everything, as far as it is in order."""
        wanted = DesiredState()
        for name, content in tables.items():
            if name not in ("users", "repositories"):
                self.faults.append(Fault(0, name, "unknown table" + nearest(name, ["users", "repositories"])))
            elif not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
                self.faults.append(Fault(0, name, f"expected tables, [[{name}]]"))
            else:
                begins = tables_of(self.lines, name)
                for index, entry in enumerate(content):
                    self.line, self.where = begins[index] if index < len(begins) else 0, f"[[{name}]]"
                    if name == "users":
                        wanted.users.append(self.user(entry))
                    else:
                        wanted.repositories.append(self.repository(entry))
        for kind, names in (
            ("users", [user.name for user in wanted.users]),
            ("repositories", [row.name for row in wanted.repositories]),
        ):
            twice = sorted({name for name in names if name and names.count(name) > 1})
            self.faults += [Fault(0, kind, f"{name} stands there twice") for name in twice]
        return wanted

    def fault(self, what: str) -> None:
        """One more, of the table that is read."""
        self.faults.append(Fault(self.line, self.where, what))

    def fault_of(self, key: str, what: str) -> None:
        """One more, where `key` of that table stands."""
        line, column = key_of(self.lines, self.line, key)
        self.faults.append(Fault(line or self.line, self.where, what, column))

    def known(self, entry: dict[str, Any], names: tuple[str, ...]) -> None:
        """Every key is one of `names`."""
        for key in entry:
            if key not in names:
                self.fault_of(key, f"unknown key {key!r}" + nearest(key, list(names)))

    def word(self, entry: dict[str, Any], key: str, words: tuple[str, ...], default: str) -> str:
        """One of `words`."""
        value = entry.get(key, default)
        if value not in words:
            what = f"{key} {value!r} is not one of {', '.join(words)}" + nearest(str(value), list(words))
            self.fault_of(key, what)
            return default
        return str(value)

    def texts(self, entry: dict[str, Any], key: str) -> list[str] | None:
        """A list of texts, None where the file says nothing."""
        value = entry.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            self.fault(f"{key}: expected a list of texts")
            return None
        return value

    def seconds(self, entry: dict[str, Any], key: str) -> int | None:
        """A duration, None where the file says nothing."""
        try:
            return seconds_of(str(entry[key])) if key in entry else None
        except ValueError as error:
            self.fault_of(key, f"{key}: {error}")
            return None

    def user(self, entry: dict[str, Any]) -> DesiredUser:
        """One `[[users]]`."""
        self.known(entry, _USER)
        name = str(entry.get("name", ""))
        if not is_user_name(name):
            self.fault(f"name {name!r} cannot be a user's name")
        keys = None
        if "keys" in entry:
            listed = entry["keys"] if isinstance(entry["keys"], list) else []
            if listed is not entry["keys"]:
                self.fault("keys: expected a list")
            keys = tuple(key for one in listed if (key := self.key(one)) is not None)
        state = self.word(entry, "state", STATES, "active") if "state" in entry else None
        return DesiredUser(self.line, name, state, keys)

    def key(self, entry: Any) -> DesiredKey | None:
        """A line as in a .pub file, or a table with what limits it."""
        table = {"key": entry} if isinstance(entry, str) else entry
        if not isinstance(table, dict):
            self.fault("keys: expected a public key's line, or a table with key = ...")
            return None
        self.known(table, _KEY)
        try:
            key = parse_public_key(str(table.get("key", "")))
        except Refusal as refusal:
            self.fault(f"keys: {refusal.text}")
            return None
        limits, demanded = str(table.get("limits", "")), bool(table.get("verify_required", False))
        meant = understand(limits, "")
        if meant.fault or meant.limits != limits:
            self.fault(f"limits {limits!r}: {meant.fault or 'write it as export prints it'}")
        if demanded and not key.is_hardware:
            self.fault(f"{key.fingerprint} is not a hardware key, so nothing can be required of it")
        behind = tuple(self.texts(table, "behind") or ())
        if behind and (fault := program_fault(behind)):
            self.fault(f"behind: {fault}")
        return DesiredKey(NewKey(key, limits, demanded, behind), limited=isinstance(entry, dict))

    def repository(self, entry: dict[str, Any]) -> DesiredRepository:
        """One `[[repositories]]`."""
        self.known(entry, _REPOSITORY)
        spelled, name = str(entry.get("name", "")), ""
        try:
            name = name_of(spelled, ())[0]
        except Refusal:
            self.fault(f"name {spelled!r} cannot be a repository's name")
        demand = floor = None
        for key in ("lifetime", "floor", "floor_lifetime"):
            if key in entry and "require" not in entry:
                self.fault(f"{key} without require: say what is required too")
        if "require" in entry:
            lifetime = self.seconds(entry, "lifetime")
            demand = floor = Demand(self.word(entry, "require", TOGGLES, "none"), lifetime)
        if "floor" in entry or "floor_lifetime" in entry:
            floor = Demand(self.word(entry, "floor", TOGGLES, "none"), self.seconds(entry, "floor_lifetime"))
            if demand is not None and TOGGLES.index(demand.require) < TOGGLES.index(floor.require):
                self.fault(f"require {demand.require} is below the floor {floor.require}")
        admins = self.texts(entry, "admins")
        for admin in admins or ():
            if not is_user_name(admin):
                self.fault(f"admins: {admin!r} cannot be a user's name")
        return DesiredRepository(self.line, name, demand, floor, None if admins is None else tuple(admins))
