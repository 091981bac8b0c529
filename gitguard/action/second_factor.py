"""What a person does to their own second factor and sessions, with what must follow.
Nothing here asks or prints.

What needs a code that was not given raises factor.change.ProofWanted, and is called again with it.
"""

from __future__ import annotations

from msgspec import Struct

from gitguard.action import requests
from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import Installation
from gitguard.action.requests import ApprovalRequest
from gitguard.action.revocation import Selection
from gitguard.config.rules import policy_of
from gitguard.decision.status import demanded
from gitguard.factor import change, enrolment
from gitguard.factor.enrolment import Enrolled, EnrolmentAuthorization, PendingEnrolment
from gitguard.factor.person import Person, record
from gitguard.factor.proof import check_person
from gitguard.policy.narrowed import narrowed
from gitguard.session.methods import ENROLMENT, RECOVERY_CODE
from gitguard.session.moment import Moment
from gitguard.store.contract import Writing
from gitguard.store.rows import Session


class Left(Struct, frozen=True):
    """The sessions that ended, and what followed."""

    sessions: list[Session]
    effects: Effects


def begin_enrolment(
    installation: Installation, person: Person, given: bytes | None, moment: Moment
) -> PendingEnrolment:
    """A secret and recovery codes to show, on the basis of an invite or code (`given`). Raises Refusal."""
    authorization = enrolment.authorize_enrolment(installation, person, given, moment)
    return enrolment.begin(installation, person, authorization, moment)


def begin_enrolment_again(
    installation: Installation, person: Person, authorization: EnrolmentAuthorization, moment: Moment
) -> PendingEnrolment:
    """The same for who gave a recovery code a moment ago, since the phone is lost: it stands
    for this, too. Raises Refusal.
    """
    with installation.store.writing() as tx:
        check_person(tx, person)
        enrolment.check_authorization(installation.renewed(), tx, person, authorization, moment)
        record(tx, "enrolment-begun", person, moment, method=RECOVERY_CODE)
    return enrolment.begin(installation, person, authorization, moment)


def confirm(
    installation: Installation,
    person: Person,
    pending: PendingEnrolment,
    typed: bytes,
    moment: Moment,
    wanted: ApprovalRequest | None = None,
    number: str = "",
) -> tuple[Enrolled, Effects]:
    """Confirm an enrolment; enrolling again ends every connection that the factor
    before it let in. Raises Refusal.

    `wanted`: the pending request that led here, which may continue with it by its `number`.
    MUST: that is looked at behind the code, and a wrong one takes all of it back: anyone who
    has no code cannot try numbers.
    """

    def also(tx: Writing) -> None:
        if wanted is not None:
            requests.check_number(wanted, number)
            requests.session_for(installation, tx, person, wanted, moment, ENROLMENT)
            requests.claim(installation, tx, wanted, moment)

    done = enrolment.confirm(installation, person, pending, typed, moment, also)
    # A first enrolment is what a push may be waiting for; it asks again by itself.
    mine = frozenset({person.user})
    selected = Selection(users=mine) if done.again else Selection(prompts=mine)
    return done, take_effect(installation, moment, selected)


def leave(
    installation: Installation,
    person: Person,
    moment: Moment,
    typed: bytes | None,
    *,
    everywhere: bool = False,
    key: str = "",
) -> Left:
    """End sessions and the transfers that they allowed; with `everywhere` what waits at a prompt too.

    `key`: a fingerprint of the person's, other than the one that they use. Raises Refusal, ProofWanted.
    """
    ended = change.leave(installation, person, moment, typed, everywhere=everywhere, key=key)
    waiting = frozenset({person.user}) if everywhere else frozenset[str]()
    return Left(ended, take_effect(installation, moment, Selection(waiting=waiting)))


def replace_recovery_codes(
    installation: Installation, person: Person, typed: bytes, moment: Moment
) -> tuple[str, ...]:
    """A new set of recovery codes; the old set no longer works. Raises Refusal."""
    return change.replace_recovery_codes(installation, person, typed, moment)


def always(
    installation: Installation, person: Person, moment: Moment, typed: bytes | None, *, on: bool
) -> tuple[bool, Effects]:
    """The user's own switch: (whether it changed, what followed). Raises Refusal, ProofWanted."""
    changed = change.set_always(installation, person, moment, typed, on=on)
    return changed, take_effect(installation, moment)


def remove(installation: Installation, person: Person, typed: bytes, moment: Moment) -> Left:
    """Remove the second factor, with all sessions and the connections that they let in. Raises Refusal."""
    ended = change.remove(installation, person, typed, moment)
    return Left(ended, take_effect(installation, moment, Selection(waiting=frozenset({person.user}))))


def closed_without_factor(
    installation: Installation, user: str, moment: Moment, address: str = ""
) -> dict[str, list[str]]:
    """Operation -> the repositories that refuse it to `user` (from `address`, if known) without a factor."""
    policy = narrowed(policy_of(installation.settings), user, address, moment.at)
    with installation.store.reading() as tx:
        return {
            operation: [
                repository.name
                for repository, requires in demanded(tx, policy, user, operation, moment, address=address)
                if requires.required
            ]
            for operation in ("read", "push")
        }
