"""What lasts and was changed by someone with the person's own code, kept to be told to
them where they verify next.
"""

from __future__ import annotations

from gitguard.factor.known_networks import is_known_network
from gitguard.factor.person import Person
from gitguard.session.moment import Moment
from gitguard.session.scope import network_of
from gitguard.store.contract import Writing
from gitguard.store.rows import Change, Guessing

TOLD_SECONDS = 30 * 86400  # what changed longer ago is not told any more
REJECTED_SECONDS = 7 * 86400  # nor wrong codes, to someone who is never at home


def note_change(tx: Writing, event: str, person: Person, moment: Moment, subject: str = "") -> None:
    """Note a lasting change of `person`, by themselves: they are told of it elsewhere."""
    change = Change(moment.at, event, subject, person.budget_key, person.address)
    tx.note_change(person.user, change, network_of(person.address) or "")


def rejected(tx: Writing, person: Person, moment: Moment) -> Guessing | None:
    """The wrong codes that the person is told of: since they last verified at home, and of this week."""
    found = tx.rejections(person.user)
    return found if found is not None and moment.at - found.last_at <= REJECTED_SECONDS else None


def told(tx: Writing, person: Person, moment: Moment) -> None:
    """What a proof brings to say is said now. MUST: only where it is shown; and whoever verified from a
    strange network does not take the owner's wrong codes away.
    """
    tx.mark_told(person.user, person.budget_key, network_of(person.address) or "")
    if is_known_network(tx, person, moment):
        tx.forget_rejections(person.user)
