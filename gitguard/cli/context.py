"""One person at one terminal, and the sentences that several verbs say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click
from msgspec import Struct

from gitguard.action.installation import Installation
from gitguard.cli.printing import counted
from gitguard.cli.prompt import PromptQueue, aside, ask
from gitguard.config.schema import Settings
from gitguard.factor.change import ProofWanted
from gitguard.factor.person import Person
from gitguard.factor.proof import SecondCodeWanted
from gitguard.message.moments import clock, until
from gitguard.message.reasons import printable, readable
from gitguard.message.refusals import ServerAddress
from gitguard.session.credential import credential_of
from gitguard.session.moment import Moment, now
from gitguard.session.scope import network_of, scope_of
from gitguard.store.rows import Change, Session

if TYPE_CHECKING:
    from gitguard.action.effects import Effects

T = TypeVar("T")

DOING = {"read": "read", "push": "push to"}
CHANGED = {  # event of a change -> in words
    "recovery-codes-replaced": "new recovery codes",
    "key-added": "{subject} was added to your keys",
    "key-removed": "{subject} was taken from your keys",
    "enrolled": "another authenticator app was set up",
    "factor-removed": "your second factor was removed",
    "always-off": "always was switched off",
    "first-code": "a code was used up for a change, which takes a second one",
}
FEW = 2  # recovery codes left, from which on it is said


class UserContext(Struct, frozen=True):
    """Who types, what the actions work with, and how this server is called in hints."""

    installation: Installation
    person: Person
    server: ServerAddress

    @property
    def settings(self) -> Settings:
        """The configuration."""
        return self.installation.settings

    @property
    def queue(self) -> PromptQueue:
        """Where this person's key stands in line at prompts."""
        return PromptQueue(f"{self.settings.paths.state}/prompts", self.person.credential.text)


def ask_code(context: UserContext, *, aloud: bool = True) -> bytes:
    """A code, typed at the prompt. Raises Refusal("not-a-code") when nothing comes."""
    wanted = context.settings.second_factor
    with context.installation.store.reading() as tx:
        factor = tx.totp_of(context.person.user)
    digits = wanted.digits if factor is None else factor.digits
    question = f"code from your app ({digits} digits)"
    question += ", or a recovery code: " if wanted.recovery_codes else ": "
    return ask(question if aloud else "", queue=context.queue)


def with_codes(context: UserContext, action: Callable[[bytes, Moment], T]) -> T:
    """What `action` gives for a code, or for two, one after the other, where the network
    that it comes from is not known.
    """
    typed = ask_code(context)
    try:
        return action(typed, now())
    except SecondCodeWanted:
        return action(ask_second(context), now())


def ask_second(context: UserContext) -> bytes:
    """The second of two codes, and why it is asked for. Raises as `ask_code`."""
    aside(
        "you have not verified from this network for a day yet, so this takes a second code: wait for the next one that your app shows"
    )
    return ask_code(context)


def with_code(context: UserContext, action: Callable[[bytes | None, Moment], T]) -> T:
    """What `action` gives; if it needs a proof, a code is asked for and it is called again with it."""
    try:
        return action(None, now())
    except ProofWanted:
        return with_codes(context, action)


def say_changes(changes: Sequence[Change], moment: Moment) -> None:
    """Lasting changes that were made elsewhere: the owner is the one who can tell whether it was them."""
    for change in changes:
        what = CHANGED.get(change.event, change.event).format(subject=change.subject)
        where = f" from {printable(change.address, 60)}" if change.address else ""
        click.echo(
            f"changed at {clock(change.at, moment.at)}: {what}, by the {credential_of(change.credential).shown}{where}"
        )
    if changes:
        click.echo("if that was not you, tell your server admin now")


def say_session(context: UserContext, session: Session, moment: Moment) -> None:
    """The real end of a session, with zone and time left, and what it covers."""
    left = session.freshness(moment).lasts(context.settings.session.lifetime)
    is_account = context.person.credential.kind == "uid"
    this = "this account" if is_account else "this key"
    covers = {"address": f"this key from {session.network}", "key": this, "user": "all your keys"}[
        session.scope
    ]
    click.echo(f"verified until {until(moment.at + left, moment.at)}, for {covers}")
    if is_account and session.scope != "user":
        click.echo('it covers no key of yours: that takes [session] scope = "user" on this server')


def say_waiting(context: UserContext, rest: str) -> None:
    """The pushes of this person that wait, by the number that their terminal shows; `rest`:
    what this key's session does.
    """
    kind, person = context.settings.session.scope, context.person
    mine = scope_of(kind, person.credential, person.address)
    with context.installation.store.reading() as tx:
        waiting = context.installation.notes(tx).held(now().at)
    for held in waiting:
        if held.user != person.user:
            continue
        covered = mine is not None and scope_of(kind, credential_of(held.credential), held.address) == mine
        here_too = held.credential == person.credential.text and network_of(held.address) == network_of(
            person.address
        )
        what = f"push to {readable(held.repository, 100)}"
        if covered and here_too and person.address:
            click.echo(f"{what}, number {held.number}, {rest}")
        elif covered:
            click.echo(
                f"{what} from {printable(held.address, 60)} {rest}; if it is not yours, tell your server admin"
            )
        else:
            # MUST: without its number. The page asks for it, so nobody allows what another terminal shows.
            click.echo(
                f"{what} from {printable(held.address, 60)} waits to be verified there; if it is not yours, tell your server admin"
            )


def say_effects(effects: Effects, *, rest: str = "ended") -> None:
    """What followed a change: transfers that ended, and what could not be done although the change stands."""
    if effects.ended:
        counted(effects.ended, "running transfer", rest)


def check_effects(effects: Effects, stands: str) -> None:
    """Raises the refusal of what could not follow, saying what stands all the same. Call it last."""
    fault = effects.fault
    if fault is None:
        return
    raise fault.but(
        text=f"{stands}, but not all that follows could be done: {fault.text or fault.detail}",
        hint="when that is mended, bring everything in line with: gitguard admin init",
    )


def say_lag(installation: Installation) -> None:
    """That the audit head lags behind this change. Without its path, since a person over SSH reads it."""
    if installation.store.lags:
        text = f"gitguard: the audit head could not be written ({installation.store.lags}), so it lags"
        with contextlib.suppress(OSError):
            click.echo(text, err=True)


def more_codes(context: UserContext, left: int) -> str:
    """How to get new recovery codes, when few are left."""
    return f"; for a new set: {context.server.ssh('recovery-codes')}" if left <= FEW else ""
