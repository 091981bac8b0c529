"""Wrong codes: what a guess costs, and whose budget it is. The arithmetic is in throttle.py; this
is its place in a transaction.

MUST: what is charged is charged to the credential that asked and to the network that it came from, so that
nobody spends another's budget.
"""

from __future__ import annotations

from gitguard.factor.context import ProofContext
from gitguard.factor.person import Person, record
from gitguard.factor.throttle import longest_window, retry_at
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.session.scope import network_of
from gitguard.store.contract import Reading, Writing
from gitguard.store.rows import Guessing

MANY_USERS = (10, 30, 100, 300, 1000, 3000)  # users with failures within a day, at which the trail says so


def check_throttle(context: ProofContext, tx: Reading, person: Person, moment: Moment) -> bool:
    """Whether anything is charged that a success would clear. Raises Refusal("throttled") while the budget of
    this credential or user is spent; charges nothing.
    """
    limits = context.settings.throttle
    failures = tx.failures(person.user, moment.at - longest_window(limits))
    guessing = tx.guessing(person.user)
    retry = retry_at(failures, person.budget_key, moment.at, limits, _unanswered(tx, person, guessing))
    if retry is not None:
        raise Refusal("throttled", retry_at=retry)
    return bool(failures or guessing)


def record_throttled(context: ProofContext, tx: Writing, person: Person, moment: Moment) -> None:
    """The failure that was charged just now may have spent the budget: said once, since
    attempts after it are not charged.
    """
    try:
        check_throttle(context, tx, person, moment)
    except Refusal as refusal:
        record(tx, "throttled", person, moment, retry_at=refusal.facts["retry_at"])


def _unanswered(tx: Reading, person: Person, guessing: list[Guessing]) -> int:
    """Failures that no success from the same network has followed, as they count for an attempt of `person`.

    From a network where the user has verified before, only that network's own count; otherwise a thief
    elsewhere would spend the owner's budget.
    """
    network = network_of(person.address) or ""
    if guessing and network and tx.has_verified_from(person.user, network):
        guessing = [entry for entry in guessing if entry.network == network]
    return sum(entry.failures for entry in guessing)


def charge(tx: Writing, person: Person, moment: Moment) -> None:
    """One failure on the account of this user and credential, and of the network that it came from."""
    tx.add_failure(person.user, person.budget_key, moment.at)
    day_ago = moment.at - 86400
    before = len(tx.users_guessed_since(day_ago))
    tx.count_guess(person.user, network_of(person.address) or "", person.address, moment.at)
    after = len(tx.users_guessed_since(day_ago))
    if any(before < many <= after for many in MANY_USERS):  # others may have been counted in between
        record(tx, "many-users-guessed", person, moment, users=after)


def rejected_code(tx: Writing, person: Person, moment: Moment, cause: str) -> Refusal:
    """One text for wrong, replayed and burned; the audit trail tells them apart."""
    record(tx, "code-rejected", person, moment, cause=cause)
    return Refusal("code-rejected", cause)
