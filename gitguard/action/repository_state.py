"""What a repository requires, in words, for `repo show` and the page: the setting and its effect."""

from __future__ import annotations

from gitguard.config.rules import policy_of
from gitguard.config.schema import Settings
from gitguard.config.types import format_duration
from gitguard.decision.status import demanded_of, exempted
from gitguard.factor.person import Person
from gitguard.message.moments import clock
from gitguard.message.reasons import readable
from gitguard.policy.requirement import Requirement
from gitguard.repository import toggle
from gitguard.session.moment import Moment
from gitguard.store.contract import Reading
from gitguard.store.rows import Repository

MEANINGS = {
    "none": "nothing beyond what the server requires",
    "push": "pushing requires 2FA, reading does not",
    "all": "reading and pushing require 2FA",
}


def state_lines(
    tx: Reading, settings: Settings, repository: Repository, person: Person | None, moment: Moment
) -> list[str]:
    """The setting, its effect, its admins, what it requires of `person` (if any), who is exempt."""
    lines = [
        (
            f"{repository.name}: require {toggle.describe(repository.require, repository.lifetime_seconds)}"
            f" ({MEANINGS[repository.require]})"
        )
    ]
    if repository.floor_require != "none" or repository.floor_lifetime_seconds is not None:
        floor = toggle.describe(repository.floor_require, repository.floor_lifetime_seconds)
        lines.append(f"the server requires at least: {floor}; the repository's admins may only tighten it")
    lines.append(f"enforcement of the server: {settings.git.enforcement}")
    if note := toggle.without_effect(settings):
        lines.append(note)
    lines.append(f"admins: {', '.join(tx.repository_admins(repository.name)) or 'none; server admins alone'}")
    if person is not None:
        for operation, demand in of_person(tx, settings, repository, person, moment).items():
            lines.append(_in_words(operation, demand))
    for rule in exempted(settings, repository.name, moment):
        users = ", ".join(str(user) for user in rule.users)
        until = f" until {clock(rule.until, moment.at)}" if rule.until is not None else ""
        lines.append(f"exempt by the rule {rule.name}{until}: {readable(users, 300)}")
    return lines


def of_person(
    tx: Reading, settings: Settings, repository: Repository, person: Person, moment: Moment
) -> dict[str, Requirement]:
    """Operation -> what the repository requires of `person`, with their own switch."""
    user = tx.user(person.user)
    always, policy = user is not None and user.always, policy_of(settings)
    return {
        operation: demanded_of(
            tx, policy, repository, person.user, operation, moment, address=person.address, always=always
        )
        for operation in ("read", "push")
    }


_CAUSES = {
    "toggle": "the repository",
    "enforcement": "the server",
    "always": '"always"',
    "rule": "rule {}",
    "borrows": "{}, from which it borrows objects",
    "lends": "{}, which borrows objects from it",
}


def _cause(word: str) -> str:
    """`toggle`, `rule:everyone`, `borrows:team/lib(toggle)` in words."""
    kind, _, name = word.partition(":")
    return _CAUSES.get(kind, word).format(name.partition("(")[0])


def _in_words(operation: str, demand: Requirement) -> str:
    """`to push you need 2FA from the last 8h (set by rule everyone)`, `you may read without
    2FA`; and what some refs need.
    """
    said = f"you may {operation} without 2FA"
    if demand.exempt:
        return f"{said}, by the exemption {demand.rule}"
    if demand.lifetime_seconds is not None:
        causes = " and ".join(_cause(word) for word in demand.because.split("+"))
        said = f"to {operation} you need 2FA from the last {format_duration(demand.lifetime_seconds)} (set by {causes})"
    if demand.depends_on_refs:
        named = ", ".join(f"{ref} (rule {rule})" for ref, rule in demand.refs[:3])
        said += f"; more for {named}" if named else "; more for some refs"
    return said
