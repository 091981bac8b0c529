"""A repository's toggle: what its admins demand, and who they are.

A toggle can only tighten what the server requires, and never falls below the floor that the admin set for the
repository. Each change and its audit record are one transaction; who may call, and with which proof, is asked
before (`may_administer`) and by the caller.
"""

from __future__ import annotations

from msgspec import Struct

from gitguard.config.schema import Settings
from gitguard.config.types import format_duration, seconds_of
from gitguard.message.reasons import Refusal, printable
from gitguard.policy.requirement import TOGGLE_OFFERED, TOGGLES
from gitguard.repository.registry import known
from gitguard.store.contract import Reading, Writing
from gitguard.store.rows import Repository

SHORTEST_SECONDS = 1


class ToggleChange(Struct, frozen=True):
    """What a toggle was and is, in words."""

    repository: str
    before: str
    after: str


def describe(require: str, lifetime_seconds: int | None) -> str:
    """`push, lifetime 1h`."""
    return require if lifetime_seconds is None else f"{require}, lifetime {format_duration(lifetime_seconds)}"


def may_administer(tx: Reading, settings: Settings, repository: Repository, user: str) -> bool:
    """Whether `user` administers `repository`: named in the store, or a server admin."""
    return settings.is_server_admin(user) or user in tx.repository_admins(repository.name)


def check_offered(settings: Settings) -> None:
    """Raises Refusal("not-available") where the enforcement leaves repository admins no toggle."""
    enforcement = settings.git.enforcement
    if not TOGGLE_OFFERED[enforcement]:
        why = (
            "the server requires 2FA for everything"
            if enforcement == "enforced"
            else "the server's rules decide"
        )
        raise Refusal(
            "not-available",
            text=f"repositories have no switch of their own here, because {why} (enforcement = {enforcement})",
        )


def without_effect(settings: Settings) -> str:
    """A sentence for the admin where a toggle is stored but changes nothing at present."""
    return {
        "off": "no effect now: enforcement is off",
        "enforced": "no effect: the server already requires 2FA for everything (a shorter lifetime still counts; only the server's admins can set it)",
        "rules": 'in force, but only the server\'s admins can change it (enforcement is "rules")',
    }.get(settings.git.enforcement, "")


def read_require(word: str) -> str:
    """`none`, `push` or `all`. Raises Refusal("usage")."""
    if word not in TOGGLES:
        raise Refusal("usage", text=f'"{printable(word, 60)}" is not one of: {", ".join(TOGGLES)}')
    return word


def read_lifetime(settings: Settings, word: str) -> int | None:
    """Seconds, or None for `default`. Raises Refusal("usage") for what is longer than the server's."""
    if word == "default":
        return None
    try:
        seconds = seconds_of(word)
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    if seconds < SHORTEST_SECONDS:
        raise Refusal("usage", text="a lifetime is at least 1s")
    if seconds > settings.session.lifetime:
        longest = format_duration(settings.session.lifetime)
        raise Refusal("usage", text=f"the lifetime cannot be longer than the server's, {longest}")
    return seconds


def set_require(
    tx: Writing, settings: Settings, name: str, word: str, at: int, actor: str, *, floor: bool = False
) -> ToggleChange:
    """Set what is required; with `floor` as the server's admin. Raises Refusal("usage",
    "forbidden" or "no-such-repository").
    """
    repository = known(tx, settings, name)
    wanted = read_require(word)
    if not floor and TOGGLES.index(wanted) < TOGGLES.index(repository.floor_require):
        raise Refusal(
            "forbidden",
            text=f"the server requires at least {repository.floor_require} for {repository.name}; it can only be tightened",
        )
    if floor:
        return _set(
            tx,
            repository,
            wanted,
            repository.lifetime_seconds,
            at,
            actor,
            floor=(wanted, repository.floor_lifetime_seconds),
        )
    return _set(tx, repository, wanted, repository.lifetime_seconds, at, actor)


def set_lifetime(
    tx: Writing, settings: Settings, name: str, word: str, at: int, actor: str, *, floor: bool = False
) -> ToggleChange:
    """Set how long a verification counts here; with `floor` as the admin. Raises as `set_require`."""
    repository = known(tx, settings, name)
    wanted = read_lifetime(settings, word)
    longest = repository.floor_lifetime_seconds
    if not floor and longest is not None and (wanted is None or wanted > longest):
        raise Refusal(
            "forbidden",
            text=f"the server allows at most {format_duration(longest)} for {repository.name}; it can only be shortened",
        )
    if floor:
        return _set(
            tx, repository, repository.require, wanted, at, actor, floor=(repository.floor_require, wanted)
        )
    return _set(tx, repository, repository.require, wanted, at, actor)


def set_both(
    tx: Writing,
    repository: Repository,
    demanded: tuple[str, int | None],
    floor: tuple[str, int | None],
    at: int,
    actor: str,
) -> ToggleChange:
    """Set (require, lifetime in seconds) of the toggle and of the floor below it at once."""
    return _set(tx, repository, *demanded, at, actor, floor=floor)


def _set(
    tx: Writing,
    repository: Repository,
    require: str,
    lifetime_seconds: int | None,
    at: int,
    actor: str,
    *,
    floor: tuple[str, int | None] | None = None,
) -> ToggleChange:
    change = ToggleChange(
        repository.name,
        describe(repository.require, repository.lifetime_seconds),
        describe(require, lifetime_seconds),
    )
    here = (repository.floor_require, repository.floor_lifetime_seconds)
    if change.before == change.after and floor in (None, here):
        return change  # what changes nothing is not a change, and leaves no record
    tx.set_toggle(repository.name, require, lifetime_seconds)
    details: dict[str, object] = {"before": change.before, "after": change.after}
    if floor is not None:
        tx.set_floor(repository.name, *floor)
        details["floor"] = describe(*floor)
    tx.record("toggle-set", at, actor, repository=repository.name, **details)
    return change


def change_admin(
    tx: Writing, settings: Settings, name: str, verb: str, user: str, at: int, actor: str
) -> tuple[Repository, bool]:
    """Add or remove (`verb`) an admin of a repository; (repository, whether anything changed).

    Raises Refusal("usage") for another verb or an unknown user, Refusal("no-such-repository").
    """
    repository = known(tx, settings, name)
    if verb not in ("add", "remove"):
        raise Refusal("usage", text=f"admin add or admin remove, not {verb}")
    entry = tx.user(user)
    if entry is None:
        raise Refusal("usage", text=f"no user {printable(user, 64)}")
    if verb == "add":
        if entry.state == "removed":
            raise Refusal("usage", text=f"no user {user}")
        changed = tx.add_repository_admin(repository.name, user)
    else:
        changed = tx.remove_repository_admin(repository.name, user)
    if changed:
        word = "added" if verb == "add" else "removed"
        tx.record(f"repository-admin-{word}", at, actor, repository=repository.name, user=user)
    return repository, changed
