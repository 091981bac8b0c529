"""The folders of an installation, and whose they are: the Git account's, root's, or the account's that keeps
the store, which they are given to where they are not yet.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable

from gitguard.config.schema import Settings
from gitguard.host.handing_over import hand_over
from gitguard.host.places import Places, authorized_keys
from gitguard.machine import provision
from gitguard.machine.git_account import account
from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.reasons import Refusal
from gitguard.store.sqlite import renew_file


def folder(path: str, name: str, owner: str, mode: int, say: Callable[[str], None]) -> None:
    """Make the folder for `owner`, and say so, where it is not there."""
    if provision.folder(path, name, owner=owner, mode=mode):
        say(f"made {path}/")


def kept_folders(settings: Settings, places: Places) -> list[str]:
    """The folders of state, store and log."""
    store = (settings.store.url.path,) if settings.store.url.is_file else ()
    files = (*store, places.compiled, settings.paths.access_log)
    return list(dict.fromkeys((str(settings.paths.state), *map(os.path.dirname, files))))


def check_kept(settings: Settings, places: Places) -> None:
    """They are the keeper's, before anything leans on it. Raises Refusal("config-invalid")."""
    keeper = account(settings.keeper)
    for path in kept_folders(settings, places) if os.geteuid() == 0 else ():
        if fault := fault_on_the_way(path, keeper.pw_uid):
            owner = _name_of(os.lstat(path).st_uid)
            hint = f"if {owner} kept it until now: gitguard admin init --kept-by {owner}"
            raise Refusal("config-invalid", fault, text=f"{fault}; nothing was changed", hint=hint)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def folders(settings: Settings, places: Places, kept_by: str | None, say: Callable[[str], None]) -> bool:
    """Make what is missing; whether state or log were given to another account."""
    name, keeper, given = str(settings.host.account), settings.keeper, False
    givers = (name, *([account(kept_by).pw_name] if kept_by else []))
    for path in kept_folders(settings, places):
        folder(path, keeper, keeper, 0o700, say)
        if os.geteuid() == 0 and hand_over(path, keeper, givers, renew_file):
            say(f"gave {path}/ to {keeper}, with all that is in it")
            given = True
    for root in settings.paths.roots:
        folder(str(root), name, name, 0o755, say)
    folder(os.path.dirname(authorized_keys(settings)), name, name, 0o700, say)
    for path in (places.gate, places.hook):
        folder(os.path.dirname(path), name, "root", 0o755, say)
    folder(places.units, name, "root", 0o755, say)
    return given
