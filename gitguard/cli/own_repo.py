"""A repository admin's verbs: show what a repository demands, and tighten it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

import click

from gitguard.cli.here import Here, ask_code, counted, say_json
from gitguard.config.schema import Settings
from gitguard.factor import change
from gitguard.factor.proof import Desk
from gitguard.host.riding import Rider, Riding
from gitguard.message.reasons import Refusal
from gitguard.repository import toggle
from gitguard.repository.directory import borrowed
from gitguard.repository.registry import known
from gitguard.session.moment import Moment, now
from gitguard.store.contract import Reading, Repository, Writing

T = TypeVar("T")


def show(here: Here, repo: str, json: bool) -> int:
    """What a repository demands; anyone whose key is known may ask."""
    with here.desk.store.reading() as tx:
        show_repository(tx, here.settings, known(tx, here.settings, repo), as_json=json)
    return 0


def show_repository(tx: Reading, settings: Settings, repository: Repository, *, as_json: bool) -> None:
    """Print one repository's toggle, its admins, and what the server's enforcement makes of it."""
    admins = tx.repository_admins(repository.name)
    if as_json:
        say_json(
            {
                "repository": repository.name,
                "require": repository.require,
                "lifetime_seconds": repository.lifetime_seconds,
                "enforcement": settings.git.enforcement,
                "admins": admins,
                "exempt": [],
            }
        )
        return
    click.echo(
        f"{repository.name}: require {toggle.describe(repository.require, repository.lifetime_seconds)}"
    )
    click.echo(f"enforcement of the server: {settings.git.enforcement}")
    if note := toggle.without_effect(settings):
        click.echo(note)
    click.echo(f"admins: {', '.join(admins) or 'none; server admins alone'}")


def require(here: Here, repo: str, require: str) -> int:
    """Set what the repository demands."""
    toggle.read_require(require)
    done = _toggled(
        here, repo, lambda tx, m: toggle.set_require(tx, here.settings, repo, require, m.at, here.person.user)
    )
    say_toggle(here.desk, here.riding, done)
    return 0


def lifetime(here: Here, repo: str, lifetime: str) -> int:
    """Set how long a verification counts for the repository."""
    toggle.read_lifetime(here.settings, lifetime)
    done = _toggled(
        here,
        repo,
        lambda tx, m: toggle.set_lifetime(tx, here.settings, repo, lifetime, m.at, here.person.user),
    )
    say_toggle(here.desk, here.riding, done)
    return 0


def admin(here: Here, repo: str, verb: str, user: str) -> int:
    """Add or remove an admin of the repository."""
    repository, changed = _toggled(
        here,
        repo,
        lambda tx, m: toggle.change_admin(tx, here.settings, repo, verb, user, m.at, here.person.user),
    )
    say_admin(repository.name, verb, user, changed=changed)
    return 0


def _toggled(here: Here, repo: str, apply: Callable[[Writing, Moment], T]) -> T:
    """Apply a change to a toggle for one who may, with a fresh factor. Raises Refusal."""
    with here.desk.store.reading() as tx:
        repository = known(tx, here.settings, repo)
        if not toggle.may_administer(tx, here.settings, repository, here.person.user):
            raise Refusal("forbidden", text=f"only the admins of {repository.name} may do this")
    toggle.check_offered(here.settings)

    def as_admin(tx: Writing, moment: Moment) -> T:
        # Asked again inside the transaction: who was an admin while typing may be none any more.
        if not toggle.may_administer(tx, here.settings, known(tx, here.settings, repo), here.person.user):
            raise Refusal("forbidden", text=f"only the admins of {repository.name} may do this")
        return apply(tx, moment)

    return change.with_fresh_factor(here.desk, here.person, now, lambda: ask_code(here), as_admin)


def say_toggle(desk: Desk, riding: Riding, done: toggle.Change) -> None:
    """Say what a toggle was and is, and end what began without the proof it now demands."""
    if done.before == done.after:
        click.echo(f"{done.repository} requires {done.after} already")
    else:
        click.echo(f"{done.repository} now requires {done.after} (was {done.before})")
    if done.tightened and (count := _end_unproved(desk, riding, done)):
        counted(count, "running transfer", "that began without a verification ended")
    if note := toggle.without_effect(desk.settings):
        click.echo(note)


def _end_unproved(desk: Desk, riding: Riding, done: toggle.Change) -> int:
    """End what began without the proof that is now demanded: here, and where these objects are borrowed."""
    names = {done.repository}
    with desk.store.reading() as tx:
        lender = tx.repository(done.repository)
        for other in tx.repositories():
            with contextlib.suppress(Refusal):
                if lender is not None and lender.directory in borrowed(other.directory):
                    names.add(other.name)
    read_too = done.after.startswith("all")
    lasts = [name.rpartition("/")[2] for name in names]

    def unproved(rider: Rider) -> bool:
        if rider.deciding:
            return any(last in rider.repository for last in lasts)
        return rider.repository in names and rider.session == 0 and (read_too or rider.operation != "read")

    return riding.end(unproved)


def say_admin(repository: str, verb: str, user: str, *, changed: bool) -> None:
    """Say who became, or is no longer, an admin of a repository."""
    state = "an admin" if verb == "add" else "no admin"
    click.echo(f"{user} is {'now' if changed else 'already'} {state} of {repository}")
