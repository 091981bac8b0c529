"""Pending requests: what a person was refused for want of a verification, and may
let through in their browser.

MUST: a request from another address than the browser's continues only with the number that its terminal
shows, so that nobody lets a thief's push through by habit; and it opens the session of that very key and
address, as the server's scope has it.
"""

from __future__ import annotations

import hmac

from msgspec import Struct

from gitguard.action import steps
from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import Installation
from gitguard.action.revocation import Selection
from gitguard.decision.status import status_of
from gitguard.factor.attempt import Proof, TypedCode
from gitguard.factor.change import with_proof
from gitguard.factor.changes import TOLD_SECONDS, told
from gitguard.factor.person import Person, record
from gitguard.factor.proof import check_person, open_session, prove
from gitguard.message.reasons import Refusal, machine_fault
from gitguard.session import budget, pending
from gitguard.session.credential import credential_of
from gitguard.session.moment import Moment
from gitguard.session.request_notes import Notes, PendingRequest
from gitguard.session.scope import neighbours_of, network_of
from gitguard.store.contract import Writing
from gitguard.store.rows import Key, Session

LATEST = 200  # decisions of the log, among which one that has just continued is looked for


class ApprovalRequest(Struct, frozen=True):
    """A pending request, as its person may answer it. `key`: what asked; where it `waits`, until `ends_at`.

    `elsewhere`: it is not known to come from the browser's address, so that its number is asked for.
    """

    request: PendingRequest
    key: Key | None
    elsewhere: bool
    ends_at: int = 0

    @property
    def waits(self) -> bool:
        """Whether a push is held for it at this moment."""
        return self.request.is_held


class Approved(Struct, frozen=True):
    """A request that may continue: the session that it needed, and what proved it."""

    wanted: ApprovalRequest
    session: Session
    proof: Proof


def requests(installation: Installation, person: Person, moment: Moment) -> list[ApprovalRequest]:
    """The pending requests of `person`, the newest first; those whose key is not theirs any more are not."""
    patience = int(installation.settings.session.wait)
    with installation.store.reading() as tx:
        found = pending.pending(installation.notes(tx), person.user, moment.at)
        keys = {key.fingerprint: key for key in tx.keys(person.user)}
    return [
        ApprovalRequest(
            asked,
            keys[asked.credential],
            not person.address or neighbours_of(asked.address) != neighbours_of(person.address),
            asked.held_at + patience,
        )
        for asked in found
        if asked.credential in keys
    ]


def shown(
    installation: Installation, person: Person, moment: Moment, *, verified: bool
) -> list[ApprovalRequest]:
    """Recent ones and held ones. MUST: those of other keys only to someone who
    has verified in this browser.
    """
    own = person.signed_in_by.text if person.signed_in_by is not None else ""
    return [
        one
        for one in requests(installation, person, moment)
        if (one.waits or moment.at - one.request.at < pending.SHOWN_SECONDS)
        and (verified or one.request.credential == own or not own.startswith("SHA256:"))
    ]


def request_of(
    installation: Installation, person: Person, id_: str, moment: Moment
) -> ApprovalRequest | None:
    """The pending request `id_`, None for what is gone or someone else's."""
    return next((one for one in requests(installation, person, moment) if one.request.id == id_), None)


def check_number(wanted: ApprovalRequest, number: str) -> None:
    """Raises Refusal("forbidden") unless the request comes from here, or `number` is its terminal's."""
    typed = "".join(number.split())
    if wanted.elsewhere and not hmac.compare_digest(
        typed.encode("utf-8", "replace"), wanted.request.number.encode()
    ):
        raise Refusal(
            "forbidden",
            "number",
            text="that is not the number shown in the terminal of this request; nothing was allowed",
            hint="if no terminal of yours shows a number, it is not you: say so",
        )


def session_for(
    installation: Installation,
    tx: Writing,
    person: Person,
    wanted: ApprovalRequest,
    moment: Moment,
    method: str,
    verified: Moment | None = None,
) -> Session:
    """Open the session that the request needs, for what asked and from where it asked. Raises Refusal.

    `verified`: when the factor was proved, if that is not `moment`.
    """
    asked = wanted.request
    them = Person(person.user, credential_of(asked.credential), asked.address)
    check_person(tx, them)
    network = network_of(asked.address)
    if network is not None and wanted.elsewhere:
        if tx.has_verified_anywhere(person.user) and not tx.has_verified_from(person.user, network):
            record(tx, "new-network", them, moment, network=network, browser=person.credential.text)
        tx.note_network(person.user, network, moment.at)
    session = open_session(installation.renewed(), tx, them, moment, method, verified)
    record(
        tx,
        "request-approved",
        person,
        moment,
        request=asked.id,
        session=session.id,
        repository=asked.repository,
    )
    return session


def approve(
    installation: Installation, person: Person, id_: str, number: str, typed: bytes, moment: Moment
) -> Approved:
    """Let the request continue, for a code: its session opens, and the browser's own. Raises Refusal."""
    wanted = request_of(installation, person, id_, moment)
    if wanted is None:
        raise _gone()

    def change(tx: Writing, proof: Proof) -> Approved:
        # Behind the code: without one nobody can try numbers. A wrong number takes all of it back,
        # the used code too.
        check_number(wanted, number)
        session = session_for(installation, tx, person, wanted, moment, proof.method, proof.verified)
        open_session(installation.renewed(), tx, person, moment, proof.method, proof.verified)
        claim(installation, tx, wanted, moment)
        told(tx, person, moment)
        return Approved(wanted, session, proof)

    return prove(installation, person, TypedCode(typed), moment, change, only_own=True)


