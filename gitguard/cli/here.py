"""One person at one terminal, and the sentences that several verbs say."""

from __future__ import annotations

import json
from dataclasses import dataclass

import click

from gitguard.account.standing import remaining
from gitguard.cli.prompt import ask
from gitguard.config.schema import Settings
from gitguard.factor.proof import Desk, Person
from gitguard.host.riding import Riding
from gitguard.message.moments import until
from gitguard.message.refusals import View
from gitguard.session.moment import Moment
from gitguard.store.contract import Session


@dataclass(frozen=True, slots=True)
class Here:
    """Who types, what the use cases work with, and how this server is called in hints."""

    desk: Desk
    person: Person
    view: View
    riding: Riding

    @property
    def settings(self) -> Settings:
        """The configuration."""
        return self.desk.settings


def ask_code(here: Here) -> bytes:
    """A code, typed at the prompt. Raises Refusal("not-a-code") when nothing comes."""
    wanted = here.settings.second_factor
    with here.desk.store.reading() as tx:
        factor = tx.factor(here.person.user)
    digits = wanted.digits if factor is None else factor.digits
    return ask(
        f"code from your app ({digits} digits)"
        + (", or a recovery code: " if wanted.recovery_codes else ": ")
    )


def say_session(here: Here, session: Session, moment: Moment) -> None:
    """The real end of a session, with zone and time left, and what it covers."""
    left = remaining(session, here.settings.session.lifetime, moment)
    covers = {"address": f"this key from {session.network}", "key": "this key", "user": "all your keys"}[
        session.scope
    ]
    click.echo(f"verified until {until(moment.at + left, moment.at)}, for {covers}")


def more_codes(here: Here, left: int) -> str:
    """How to get new recovery codes, when few are left."""
    return f"; for a new set: {here.view.ssh('recovery-codes')}" if left <= FEW else ""


def counted(count: int, noun: str, rest: str) -> None:
    """`2 sessions ended`."""
    click.echo(f"{count} {noun}{'' if count == 1 else 's'} {rest}")


def say_json(value: object) -> None:
    """JSON for programs: indented, sorted as given, ASCII."""
    click.echo(json.dumps(value, indent=2))


FEW = 2  # recovery codes left, from which on it is said
