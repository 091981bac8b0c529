"""What `admin init` does to the machine: folders, configuration, keys, store, launchers, snippet, cron line.

Safe to run again: what is there stays, what is missing or outdated is made, and every step is said.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable

import tomli_w
from msgspec import Struct

from gitguard.config.compile import compile_file
from gitguard.config.faults import ConfigurationError, read_toml
from gitguard.config.in_force import last_good, read, vouch
from gitguard.config.parse import parse
from gitguard.config.schema import ASK, Git, Settings
from gitguard.host import key_file, launcher
from gitguard.host.folders import check_kept, folder, folders
from gitguard.host.launcher import asked_of
from gitguard.host.new_store import keys_and_store
from gitguard.host.places import SYSTEM_CONFIG, Places, authorized_keys, places_of
from gitguard.host.units import units
from gitguard.machine import provision
from gitguard.machine.environment import PATH
from gitguard.machine.files import replace_like
from gitguard.machine.git_account import MAKE_GIT, MAKE_KEEPER, account, become, check_owner, check_reachable
from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.reasons import Refusal

OLDEST_GIT = (2, 31)  # GIT_CONFIG_COUNT, which forces core.hooksPath
IDLE_TIMEOUT_SINCE = (9, 2)  # sshd's ChannelTimeout
IDLE_SECONDS = 1800

_HEADER = """\
# gitguard's configuration. Every key, its default and its unit: etc/gitguard.toml in the source, or
# docs/reference.md. Unknown keys are errors; edit it with: gitguard admin config edit

"""

SNIPPET = """\
# Written by `gitguard admin init`. Its best place is /etc/ssh/sshd_config.d/00-gitguard.conf, where it wins against
# every later Match block (gitguard admin init --drop-in puts it there). Then: sshd -t && systemctl reload ssh
# PermitUserEnvironment cannot stand in a Match block: keep it `no` (the default) in the main part.
Match User {account}
    AuthorizedKeysFile {keys_file}
    AuthenticationMethods publickey
    AcceptEnv GIT_PROTOCOL
    PermitTTY no
    PermitUserRC no
    DisableForwarding yes
    ForceCommand none
    AuthorizedPrincipalsCommand none
    {keys_command}
    TrustedUserCAKeys none
{idle}Match all
"""

CRON = """\
# Written by `gitguard admin init`; install it as /etc/cron.d/gitguard (gitguard admin init --timers does).
# Once a minute: end idle connections of expired sessions.
* * * * * {account} {command} admin session sweep --quiet
# Worth having as well: what doctor finds, by mail, and a backup of the store a night.
#17 6 * * * root {command} admin doctor --quiet
#23 2 * * * root {command} admin store backup /backup/gitguard-$(date +\\%F).db
"""


class InitOptions(Struct, frozen=True):
    """What `admin init` was told; None where it was not. `new_store`: make one
    though an old one seems gone. `kept_by`: the account that has kept store and log until now.
    """

    config: str
    account: str | None = None
    repositories: str | None = None
    host: str | None = None
    port: int | None = None
    authorized_keys: str | None = None
    new_store: bool = False
    kept_by: str | None = None


def install(
    options: InitOptions,
    say: Callable[[str], None],
    command_line: str,
    become_keeper: Callable[[Settings], None],
) -> Settings:
    """Install for `wishes`; returns the settings, running as the account that keeps the store, which
    `become_keeper` has us become. Raises Refusal.
    """
    places = places_of(options.config)
    added = ""
    if os.path.exists(places.config):
        data, added = renewed_configuration(places)
        settings = parse(data, places.config)
        check_owner(places.config, settings.keeper)
        _check_wishes(options, settings, places)
        say(f"kept {places.config}")
        name = str(settings.host.account)
    else:
        name = options.account or _default_account(places)
        settings = None
    first = settings is None
    keeper = name if settings is None else settings.keeper
    entry = _may_install(name, keeper, places, say, command_line)
    if settings is None:
        data = _first_configuration(options, places, entry)
    folder(os.path.dirname(places.config), name, "root", 0o755, say)
    if settings is None:
        provision.file(places.config, data, name, mode=0o644)
        say(f"wrote {places.config}")
        settings = parse(data, places.config)
        if not options.host:
            say(
                f"the server's name is {settings.host.name}, by what this machine calls itself; if people reach it by another, set [host] name"
            )
    if os.geteuid() == 0 and fault_on_the_way(places.config, 0):
        become(keeper, command_line)  # what the account wrote, the account carries out
    if added:
        replace_like(places.config, data, os.lstat(places.config))
        say(
            f"added {added} under [git] of {places.config}, the default until now; from this version on a file must say it"
        )
    given = folders(settings, places, options.kept_by, say)
    check_kept(settings, places)
    _launchers(places, settings, name, say)
    become_keeper(settings)
    for path in (places.config, str(settings.paths.state), os.path.dirname(settings.paths.access_log)):
        if fault := fault_on_the_way(path, account(keeper).pw_uid):
            raise Refusal("config-invalid", fault, text=fault)
    if added or first or given:  # root has read what it acts by: it is no beginning of a file
        vouch(places.compiled, data)
    keys_and_store(settings, places, say, new_store=options.new_store)
    return settings


def _may_install(
    name: str, keeper: str, places: Places, say: Callable[[str], None], command_line: str
) -> pwd.struct_passwd:
    """The Git account's entry, once nothing stands in the way of installing for it. Raises Refusal."""
    entry = account(name)
    if os.geteuid() != 0 and (keeper != name or os.geteuid() != entry.pw_uid):
        whom = f"root or {name}" if keeper == name else "root, who alone can serve two accounts"
        raise Refusal("forbidden", text=f"run this as {whom}", hint=f"type: sudo {command_line}")
    if entry.pw_uid == 0:
        say("the Git account is root: fit for a trial, not for a server")
    for path in (places.gate, places.config):
        if not re.fullmatch(r"[A-Za-z0-9/._+-]+", path):
            raise Refusal(
                "usage", text=f"{path} cannot stand in a key line; use letters, digits and / . _ + -"
            )
    check_git()
    if os.geteuid() == 0:
        check_reachable(entry)
        check_reachable(account(keeper, MAKE_KEEPER if keeper != name else MAKE_GIT))
    return entry


