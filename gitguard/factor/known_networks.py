"""From where a person is known: one phished code does less elsewhere."""

from __future__ import annotations

from gitguard.factor.person import Person
from gitguard.session.moment import Moment
from gitguard.session.scope import network_of
from gitguard.store.contract import Reading

KNOWN_AFTER_SECONDS = 86400  # from the first verification on, a network is not known for so long


def is_known_network(tx: Reading, person: Person, moment: Moment) -> bool:
    """Whether the person enrolled from where they are now, or verified from there a day ago and more."""
    network = network_of(person.address)
    since = tx.network_known_since(person.user, network) if network is not None else None
    return since is not None and moment.at - since >= KNOWN_AFTER_SECONDS
