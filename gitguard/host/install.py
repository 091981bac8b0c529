"""What `admin init` does to the machine: folders, configuration, keys, store, launchers, snippet.

Safe to run again: what is there stays, what is missing or outdated is made, and every step is said.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import tomli_w

from gitguard.config.compile import GIT_PATH, compile_file
from gitguard.config.parse import read_settings
from gitguard.config.schema import Settings
from gitguard.factor import keyring
from gitguard.host import key_file, launcher
from gitguard.host.account import account, become, check_reachable
from gitguard.host.files import replace
from gitguard.host.ownership import fault_on_the_way
from gitguard.host.places import SYSTEM_CONFIG, Places, places
from gitguard.message.reasons import Refusal
from gitguard.session.grant import KEY_BYTES
from gitguard.store.chain import GENESIS, Head
from gitguard.store.sqlite import audit_head, create

OLDEST_GIT = (2, 31)  # GIT_CONFIG_COUNT, which forces core.hooksPath

_HEADER = """\
# gitguard's configuration. Every key, its default and its unit: etc/gitguard.toml in the source, or
# docs/reference.md. Unknown keys are errors; check before you rely on it: gitguard admin config check

"""

SNIPPET = """\
# Include this at the end of sshd_config, or paste it there. Written by `gitguard admin init`.
# PermitUserEnvironment cannot stand in a Match block: keep it `no` (the default) in the main part.
Match User {account}
    AuthorizedKeysFile {authorized_keys}
    AuthenticationMethods publickey
    AcceptEnv GIT_PROTOCOL
    PermitTTY no
    PermitUserRC no
    DisableForwarding yes
Match all
"""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `admin init` was told; None where it was not."""

    config: str
    account: str | None = None
    repositories: str | None = None
    host: str | None = None
    port: int | None = None
    authorized_keys: str | None = None


def install(wishes: Wishes, say: Callable[[str], None], command_line: list[str]) -> Settings:
    """Install for `wishes`; returns the settings, running as the Git account. Raises Refusal."""
    at = places(wishes.config)
    if os.path.exists(at.config):
        settings = read_settings(at.config)
        _check_wishes(wishes, settings, at)
        say(f"kept {at.config}")
        name = str(settings.host.account)
    else:
        name = wishes.account or _default_account(at)
        settings = None
    entry = account(name)
    if os.geteuid() not in (0, entry.pw_uid):
        become(name, command_line)  # refuses, with the line to type
    if entry.pw_uid == 0:
        say("the Git account is root: fit for a trial, not for a server")
    for path in (at.gate, at.config):
        if not re.fullmatch(r"[A-Za-z0-9/._+-]+", path):
            raise Refusal(
                "usage", text=f"{path} cannot stand in a key line; use letters, digits and / . _ + -"
            )
    check_git()
    if os.geteuid() == 0:
        check_reachable(entry)
    _folder(os.path.dirname(at.config), 0, 0o755, say)
    if settings is None:
        data = _HEADER.encode() + tomli_w.dumps(_tables(wishes, at, entry)).encode()
        replace(at.config, data, 0o644)
        say(f"wrote {at.config}")
        settings = read_settings(at.config)
    _folders(settings, at, entry, say)
    _launchers(at, settings, entry, say)
    become(name, command_line)
    for path in (at.config, str(settings.paths.state), os.path.dirname(settings.paths.access_log)):
        if fault := fault_on_the_way(path, entry.pw_uid):
            raise Refusal("config-invalid", fault)
    _keys_and_store(settings, at, say)
    compile_file(at.config, at.compiled, at.hook)
    return settings


def authorized_keys(settings: Settings) -> str:
    """The key file that gitguard manages."""
    return settings.paths.authorized_keys or key_file.default_path(pwd.getpwnam(settings.host.account).pw_dir)


def check_git() -> str:
    """The version of git. Raises Refusal("usage") if it is missing or too old to force core.hooksPath."""
    try:
        done = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, check=False, env={"PATH": GIT_PATH}
        )
    except OSError:
        raise Refusal("usage", text="git is not installed (Debian: apt-get install git)") from None
    found = re.search(r"(\d+)\.(\d+)", done.stdout)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GIT:
        raise Refusal("usage", text=f"git 2.31 or newer is needed, here is: {done.stdout.strip()}")
    return done.stdout.strip()