def _gone() -> Refusal:
    return Refusal(
        "usage", "gone", text="this request is gone: it was answered, or is too old; run the command again"
    )


def claim(installation: Installation, tx: Writing, wanted: ApprovalRequest, moment: Moment) -> None:
    """Answer the request, as the last act of the transaction that does so. Raises Refusal if
    someone has answered it meanwhile.

    MUST: anyone who said "not me" a moment ago is heard: both answers are given inside a
    transaction, one after the other.
    """
    notes = installation.notes(tx)
    _check_there(notes, wanted.request, moment)
    try:
        pending.take(notes, wanted.request)
    except OSError as error:
        raise machine_fault("the request cannot be taken away", error) from None


def _check_there(notes: Notes, asked: PendingRequest, moment: Moment) -> None:
    """Raises Refusal unless the very note still stands."""
    there = pending.pending(notes, asked.user, moment.at)
    if (asked.id, asked.number) not in [(one.id, one.number) for one in there]:
        raise _gone()


class Denied(Struct, frozen=True):
    """A request that is dead (None if its note was gone already), the sessions that
    ended with it, and what followed.

    `key`: the one that someone else has. `added`: keys that this key has added within a
    month, which are whoever's it is.
    """

    request: ApprovalRequest | None
    sessions: list[Session]
    effects: Effects
    key: str
    added: tuple[Key, ...] = ()


def deny(
    installation: Installation, person: Person, id_: str, key: str, moment: Moment, typed: bytes | None = None
) -> Denied:
    """The person says that it is not them: all requests of the `key` die, its sessions and
    browsers end, the admin hears of it.

    It goes by the key, so that it works whatever became of the request `id_` meanwhile. Where another key
    signed this browser in, that needs a live session here or a code, as `leave --key` does; who has no second
    factor has no sessions to end. Raises Refusal, ProofWanted.
    """
    wanted = request_of(installation, person, id_, moment)
    if wanted is not None:
        key = wanted.request.credential
    state = str(installation.settings.paths.state)
    by_itself = person.signed_in_by is not None and person.signed_in_by.text == key
    with installation.store.reading() as tx:
        enrolled = tx.has_factor(person.user)
        if tx.owner(credential_of(key)) != person.user:
            raise _gone()
        live = status_of(tx, installation.settings, person, moment).session
    alone = by_itself or not enrolled
    # Someone who has verified in this browser is more than the key alone, whichever key signed it in.
    proved = not alone or (live is not None and live.how.by_factor)

    def change(tx: Writing) -> list[Session]:
        if tx.owner(credential_of(key)) != person.user:
            raise _gone()
        ended = tx.end_sessions(person.user, key)
        out = steps.end_signed_in_by(tx, person.user, key, spared=person.credential.text)
        notes = installation.notes(tx)
        there = [asked for asked in pending.pending(notes, person.user, moment.at) if asked.credential == key]
        try:
            for asked in there:
                pending.deny(notes, asked, moment.at)
        except OSError as error:
            raise machine_fault("cannot note that it was denied", error) from None
        if not (ended or out or there):
            return ended  # nothing was denied, so there is nothing to tell of
        # Whoever it was may have verified for a day: no other network counts as the person's own from now on.
        # By the key alone only those that it asked from; otherwise a thief would make the owner's home a
        # strange place, and their own no news.
        if proved:
            tx.forget_networks(person.user, but=network_of(person.address) or "")
        for network in {network_of(asked.address) for asked in there} - {None, network_of(person.address)}:
            tx.forget_network(person.user, str(network))
        if not proved and budget.retry_at(state, person.user, f"not-me {key}", moment.at) is not None:
            return ended  # it is done; a key alone does not fill the trail and the admins' list with it
        tx.record(
            "request-denied",
            moment.at,
            person.user,
            user=person.user,
            key=key,
            address=wanted.request.address if wanted is not None else "",
            repository=wanted.request.repository if wanted is not None else "",
            request=id_ if wanted is not None else "",
            browser=person.credential.text,
            browser_address=person.address,
            sessions=[session.id for session in ended],
        )
        return ended

    if alone:
        with installation.store.writing() as tx:
            check_person(tx, person)
            ended = change(tx)
    else:
        ended = with_proof(installation, person, moment, typed, change, at_most_seconds=None)
    with installation.store.reading() as tx:
        changes = tx.changes(person.user, moment.at - TOLD_SECONDS)
        subjects = {one.subject for one in changes if one.event == "key-added" and one.credential == key}
        added = tuple(own for own in tx.keys(person.user) if own.fingerprint in subjects)
    return Denied(
        wanted, ended, take_effect(installation, moment, Selection(keys=frozenset({key}))), key, added
    )


def went_on(installation: Installation, wanted: ApprovalRequest, moment: Moment) -> bool:
    """Whether the log says that the request was let in, since `moment`."""
    from gitguard.answer.log_reader import entries_before

    asked = wanted.request
    return any(
        entry.get("verdict") == "allowed"
        and (entry.get("user"), entry.get("key"), entry.get("repository"))
        == (asked.user, asked.credential, asked.repository)
        and isinstance(at := entry.get("at"), int)
        and at >= moment.at
        for entry in entries_before(str(installation.settings.paths.access_log), None, LATEST)[0]
    )