def renewed_configuration(places: Places) -> tuple[bytes, str]:
    """(the configuration's bytes, the line that they got because a file of an earlier
    version need not have it, or "").

    Raises Refusal where the file lost it: what was emptied or cut off is put back by who
    knows it, never opened by us.
    """
    _, data = read(places.config)
    text, tables = read_toml(data, places.config)
    table = tables.get("git", {})
    if not isinstance(table, dict) or "enforcement" in table:
        return data, ""
    line = f'enforcement = "{Git().enforcement}"'
    head = re.search(r"^[ \t]*\[[ \t]*git[ \t]*\][^\n]*$", text, re.MULTILINE)
    if head is not None:
        whole = f"{text[: head.end()]}\n{line}{text[head.end() :]}"
    else:
        whole = f"{text.rstrip()}\n\n[git]\n{line}\n"
    settings = parse(whole.encode(), places.config)
    had = tables and last_good(places.config, places.compiled, account(settings.keeper).pw_uid)
    if not tables or had or os.path.islink(places.config):
        was = f"; it was {had.git.enforcement!r}" if had else ""
        raise Refusal(
            "config-invalid",
            text=f"{places.config} says no [git] enforcement{was}; was it emptied or cut off?",
            hint="put the whole file back, or write the line: gitguard admin config edit",
        )
    return whole.encode(), line


def _first_configuration(options: InitOptions, places: Places, entry: pwd.struct_passwd) -> bytes:
    """The file that the wishes come to. Raises Refusal("usage") before anything is made if they cannot be."""
    data = _HEADER.encode() + tomli_w.dumps(_tables(options, places, entry)).encode()
    try:
        parse(data, places.config)
    except ConfigurationError as error:
        text = "; ".join(f"{fault.where}: {fault.what}" for fault in error.faults)
        raise Refusal("usage", text=f"{text}; nothing was made") from None
    return data


def finish(places: Places) -> None:
    """The last step, once every hook is renewed: from here on the gate expects the hook that is there now."""
    compile_file(places.config, places.compiled, places.hook)


def check_git() -> str:
    """The version of git. Raises Refusal("usage") if it is missing or too old to force core.hooksPath."""
    try:
        done = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, check=False, env={"PATH": PATH}
        )
    except OSError:
        raise Refusal("usage", text="git is not installed (Debian: apt-get install git)") from None
    found = re.search(r"(\d+)\.(\d+)", done.stdout)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GIT:
        raise Refusal("usage", text=f"git 2.31 or newer is needed, here is: {done.stdout.strip()}")
    return done.stdout.strip()


def _default_account(places: Places) -> str:
    """`git`; below a folder of one's own, the account that types, unless root could use `git`."""
    if places.config == SYSTEM_CONFIG or (os.geteuid() == 0 and _exists("git")):
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