def _default_account(at: Places) -> str:
    """`git`; below a folder of one's own, the account that types, unless root could use `git`."""
    if at.config == SYSTEM_CONFIG or (os.geteuid() == 0 and _exists("git")):
        return "git"
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise Refusal("usage", text=f"uid {os.geteuid()} has no account on this machine") from None


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _check_wishes(wishes: Wishes, settings: Settings, at: Places) -> None:
    """A flag that says other than the configuration is a question, not an order: nothing is overwritten."""
    stands = {
        "--account": (wishes.account, str(settings.host.account)),
        "--repositories": (
            wishes.repositories and os.path.abspath(wishes.repositories),
            str(settings.paths.repositories),
        ),
        "--host": (wishes.host, settings.host.name),
        "--port": (wishes.port, settings.host.port),
        "--authorized-keys": (
            wishes.authorized_keys and os.path.abspath(wishes.authorized_keys),
            authorized_keys(settings),
        ),
    }
    for flag, (wish, there) in stands.items():
        if wish is not None and wish != there:
            raise Refusal(
                "usage",
                text=f"{flag} {wish}, but {at.config} says {there}",
                hint="edit the configuration, then run init again",
            )


def _tables(wishes: Wishes, at: Places, entry: pwd.struct_passwd) -> dict[str, dict[str, object]]:
    system = at.config == SYSTEM_CONFIG
    home = os.path.dirname(at.config)
    state = "/var/lib/gitguard" if system else f"{home}/state"
    log = "/var/log/gitguard" if system else f"{home}/log"
    repositories = wishes.repositories or (
        f"{entry.pw_dir}/repositories" if system else f"{home}/repositories"
    )
    keys = wishes.authorized_keys or key_file.default_path(entry.pw_dir)
    return {
        "host": {
            "name": wishes.host or socket.getfqdn(),
            "port": wishes.port or 22,
            "account": entry.pw_name,
        },
        "paths": {
            "repositories": os.path.abspath(repositories),
            "state": state,
            "access_log": f"{log}/access.log",
            "authorized_keys": os.path.abspath(keys),
        },
        "store": {"url": f"sqlite:///{state}/gitguard.db"},
        "git": {"enforcement": "opt-in"},
    }


def _folder(path: str, uid: int, mode: int, say: Callable[[str], None]) -> None:
    """Make `path` if it is not there, for `uid` where we are root. Raises Refusal("usage")."""
    if os.path.isdir(path):
        # An init that was interrupted may have left it root's.
        if os.geteuid() == 0 != uid and os.stat(path).st_uid == 0 and not os.listdir(path):
            os.chown(path, uid, pwd.getpwuid(uid).pw_gid)
        return
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        os.mkdir(path, mode)
        os.chmod(path, mode)
        if os.geteuid() == 0:
            os.chown(path, uid, pwd.getpwuid(uid).pw_gid)
    except OSError as error:
        raise Refusal("usage", text=f"cannot make {path}: {error.strerror}") from None
    say(f"made {path}/")


def _folders(settings: Settings, at: Places, entry: pwd.struct_passwd, say: Callable[[str], None]) -> None:
    uid = entry.pw_uid
    _folder(str(settings.paths.state), uid, 0o700, say)
    _folder(os.path.dirname(at.compiled), uid, 0o700, say)
    _folder(os.path.dirname(settings.paths.access_log), uid, 0o700, say)
    for root in (settings.paths.repositories, *settings.paths.extra_roots):
        _folder(str(root), uid, 0o755, say)
    keys = authorized_keys(settings)
    _folder(os.path.dirname(keys), uid, 0o700, say)
    for path in (at.gate, at.hook):
        _folder(os.path.dirname(path), 0, 0o755, say)


def _launchers(at: Places, settings: Settings, entry: pwd.struct_passwd, say: Callable[[str], None]) -> None:
    snippet = SNIPPET.format(account=entry.pw_name, authorized_keys=authorized_keys(settings)).encode()
    for path, data, mode in (
        (at.gate, launcher.gate_text(at), 0o755),
        (at.hook, launcher.hook_text(at), 0o755),
        (at.snippet, snippet, 0o644),
    ):
        say(f"{'wrote' if replace(path, data, mode) else 'kept'} {path}")
    launcher.compile_gate(say)


def _keys_and_store(settings: Settings, at: Places, say: Callable[[str], None]) -> None:
    state = str(settings.paths.state)
    secret = f"{state}/secret.keys"
    if os.path.exists(secret):
        keyring.read(secret)
    elif os.path.exists(settings.store.url.path):
        raise Refusal(
            "store-unavailable",
            f'{secret} is gone, but the store is there; see docs/operations.md, "the key file is gone"',
        )
    else:
        keyring.create(secret)
        say(f"made the key file {secret}; keep a copy apart from the store's backups")
    grant = f"{state}/grant.key"
    if not os.path.exists(grant):
        replace(grant, secrets.token_bytes(KEY_BYTES), 0o600)
        say(f"made {grant}")
    if not os.path.exists(settings.store.url.path):
        Head(audit_head(settings.paths.access_log)).write(0, GENESIS)
    for migration in create(settings.store.url.path):
        say(f"store {settings.store.url.path}: ran {migration}")
    keys = authorized_keys(settings)
    if not os.path.exists(keys):
        key_file.write(keys, [], at.gate)
        say(f"made {keys}")
