"""How a refusal leaves: one ERR packet for Git, text on stderr for everything else.

Loaded only when something is refused. Source of the packet: git's Documentation/gitprotocol-common
(pkt-line) and gitprotocol-pack ("ERR"); Git prints `fatal: remote error: <text>` and no guess of its own.
"""

import posix
import sys

from gitguard.answer.access_log import append, line_of
from gitguard.config.compiled import Config
from gitguard.decision.command import verb_of
from gitguard.decision.decision import Decision
from gitguard.message.reasons import WANTING, Refusal
from gitguard.message.refusals import RefusalContext, ServerAddress, refusal_text
from gitguard.policy.verdict import Freshness
from gitguard.session.moment import Moment
from gitguard.session.pending import note
from gitguard.session.request_notes import PendingRequest
from gitguard.store.gate_opening import notes_of
from gitguard.store.gate_query import GateQuery

READS = ("git-upload-pack", "git-upload-archive")


def refuse_request(
    decision: Decision, id_: str, git_verb: str, config: "Config | None", store: "GateQuery | None"
) -> int:
    """Log and tell why `decision` was refused; the exit status, which is never 0.

    A log that fails now changes nothing: it is refused already. `git_verb` is "" where no packet is expected.
    """
    refusal = decision.refusal or Refusal("internal-error", "fell off the end")
    if config is not None:
        try:
            append(config, line_of(decision.refused(refusal), id_))
        except Refusal as unlogged:
            if unlogged.reason != refusal.reason:
                sys.stderr.write("gitguard: this refusal could not be logged\n")
    try:
        context = context_of(decision, id_, config, store)
    except Refusal:
        context = context_of(decision, id_, config, None)  # a store that fails now has nothing to add
    return refuse(refusal, context, git_verb)


def context_of(
    decision: Decision, id_: str, config: "Config | None", store: "GateQuery | None"
) -> RefusalContext:
    """What the refusal of `decision` may mention; asks the store where else the user is verified."""
    request = decision.request
    context = RefusalContext(
        user=request.user,
        key=request.credential.text,
        address=request.address,
        operation=decision.operation,
        repository=decision.repository,
        decision=id_,
        now=request.moment.at,
    )
    if config is None:
        return context
    context.server = ServerAddress(config.account, config.host, config.port)
    context.help_line, context.help_url = config.help_line, config.help_url
    context.needs_invite = config.self_enrolment != "open"
    _note_read(decision, config)
    asked = pending_request(decision, config)
    if asked is not None:  # what the page will not show is better not named
        context.page, context.number = f"{config.web_url}/verify/{asked.id}", asked.number
    lifetime = decision.requirement.lifetime_seconds
    if lifetime is not None and store is not None:
        if (
            decision.session_age_seconds is not None
            and decision.state is not None
            and decision.state.verified_at
        ):
            limit = decision.state.session_limit_seconds
            lasted = lifetime if limit is None else min(lifetime, limit)
            context.ended_at = min(decision.state.verified_at + lasted, request.moment.at)
        context.others = _elsewhere(decision, store, config.scope, lifetime)
    return context


def _note_read(decision: Decision, config: Config) -> None:
    """For a push that may come right behind this read, where pushes may wait."""
    request = decision.request
    if not config.wait_seconds or verb_of(request.line) not in READS:
        return
    from gitguard.session import refused_reads

    wanting = decision.refusal is not None and decision.refusal.reason in WANTING
    refused_reads.note(
        config.state,
        request.user,
        request.credential.text,
        request.address,
        decision.repository if wanting else refused_reads.ANY,
        request.moment.at,
    )


def pending_request(decision: Decision, config: Config) -> "PendingRequest | None":
    """What the web page shows of this refusal, noted now or a moment ago; None without a
    page, without room, or denied.
    """
    if not config.web_url or decision.refusal is None or decision.refusal.reason not in WANTING:
        return None
    request = decision.request
    return note(notes_of(config), request, decision.repository, decision.operation, request.moment.at)


def _elsewhere(
    decision: Decision, store: GateQuery, kind: str, lifetime: int
) -> "tuple[tuple[str, str], ...]":
    """(key, network) of the user's live sessions under the scope in force; none of them is this one."""
    found = []
    for scope, key, network, at, boot, boot_seconds, limit in store.other_sessions(decision.request.user):
        age = decision.request.moment.age_of(Moment(at, boot, boot_seconds))
        if scope == kind and not key.startswith("web:") and Freshness(0, age, limit).lasts(lifetime):
            found.append((key, network))
    return tuple(found)


def refuse(refusal: Refusal, context: RefusalContext, git_verb: str) -> int:
    """Tell the client and return the exit status. `git_verb` is "" where no packet is expected."""
    text = refusal_text(refusal, context)
    if git_verb:
        body = b"ERR " + text.encode("utf-8", "replace") + b"\n"
        _write(1, b"%04x" % (len(body) + 4) + body)
    else:
        _write(2, text.encode("utf-8", "replace") + b"\n")
    return refusal.exit_status


def _write(handle: int, data: bytes) -> None:
    """Write what the client will take; a client that is gone has been refused all the same."""
    while data:
        try:
            data = data[posix.write(handle, data) :]
        except OSError:
            return
