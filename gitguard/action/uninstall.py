"""The way out: keys go to git-shell or to what stood behind the gate, hooks are as
they were, people keep working.

Repositories, store, configuration and log are left where they are; so is everything of root's.
"""

from __future__ import annotations

from msgspec import Struct

from gitguard.action.installation import Installation
from gitguard.host import key_file
from gitguard.machine.files import locked
from gitguard.machine.whereabouts import folders
from gitguard.message.reasons import Refusal
from gitguard.repository.releasing import release, what_releasing_does
from gitguard.session.moment import Moment
from gitguard.store.rows import Key


class Hook(Struct, frozen=True):
    """One repository: what becomes of its hook; `fault`: why that could not be done, "" if it was."""

    repository: str
    what: str
    fault: str = ""


class WayOut(Struct, frozen=True):
    """`keys` that continue without the gate, `left_out` those of suspended users, who stay out;
    `copy`: the key file as it was.
    """

    keys: tuple[Key, ...]
    left_out: tuple[Key, ...]
    hooks: tuple[Hook, ...]
    copy: str


def plan(installation: Installation) -> WayOut:
    """What `carry_out` would do. Changes nothing. Raises Refusal."""
    keys, left_out, directories = _facts(installation)
    hooks = [Hook(name, what) for name, path in directories if (what := what_releasing_does(path))]
    return WayOut(keys, left_out, tuple(hooks), installation.key_file + key_file.WITH_GITGUARD)


def carry_out(installation: Installation, moment: Moment, actor: str, reason: str) -> WayOut:
    """Do it: the trail first, then keys, then hooks; one that cannot be changed is named, and the
    rest continues. Raises Refusal.
    """
    with locked(
        installation.lock
    ):  # asked within: nobody is suspended, and no key removed, between the question and the file
        keys, left_out, directories = _facts(installation)
        with installation.store.writing() as tx:
            counts = {"keys": len(keys), "repositories": len(directories)}
            tx.record("uninstalled", moment.at, actor, **counts, reason=reason)
        key_file.release(installation.key_file, list(keys), tuple(installation.settings.git.behind))
    hooks = []
    for name, path in directories:
        try:
            what, fault = release(path), ""
        except Refusal as refusal:
            what, fault = "", refusal.text or refusal.detail
        if what or fault:
            hooks.append(Hook(name, what, fault))
    return WayOut(keys, left_out, tuple(hooks), installation.key_file + key_file.WITH_GITGUARD)


def _facts(installation: Installation) -> tuple[tuple[Key, ...], tuple[Key, ...], list[tuple[str, str]]]:
    """(keys that stay, keys of suspended users, (name, directory) of each repository that is there)."""
    with installation.store.reading() as tx:
        suspended = {user.name for user in tx.users() if user.state != "active"}
        keys = tx.keys()
        known = [(row.name, row.directory) for row in tx.repositories()]
    there = set(folders([directory for _, directory in known]))
    directories = [(name, directory) for name, directory in known if directory in there]
    return (
        tuple(key for key in keys if key.user not in suspended),
        tuple(key for key in keys if key.user in suspended),
        directories,
    )
