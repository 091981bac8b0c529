"""Compile the configuration into what the gate reads without parsing. Runs when the file has changed."""

from __future__ import annotations

import marshal
import pwd
import re
import shutil
import subprocess
from typing import Any

from gitguard.config.compiled import STAMP, Config
from gitguard.config.in_force import in_force
from gitguard.config.rules import compiled_groups, compiled_rules
from gitguard.config.schema import Settings
from gitguard.machine.environment import PATH
from gitguard.machine.files import put_quietly
from gitguard.machine.ownership import identity
from gitguard.machine.whereabouts import resolved
from gitguard.message.reasons import Refusal


def compile_file(path: str, compiled: str, hook: str) -> Config:
    """The configuration that is in force, with its `compiled` form written where it is the file's; `hook` is
    the file every live hook equals.

    A folder that cannot be written only costs the next request the same work again. Raises
    ConfigurationError, or Refusal("config-invalid") for a missing hook, account or git-shell.
    """
    found = in_force(path, compiled)
    values = _values(path, found.settings, hook)
    if found.entry is not None:
        put_quietly(compiled, marshal.dumps((STAMP, path, identity(found.entry), values)))
    return Config(values)


def _values(path: str, settings: Settings, hook: str) -> tuple[Any, ...]:
    try:
        account = pwd.getpwnam(settings.host.account)
    except KeyError:
        raise Refusal(
            "config-invalid", f"{path}: no account {settings.host.account} on this machine"
        ) from None
    try:
        keeper = pwd.getpwnam(settings.keeper)
    except KeyError:
        raise Refusal("config-invalid", f"{path}: no account {settings.keeper} on this machine") from None
    git_shell = shutil.which("git-shell", path=PATH)
    if git_shell is None:
        raise Refusal("config-invalid", "git-shell is not installed (Debian: apt-get install git)")
    try:
        with open(hook, "rb") as file:
            hook_bytes = file.read(65536)
    except OSError as error:
        raise Refusal("config-invalid", f"{hook}: {error.strerror}; try: gitguard admin init") from None
    by_name: dict[str, Any] = {
        "path": path,
        "uid": account.pw_uid,
        "keeper": keeper.pw_uid,
        "account": str(settings.host.account),
        "home": account.pw_dir,
        "host": settings.host.name,
        "port": settings.host.port,
        "web_url": settings.host.web_url.rstrip("/"),
        "roots": tuple(zip(settings.paths.roots, resolved(settings.paths.roots), strict=True)),
        "state": str(settings.paths.state),
        "store": settings.store.url.path if settings.store.url.is_file else str(settings.store.url),
        "store_password_file": settings.store.password_file,
        "access_log": str(settings.paths.access_log),
        "syslog": settings.paths.syslog,
        "enforcement": settings.git.enforcement,
        "lifetime_seconds": int(settings.session.lifetime),
        "scope": settings.session.scope,
        "wait_seconds": int(settings.session.wait),
        "hardware_keys": settings.second_factor.hardware_keys,
        "help_line": settings.help.line,
        "help_url": settings.help.url,
        "pass_commands": tuple(settings.git.pass_commands),
        "hook": hook_bytes,
        "git_shell": git_shell,
        "allow_always": settings.account.allow_always,
        "behind": tuple(settings.git.behind),
        "rules": compiled_rules(settings.rules),
        "groups": compiled_groups(settings.groups),
        "agent": str(settings.agent.socket),
        "proves_connection": settings.is_apart and settings.paths.asks_for_keys,
        "self_enrolment": settings.second_factor.self_enrolment,
        "git_configs": (
            _system_git_config(),
            f"{account.pw_dir}/.gitconfig",
            f"{account.pw_dir}/.config/git/config",
        ),
    }
    return tuple(by_name[name] for name in Config.FIELDS)


def _system_git_config() -> str:
    """The system's configuration file as this Git was built to read it; Git names a missing one, too."""
    done = subprocess.run(
        ["git", "config", "--system", "--show-origin", "--list"],
        capture_output=True, text=True, check=False, env={"PATH": PATH, "LANG": "C", "LC_ALL": "C"},
    )  # fmt: skip
    found = re.search(r"^file:(/.*?)\t|'(/[^']*)'", done.stdout + done.stderr)
    return (found[1] or found[2]) if found else "/etc/gitconfig"
