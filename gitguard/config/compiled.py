"""What the gate knows of the configuration, read without parsing.

`compile.py` writes it; this file reads it and decides whether it still describes the configuration.
MUST: the compiled form is believed only if it is ours by owner and mode, was made by this code, and
the configuration file is the very one it was made from, by device, inode, size and times; a file
changed within the clock's grain of the compilation counts as changed (the racy-clean rule of Git's
index). Plain dialect: gate and hook load this file.
"""

import marshal
import posix
import sys
from _stat import S_ISREG

from gitguard.machine.ownership import GRAIN_NS, fault_of, identity
from gitguard.policy.rules import Rules
from gitguard.policy.situation import Policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Config:
    """The few values that a decision needs. Paths are absolute; durations are seconds.

    `roots`: folders that hold repositories, each as configured and resolved. `hook`: the bytes that a
    live hook has. `behind`: the server-wide program behind the gate. `git_configs`: the files of
    system and account that Git reads.
    `store`: a file's path, or the URL of a database. `agent`: its socket, "" for none.
    `uid` is the Git account's, `keeper` of whose store, keys and log are: the same, unless the agent has an
    account of its own.
    `proves_connection`: whether who asks must stand in a connection of the key's owner.
    """

    FIELDS = (
        "path", "uid", "keeper", "account", "home", "host", "port", "web_url", "roots", "state", "store", "store_password_file", "access_log", "syslog",
        "enforcement", "lifetime_seconds", "scope", "wait_seconds", "hardware_keys", "help_line", "help_url", "pass_commands",
        "hook", "git_shell", "allow_always", "behind", "git_configs", "self_enrolment", "agent", "proves_connection", "rules", "groups",
    )  # fmt: skip
    __slots__ = (*FIELDS, "policy")

    path: str
    uid: int
    keeper: int
    account: str
    home: str
    host: str
    port: int
    web_url: str
    roots: tuple[tuple[str, str], ...]
    state: str
    store: str
    store_password_file: str
    access_log: str
    syslog: str
    enforcement: str
    lifetime_seconds: int
    scope: str
    wait_seconds: int
    hardware_keys: bool
    help_line: str
    help_url: str
    pass_commands: tuple[str, ...]
    hook: bytes
    git_shell: str
    allow_always: bool
    behind: tuple[str, ...]
    git_configs: tuple[str, ...]
    self_enrolment: str
    agent: str
    proves_connection: bool
    rules: "tuple[Any, ...]"
    groups: dict[str, str]
    policy: Policy

    def __init__(self, values: "tuple[object, ...]") -> None:
        for name, value in zip(self.FIELDS, values, strict=True):
            setattr(self, name, value)
        self.policy = Policy(
            self.enforcement,
            self.lifetime_seconds,
            allow_always=self.allow_always,
            rules=Rules(self.rules),
            groups=self.groups,
        )

    @property
    def grant_key(self) -> str:
        """The file of the key that signs grants."""
        return self.state + "/grant.key"


# Marshal's bytes belong to one interpreter, the values' order to one list of fields.
STAMP = f"gitguard compiled {sys.hexversion:x} {' '.join(Config.FIELDS)}"


def _opener(path: str, flags: int) -> int:
    """Neither a link nor a pipe may stand in a file's place: the one misleads, the other hangs."""
    return posix.open(path, flags | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)


def read(compiled: str, path: str, entry: "posix.stat_result | None", uid: int) -> "Config | None":
    """The compiled form if it may be believed and describes `entry`, else None: it is made again."""
    try:
        with open(compiled, "rb", opener=_opener) as file:
            made = posix.fstat(file.fileno())
            if not S_ISREG(made.st_mode) or fault_of(made, compiled, uid):
                return None
            if entry is not None and max(entry.st_mtime_ns, entry.st_ctime_ns) + GRAIN_NS >= made.st_mtime_ns:
                return None
            stamp, written_path, described, values = marshal.loads(file.read())  # noqa: S302 - ours alone by owner and mode, checked above
            if stamp != STAMP or written_path != path or (entry is not None and described != identity(entry)):
                return None
            return Config(values)
    except (OSError, ValueError, EOFError, TypeError):
        return None
