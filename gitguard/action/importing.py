"""Taking people, keys and second factors over from a foreign list: what is there already
stays, so it can be repeated.

One transaction, with everything that can be taken; a dry run is the same one, taken back at its end.
"""

from __future__ import annotations

import secrets

from msgspec import Struct

from gitguard.action import steps
from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import Installation
from gitguard.action.keys import key_row
from gitguard.config.schema import Settings
from gitguard.factor.totp import WINDOW
from gitguard.host import key_file
from gitguard.importers.imported import (
    ImportedFactor,
    ImportedList,
    ImportedPerson,
    Skipped,
    name_of_alias,
    name_of_login,
    plain_name,
)
from gitguard.message.reasons import readable
from gitguard.session.moment import Moment
from gitguard.store.contract import Writing
from gitguard.store.rows import TotpFactor


class TakenOver(Struct, frozen=True):
    """One line's person, by the name they have here, and what was done; empty where all was there."""

    line: int
    login: str
    user: str
    done: tuple[str, ...]


class Imported(Struct, frozen=True):
    """What was taken, what was not and why, and what followed."""

    taken: tuple[TakenOver, ...]
    skipped: tuple[Skipped, ...]
    effects: Effects

    @property
    def changed(self) -> bool:
        """Whether anything is other than before."""
        return any(taken.done for taken in self.taken)


class _TakenBack(Exception):  # noqa: N818 - the end of a dry run
    """Takes the transaction back."""


def take(
    installation: Installation, offered: ImportedList, moment: Moment, actor: str, *, dry_run: bool = False
) -> Imported:
    """Take all that can be taken. Raises Refusal, and then nothing was."""
    taken: list[TakenOver] = []
    skipped = list(offered.skipped)
    foreign = installation.key_files
    logins: dict[str, str] = {}
    try:
        with installation.store.writing() as tx:
            for person in offered.people:
                sure, name = _named(installation.settings, person)
                before = logins.setdefault(name, person.login)
                if not name:
                    skipped.append(Skipped(person.line, person.login, _no_name(person.login)))
                elif (
                    not sure and tx.user(name) is None and _stands_for_something(installation.settings, name)
                ):
                    why = f"{name} stands in the configuration, and {_unsure(person)}"
                    skipped.append(Skipped(person.line, person.login, why))
                elif before.casefold() != person.login.casefold():
                    why = f"{before} is {name} already; give one of them another name under [aliases]"
                    skipped.append(Skipped(person.line, person.login, why))
                else:
                    done = _person(installation, tx, person, name, moment, actor, foreign, skipped, sure=sure)
                    if done is not None:
                        taken.append(TakenOver(person.line, person.login, name, tuple(done)))
            _end(dry_run=dry_run)
    except _TakenBack:
        return Imported(tuple(taken), tuple(sorted(skipped, key=lambda one: one.line)), Effects())
    effects = take_effect(installation, moment, keys=True)
    return Imported(tuple(taken), tuple(sorted(skipped, key=lambda one: one.line)), effects)


def _unsure(person: ImportedPerson) -> str:
    what = "an address alone" if "@" in person.login else "what people call themselves"
    return (
        f"{what} does not say that it is the same person; "
        "give a login, an alias, or its domain under [web] login_domains"
    )


def _named(settings: Settings, person: ImportedPerson) -> tuple[bool, str]:
    """(whether the offer's login says who it is, their name here; "" for none).

    What does not say who someone is says what to call a new person.
    """
    if person.unsure and "@" not in person.login:
        named = name_of_alias(person.login, settings.aliases)
        return bool(named), named or plain_name(person.login)
    sure = name_of_login(person.login, settings.aliases, settings.web.login_domains)
    return bool(sure), sure or (plain_name(person.login.partition("@")[0]) if person.unsure else "")


def _stands_for_something(settings: Settings, name: str) -> bool:
    """Whether the configuration mentions `name`, so that nobody becomes them by a display name."""
    return (
        settings.is_server_admin(name)
        or name in settings.aliases.values()
        or any(name in members for members in settings.groups.values())
        or any(name in rule.users for rule in settings.rules)
    )


def _no_name(login: str) -> str:
    _, at, domain = login.strip().rpartition("@")
    if at and domain:
        return f"{readable(domain, 80)} is not one of [web] login_domains; name it there, or give the login a name under [aliases]"
    return "it gives no user's name; give it one under [aliases]"


def _end(*, dry_run: bool) -> None:
    if dry_run:
        raise _TakenBack


def _person(
    installation: Installation,
    tx: Writing,
    person: ImportedPerson,
    name: str,
    moment: Moment,
    actor: str,
    foreign: list[str],
    skipped: list[Skipped],
    *,
    sure: bool,
) -> list[str] | None:
    """What was done for one person; None where nothing can be, because they were removed."""
    done = []
    there = tx.user(name)
    if there is not None and there.state == "removed":
        skipped.append(
            Skipped(
                person.line,
                person.login,
                f"{name} was removed; if they are back: gitguard admin user restore {name}",
            )
        )
        return None
    if there is None:
        steps.add_user(tx, name, moment.at, actor)
        done.append(f"added the user {name}")
    for key in person.keys:
        what = f"{key.key.fingerprint} of {person.login}"
        owner = tx.key(key.key.fingerprint)
        same = owner is not None and owner.limited_by == key_row(name, key, 0).limited_by
        if owner is not None and owner.user != name:
            skipped.append(Skipped(person.line, what, f"it is a key of {owner.user}"))
        elif owner is not None and not same:
            why = f"it is stored with other limits or another program; first: gitguard admin key remove {owner.fingerprint}"
            skipped.append(Skipped(person.line, what, why))
        elif owner is None and there is not None and not sure:
            why = f"{name} is there already, and {_unsure(person)}"
            skipped.append(Skipped(person.line, what, why))
        elif owner is None and any(key_file.carried(path, [key.key.blob]) for path in foreign):
            why = (
                "it stands ungated in a file that sshd reads; take it over with: gitguard admin key adopt MAP"
            )
            skipped.append(Skipped(person.line, what, why))
        elif owner is None:
            steps.add_key(tx, key_row(name, key, moment.at), moment.at, actor)
            done.append(f"added the key {key.key.fingerprint}")
    if person.factor is not None:
        done += _factor(installation, tx, person, person.factor, name, moment, actor, skipped)
    return done


def _factor(
    installation: Installation,
    tx: Writing,
    person: ImportedPerson,
    offered: ImportedFactor,
    name: str,
    moment: Moment,
    actor: str,
    skipped: list[Skipped],
) -> list[str]:
    """Import the secret, unless there is one. Codes that the other program may have seen do not count."""
    ring = installation.keyring
    there = tx.totp_of(name)
    if there is not None:
        if ring.decrypt(there) != offered.secret:
            why = f"{name} has another second factor; reset it first: gitguard admin user reset {name}"
            skipped.append(Skipped(person.line, f"the second factor of {person.login}", why))
        return []
    enrolment = secrets.token_hex(8)
    cipher_key, sealed = ring.encrypt(name, enrolment, offered.secret)
    step = moment.at // offered.period_seconds + WINDOW
    tx.put_totp(
        TotpFactor(
            name, enrolment, sealed, cipher_key, offered.digits, offered.period_seconds, "SHA1", step, moment.at
        )
    )  # fmt: skip
    tx.drop_invite(name)
    tx.record("enrolled", moment.at, actor, user=name, basis="import", again=False)
    return ["took the second factor over; recovery codes: 2fa recovery-codes"]
