"""What a repository's admins set: show, require, lifetime, admin."""

from __future__ import annotations

import click

from gitguard.action import toggles
from gitguard.action.effects import Effects
from gitguard.action.repository_state import of_person, state_lines
from gitguard.cli.context import UserContext, check_effects, say_effects, with_code
from gitguard.cli.printing import say_json
from gitguard.config.schema import Settings
from gitguard.decision.status import exempted, status_of
from gitguard.factor.person import Person
from gitguard.message.reasons import Refusal
from gitguard.repository import toggle
from gitguard.repository.registry import known
from gitguard.session.moment import now
from gitguard.store.contract import Reading
from gitguard.store.rows import Key, Repository


def show(context: UserContext, repo: str, json: bool) -> int:
    """What a repository requires; anyone whose key is known may ask.

    Behind a program with its own list of repositories a session is needed, or being an admin of it; otherwise
    the answer would tell which names are there.
    """
    with context.installation.store.reading() as tx:
        if _is_behind_program(context.settings, tx.key(context.person.credential.text)) and not _may_ask(
            context, tx, repo
        ):
            raise Refusal("verification-required", text=f"verify first: {context.server.ssh('verify')}")
        show_repository(
            tx, context.settings, known(tx, context.settings, repo), as_json=json, person=context.person
        )
    return 0


def _is_behind_program(settings: Settings, key: Key | None) -> bool:
    return bool(settings.git.behind) or (key is not None and bool(key.behind))


def _may_ask(context: UserContext, tx: Reading, repo: str) -> bool:
    if status_of(tx, context.settings, context.person, now()).session is not None:
        return True
    try:
        repository = known(tx, context.settings, repo)
    except Refusal:
        return False
    return toggle.may_administer(tx, context.settings, repository, context.person.user)


def show_repository(
    tx: Reading, settings: Settings, repository: Repository, *, as_json: bool, person: Person | None = None
) -> None:
    """Print one repository's toggle, its admins, its effect, and what it requires of `person`."""
    moment = now()
    if not as_json:
        for line in state_lines(tx, settings, repository, person, moment):
            click.echo(line)
        return
    yours = {} if person is None else of_person(tx, settings, repository, person, moment)
    own = {
        operation: {
            "required": demand.required,
            "lifetime_seconds": demand.lifetime_seconds,
            "because": demand.because,
            "depends_on_refs": demand.depends_on_refs,
        }
        for operation, demand in yours.items()
    }
    say_json(
        {
            "repository": repository.name,
            "require": repository.require,
            "lifetime_seconds": repository.lifetime_seconds,
            "floor": repository.floor_require,
            "floor_lifetime_seconds": repository.floor_lifetime_seconds,
            "enforcement": settings.git.enforcement,
            "admins": tx.repository_admins(repository.name),
            "exempt": [
                {"rule": rule.name, "users": [str(user) for user in rule.users], "until": rule.until}
                for rule in exempted(settings, repository.name, moment)
            ],
            **({} if person is None else {"of_you": own}),
        }
    )


def require(context: UserContext, repo: str, require: str) -> int:
    """Set what the repository requires."""
    done, effects = with_code(
        context,
        lambda typed, at: toggles.set_require(context.installation, context.person, repo, require, at, typed),
    )
    say_toggle(context.settings, done, effects)
    return 0


def lifetime(context: UserContext, repo: str, lifetime: str) -> int:
    """Set how long a verification counts for the repository."""
    done, effects = with_code(
        context,
        lambda typed, at: toggles.set_lifetime(
            context.installation, context.person, repo, lifetime, at, typed
        ),
    )
    say_toggle(context.settings, done, effects)
    return 0


def admin(context: UserContext, repo: str, verb: str, user: str) -> int:
    """Add or remove an admin of the repository."""
    name, changed = with_code(
        context,
        lambda typed, at: toggles.change_admin(
            context.installation, context.person, repo, verb, user, at, typed
        ),
    )
    say_admin(name, verb, user, changed=changed)
    return 0


def say_toggle(settings: Settings, done: toggle.ToggleChange, effects: Effects) -> None:
    """Say what a toggle was and is, and what ended with it."""
    if done.before == done.after:
        click.echo(f"{done.repository} requires {done.after} already")
    else:
        click.echo(f"{done.repository} now requires {done.after} (was {done.before})")
    say_effects(effects, rest="that no longer met the requirement ended")
    if note := toggle.without_effect(settings):
        click.echo(note)
    check_effects(effects, f"{done.repository} requires {done.after}")


def say_admin(repository: str, verb: str, user: str, *, changed: bool) -> None:
    """Say who became, or is no longer, an admin of a repository."""
    if verb == "add":
        click.echo(f"{user} is {'now' if changed else 'already'} an admin of {repository}")
    elif changed:
        click.echo(f"{user} is no longer an admin of {repository}")
    else:
        click.echo(f"{user} was not an admin of {repository}")
