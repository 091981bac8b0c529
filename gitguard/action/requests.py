"""Pending requests: what a person was refused for want of a verification, and may let through in their browser.

MUST: a request from another address than the browser's goes on only with the number that its terminal shows, so
that nobody lets a thief's push through by habit; and it opens the session of that very key and address, no wider one.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from gitguard.action.follow import Followed, follow
from gitguard.action.judge_again import Whose
from gitguard.action.site import Site
from gitguard.factor.proof import Person, Proof, check_person, open_session, prove, record
from gitguard.message.reasons import Refusal
from gitguard.session import pending, waiting
from gitguard.session.credential import credential_of
from gitguard.session.moment import Moment
from gitguard.session.pending import Asked
from gitguard.session.scope import network_of
from gitguard.store.contract import Writing
from gitguard.store.rows import Key, Session


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A pending request. `key`: what asked; `elsewhere`: from another address than the browser's, so that the number is

    asked for; `waits`: it is held at this moment, and goes on by itself.
    """

    asked: Asked
    key: Key | None
    elsewhere: bool
    waits: bool


@dataclass(frozen=True, slots=True)
class Approved:
    """A request that may go on: the session that it needed, and what proved it."""

    wanted: PendingRequest
    session: Session
    proof: Proof


def requests(site: Site, person: Person, moment: Moment) -> list[PendingRequest]:
    """The pending requests of `person`, the newest first; those whose key is not theirs any more are not."""
    state = str(site.settings.paths.state)
    found = pending.pending(state, person.user, moment.at)
    held = {(n.user, n.credential, n.number) for n in waiting.notes(state)} if found else set()
    with site.store.reading() as tx:
        keys = {key.fingerprint: key for key in tx.keys(person.user)}
    return [
        PendingRequest(
            asked,
            keys[asked.credential],
            _network(asked.address) != _network(person.address),
            (asked.user, asked.credential, asked.number) in held,
        )
        for asked in found
        if asked.credential in keys
    ]


def _network(address: str) -> str:
    return network_of(address) or address


def shown(site: Site, person: Person, moment: Moment) -> list[PendingRequest]:
    """Those that are recent or wait."""
    return [
        one
        for one in requests(site, person, moment)
        if one.waits or moment.at - one.asked.at < pending.SHOWN_SECONDS
    ]


def request_of(site: Site, person: Person, id_: str, moment: Moment) -> PendingRequest | None:
    """The pending request `id_`, None for what is gone or somebody else's."""
    return next((one for one in requests(site, person, moment) if one.asked.id == id_), None)


def check_number(wanted: PendingRequest, number: str) -> None:
    """Raises Refusal("forbidden") unless the request comes from here, or `number` is what its terminal shows."""
    typed = "".join(number.split())
    if wanted.elsewhere and not hmac.compare_digest(
        typed.encode("utf-8", "replace"), wanted.asked.number.encode()
    ):
        raise Refusal(
            "forbidden",
            "number",
            text="that is not the number that the terminal of this request shows; nothing was let through",
            hint="if no terminal of yours shows a number, this is not you: say so",
        )


def session_for(
    site: Site, tx: Writing, person: Person, wanted: PendingRequest, moment: Moment, method: str
) -> Session:
    """Open the session that the request needs, for what asked and from where it asked. Raises Refusal."""
    asked = wanted.asked
    them = Person(person.user, credential_of(asked.credential), asked.address)
    check_person(tx, them)
    network = network_of(asked.address)
    if network is not None and wanted.elsewhere:
        if tx.has_verified_anywhere(person.user) and not tx.has_verified_from(person.user, network):
            record(tx, "new-network", them, moment, network=network, browser=person.credential.text)
        tx.note_network(person.user, network, moment.at)
    session = open_session(site.desk.renewed(), tx, them, moment, method)
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


def approve(site: Site, person: Person, id_: str, number: str, typed: bytes, moment: Moment) -> Approved:
    """Let the request go on, for a code: its session opens, and the browser's own. Raises Refusal."""
    wanted = request_of(site, person, id_, moment)
    if wanted is None:
        raise Refusal(
            "usage", text="this request is gone: it was answered, or is too old; run the command again"
        )
    check_number(wanted, number)

    def change(tx: Writing, proof: Proof) -> Approved:
        session = session_for(site, tx, person, wanted, moment, proof.method)
        open_session(site.desk.renewed(), tx, person, moment, proof.method)
        return Approved(wanted, session, proof)

    done = prove(site.desk, person, typed, moment, change)
    answered(site, wanted)
    return done


def answered(site: Site, wanted: PendingRequest) -> None:
    """The request needs nothing any more."""
    pending.drop(str(site.settings.paths.state), wanted.asked.id)


def deny(
    site: Site, person: Person, id_: str, moment: Moment
) -> tuple[PendingRequest, list[Session], Followed]:
    """The person says that it is not them: the request dies, the sessions of its key end, and the admin hears of it. Raises Refusal."""
    wanted = request_of(site, person, id_, moment)
    if wanted is None:
        raise Refusal("usage", text="this request is gone: it was answered, or is too old")
    asked = wanted.asked
    with site.store.writing() as tx:
        check_person(tx, person)
        ended = tx.end_sessions(person.user, asked.credential)
        tx.record(
            "request-denied",
            moment.at,
            person.user,
            user=person.user,
            key=asked.credential,
            address=asked.address,
            repository=asked.repository,
            request=id_,
            browser=person.credential.text,
            browser_address=person.address,
            sessions=[session.id for session in ended],
        )
    answered(site, wanted)
    return wanted, ended, follow(site, moment, Whose(keys=frozenset({asked.credential})))


def waits(site: Site, wanted: PendingRequest) -> bool:
    """Whether the request is still held at this moment."""
    asked = wanted.asked
    return any(
        (note.user, note.credential, note.number) == (asked.user, asked.credential, asked.number)
        for note in waiting.notes(str(site.settings.paths.state))
    )