def _check_wishes(options: InitOptions, settings: Settings, places: Places) -> None:
    """A flag that says other than the configuration is a question, not an order: nothing is overwritten."""
    stands = {
        "--account": (options.account, str(settings.host.account)),
        "--repositories": (
            options.repositories and os.path.abspath(options.repositories),
            str(settings.paths.repositories),
        ),
        "--host": (options.host, settings.host.name),
        "--port": (options.port, settings.host.port),
        "--authorized-keys": (
            options.authorized_keys and _key_file(options.authorized_keys),
            ASK if settings.paths.asks_for_keys else authorized_keys(settings),
        ),
    }
    for flag, (wish, there) in stands.items():
        if wish is not None and wish != there:
            raise Refusal(
                "usage",
                text=f"{flag} {wish}, but {places.config} says {there}",
                hint="edit the configuration, then run init again",
            )


def _tables(options: InitOptions, places: Places, entry: pwd.struct_passwd) -> dict[str, dict[str, object]]:
    system = places.config == SYSTEM_CONFIG
    home = os.path.dirname(places.config)
    state = "/var/lib/gitguard" if system else f"{home}/state"
    log = "/var/log/gitguard" if system else f"{home}/log"
    repositories = options.repositories or (
        f"{entry.pw_dir}/repositories" if system else f"{home}/repositories"
    )
    return {
        "host": {
            "name": options.host or socket.getfqdn(),
            "port": options.port or 22,
            "account": entry.pw_name,
        },
        "paths": {
            "repositories": os.path.abspath(repositories),
            "state": state,
            "access_log": f"{log}/access.log",
            "authorized_keys": _key_file(options.authorized_keys or key_file.default_path(entry.pw_dir)),
        },
        "store": {"url": f"sqlite:///{state}/gitguard.db"},
        "git": {"enforcement": "opt-in"},
    }


def _key_file(wish: str) -> str:
    return wish if wish == ASK else os.path.abspath(wish)


def _launchers(places: Places, settings: Settings, name: str, say: Callable[[str], None]) -> None:
    asked = asked_of(settings)
    for path, data, mode in (
        *((path, data, 0o755) for path, data in launcher.launchers(places, asked).items()),
        *((path, data, 0o644) for path, data in launcher.bundles(places, asked).items()),
        (places.snippet, snippet(settings, places), 0o644),
        (places.cron, cron(settings, places), 0o644),
    ):
        say(f"{'wrote' if provision.file(path, data, name, mode=mode) else 'kept'} {path}")
    # An agent that runs looks at this file's times: it begins anew, with what is installed now. Who may not
    # touch it has kept it above as it was, so there is nothing new to begin with.
    with contextlib.suppress(PermissionError):
        os.utime(places.gate, follow_symlinks=False)
    written = [
        provision.file(f"{places.units}/{unit}", data, name, mode=0o644)
        for unit, data in units(settings, places.units, own_command(places)).items()
    ]
    say(f"{'wrote' if any(written) else 'kept'} systemd's units in {places.units}/")
    launcher.compile_gate(say)


def snippet(settings: Settings, places: Places) -> bytes:
    """What sshd must be told about the account."""
    idle = ""
    if sshd_version() >= IDLE_TIMEOUT_SINCE:
        idle = f"    ChannelTimeout session:command={IDLE_SECONDS // 60}m\n"
    asks = settings.paths.asks_for_keys
    command = f"AuthorizedKeysCommand {keys_command(places)}\n    AuthorizedKeysCommandUser {settings.keeper}"
    return SNIPPET.format(
        account=settings.host.account,
        keys_file="none" if asks else authorized_keys(settings),
        keys_command=command if asks else "AuthorizedKeysCommand none",
        idle=idle,
    ).encode()


def keys_command(places: Places) -> str:
    """The line by which sshd asks for keys. Source: sshd_config(5), AuthorizedKeysCommand, TOKENS."""
    return f"{places.keys} %u %f %t %k"


def sshd_version() -> tuple[int, int]:
    """OpenSSH's version on this machine, (0, 0) if it cannot be told."""
    try:
        told = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return (0, 0)
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def own_command(places: Places) -> str:
    """The gitguard that runs here, as a line for cron: nothing that PATH or the environment could change."""
    return shlex.join([sys.executable, "-I", "-m", "gitguard", "--config", places.config])


def cron(settings: Settings, places: Places) -> bytes:
    """The lines for cron."""
    return CRON.format(
        account=settings.keeper, command=own_command(places), state=settings.paths.state
    ).encode()
