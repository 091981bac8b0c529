"""What is required of a repository: by its own admins (the toggle), by the admin (toggle and floor)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import Installation
from gitguard.factor.change import with_proof
from gitguard.factor.person import Person
from gitguard.factor.proof import Lasting
from gitguard.message.reasons import Refusal
from gitguard.repository import toggle
from gitguard.repository.registry import known
from gitguard.session.moment import Moment
from gitguard.store.contract import Writing

T = TypeVar("T")


def set_require(
    installation: Installation, person: Person, name: str, word: str, moment: Moment, typed: bytes | None
) -> tuple[toggle.ToggleChange, Effects]:
    """A repository admin sets what is required. Raises Refusal, ProofWanted."""
    toggle.read_require(word)
    done = _as_admin(
        installation, person, name, moment, typed,
        lambda tx: toggle.set_require(tx, installation.settings, name, word, moment.at, person.user),
    )  # fmt: skip
    return done, take_effect(installation, moment)


def set_lifetime(
    installation: Installation, person: Person, name: str, word: str, moment: Moment, typed: bytes | None
) -> tuple[toggle.ToggleChange, Effects]:
    """A repository admin sets how long a verification counts. Raises Refusal, ProofWanted."""
    toggle.read_lifetime(installation.settings, word)
    done = _as_admin(
        installation, person, name, moment, typed,
        lambda tx: toggle.set_lifetime(tx, installation.settings, name, word, moment.at, person.user),
    )  # fmt: skip
    return done, take_effect(installation, moment)


def change_admin(
    installation: Installation,
    person: Person,
    name: str,
    verb: str,
    user: str,
    moment: Moment,
    typed: bytes | None,
) -> tuple[str, bool]:
    """A repository admin adds or removes one: (the repository's name, whether anything changed)."""
    repository, changed = _as_admin(
        installation, person, name, moment, typed,
        lambda tx: toggle.change_admin(tx, installation.settings, name, verb, user, moment.at, person.user),
    )  # fmt: skip
    return repository.name, changed


def _as_admin(
    installation: Installation,
    person: Person,
    name: str,
    moment: Moment,
    typed: bytes | None,
    apply: Callable[[Writing], T],
) -> T:
    """Apply a change to a toggle for one who may, with a fresh factor. Raises Refusal, ProofWanted."""

    def check(tx: Writing) -> T:
        # Inside the transaction: who was an admin, or was offered a toggle, while typing may be so no more.
        settings = installation.renewed().settings
        repository = known(tx, settings, name)
        if not toggle.may_administer(tx, settings, repository, person.user):
            raise Refusal("forbidden", text=f"only the admins of {repository.name} may do this")
        toggle.check_offered(settings)
        return apply(tx)

    with installation.store.reading() as tx:  # before anyone is asked for a code
        repository = known(tx, installation.settings, name)
        if not toggle.may_administer(tx, installation.settings, repository, person.user):
            raise Refusal("forbidden", text=f"only the admins of {repository.name} may do this")
    toggle.check_offered(installation.settings)
    return with_proof(installation, person, moment, typed, check, lasting=Lasting.YES)


def demand(
    installation: Installation, name: str, word: str, moment: Moment, actor: str
) -> tuple[toggle.ToggleChange, Effects]:
    """The server's admin sets what is required; its admins may only tighten it from there. Raises Refusal."""
    with installation.store.writing() as tx:
        done = toggle.set_require(tx, installation.settings, name, word, moment.at, actor, floor=True)
    return done, take_effect(installation, moment)


def demand_lifetime(
    installation: Installation, name: str, word: str, moment: Moment, actor: str
) -> tuple[toggle.ToggleChange, Effects]:
    """The server's admin sets how long a verification counts at most. Raises Refusal."""
    with installation.store.writing() as tx:
        done = toggle.set_lifetime(tx, installation.settings, name, word, moment.at, actor, floor=True)
    return done, take_effect(installation, moment)


def demand_both(
    installation: Installation,
    name: str,
    floor: tuple[str, int | None],
    demanded: tuple[str, int | None],
    moment: Moment,
    actor: str,
) -> Effects:
    """The admin sets the floor, and what a repository's own admins have tightened it to. Raises Refusal."""
    with installation.store.writing() as tx:
        toggle.set_both(tx, known(tx, installation.settings, name), demanded, floor, moment.at, actor)
    return take_effect(installation, moment)


def appoint(
    installation: Installation, name: str, verb: str, user: str, moment: Moment, actor: str
) -> tuple[str, bool]:
    """The server admin adds or removes a repository's admin: (its name, whether
    it changed). Raises Refusal.
    """
    with installation.store.writing() as tx:
        repository, changed = toggle.change_admin(
            tx, installation.settings, name, verb, user, moment.at, actor
        )
    return repository.name, changed
