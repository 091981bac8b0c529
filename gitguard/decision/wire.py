"""A decision as bytes, and back: for whoever asks a process that decides. Plain dialect:
gate and hook load this file.

MUST: what comes back is data of known shapes, of bounded size, and nothing that could run; anything
else is a refusal. The configuration and the store stay behind: what is left of them in a decision are
the values that answered it.
"""

import marshal

from gitguard.decision.command import Command
from gitguard.decision.decision import Decision
from gitguard.decision.request import Request
from gitguard.message.reasons import Refusal
from gitguard.policy.requirement import Requirement
from gitguard.policy.verdict import Freshness, Verdict
from gitguard.session.credential import credential_of
from gitguard.session.moment import Moment
from gitguard.store.gate_query import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1
LONGEST_BYTES = 1 << 20  # a push of some thousand refs; Git's own lines are shorter


def pack(decision: Decision) -> bytes:
    """`decision` as bytes of at most `LONGEST_BYTES`. Raises Refusal("internal-error") for a longer one."""
    values = (
        VERSION,
        _of_request(decision.request),
        _fields(decision.command, ("kind", "verb", "operation", "repository", "words")),
        _fields(decision.state, State.FIELDS),
        (decision.name, decision.directory, decision.updates),
        _fields(decision.requirement, Requirement.__slots__),
        _fields(decision.freshness, ("session", "age_seconds", "limit_seconds")),
        _fields(decision.verdict, ("reason", "because", "allowed")),
        _fields(decision.refusal, ("reason", "detail", "text", "hint", "facts")),
    )
    data = marshal.dumps(values, 2)  # the form without references: the same values are the same bytes
    if len(data) > LONGEST_BYTES:
        raise Refusal("internal-error", f"a decision of {len(data)} bytes")
    return data


def _of_request(request: Request) -> "tuple[Any, ...]":
    moment = request.moment
    return (
        request.user, request.credential.text, request.address, request.line,
        (moment.at, moment.boot, moment.boot_seconds),
        request.downstream, request.connection, request.protocol, request.login_age,
    )  # fmt: skip


def _fields(record: object, names: "tuple[str, ...]") -> "Any":
    return None if record is None else tuple([getattr(record, name) for name in names])


def unpack(data: bytes) -> Decision:
    """The decision that `pack` made bytes of. Raises Refusal("internal-error") for anything else."""
    if len(data) > LONGEST_BYTES:
        raise Refusal("internal-error", f"an answer of {len(data)} bytes")
    try:
        values = marshal.loads(data)  # noqa: S302 - nothing of it is called, and what is no plain value is refused below
        version, request, command, state, place, requirement, freshness, verdict, refusal = values
        known = _is_plain(values, depth=8) and version == VERSION
        user, credential, address, line, moment, downstream, connection, protocol, login_age = request
        decision = Decision(
            Request(
                user=user,
                credential=credential_of(credential),
                address=address,
                line=line,
                moment=Moment(*moment),
                downstream=downstream,
                connection=connection,
                protocol=protocol,
                login_age=login_age,
            )
        )
        if command is not None:
            kind, verb, operation, repository, words = command
            decision.command = Command(kind, verb, operation=operation, repository=repository, words=words)
        decision.state = None if state is None else State(state)
        decision.name, decision.directory, decision.updates = place
        decision.requirement = Requirement(**dict(zip(Requirement.__slots__, requirement, strict=True)))
        decision.freshness = Freshness(*freshness)
        if verdict is not None:
            reason, because, allowed = verdict
            decision.verdict = Verdict(reason, because, allowed=allowed)
        if refusal is not None:
            reason, detail, text, hint, facts = refusal
            decision.refusal = Refusal(reason, detail, text=text, hint=hint, **facts)
    except (ValueError, TypeError, EOFError, KeyError, AttributeError) as error:
        raise Refusal("internal-error", f"an answer that cannot be read: {error}") from None
    if not known:
        raise Refusal("internal-error", f"an answer of version {version}")
    return decision


def _is_plain(value: object, depth: int) -> bool:
    """Whether it is made of numbers, texts, tuples, lists and dictionaries alone."""
    if depth and isinstance(value, (tuple, list)):
        return all(_is_plain(one, depth - 1) for one in value)
    if depth and isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(one, depth - 1) for key, one in value.items())
    return value is None or isinstance(value, (str, int))
