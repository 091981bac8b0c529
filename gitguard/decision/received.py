"""What is known of a push that Git has received: who makes it, by the grant, what it changes, when it began.

Read from the hook's input and environment, and from the kernel, about the process that Git is: `parent`, the
hook's own. Plain dialect: the hook loads this file.
"""

from gitguard.config.compiled import Config
from gitguard.decision.push import Push
from gitguard.decision.request import Request
from gitguard.decision.updates import parse_updates
from gitguard.machine.process import is_ancestor, receive_packs_above
from gitguard.message.reasons import Refusal
from gitguard.repository.quarantine import oldest_in
from gitguard.repository.refs import moved_by
from gitguard.session.credential import NONE, credential_of
from gitguard.session.grant import (
    BREAK_GLASS,
    ENVIRONMENT_NAME,
    LONGEST_SECONDS,
    PUSH,
    Grant,
    read_key,
    unseal,
)
from gitguard.session.moment import Moment


def no_push(moment: Moment) -> Request:
    """Nobody's request, until a grant says whose."""
    return Request(user="", credential=NONE, address="", line=None, moment=moment)


def received(
    data: bytes, environ: "dict[bytes, bytes]", directory: str, config: Config, moment: Moment, parent: int
) -> "tuple[Request, Push]":
    """Who pushes, as log and policy see them, and the push itself: `data` is all that Git says, `directory`
    the repository.
    """
    sealed = environ.get(ENVIRONMENT_NAME.encode(), b"").decode("utf-8", "surrogateescape")
    grant, no_grant = _grant(sealed, config, directory, moment, parent)
    updates, fault = _updates(data, directory, config, environ)
    push = Push(
        directory=directory,
        updates=updates,
        fault=fault,
        grant=grant,
        no_grant=no_grant,
        began=_upload_began(environ, moment),
    )
    return (no_push(moment) if grant is None else _request(grant, moment)), push


def _updates(
    data: bytes, directory: str, config: Config, environ: "dict[bytes, bytes]"
) -> "tuple[tuple[tuple[str, str, str], ...], Refusal | None]":
    """What is to change, or why that cannot be read, which is told only after what policy says."""
    try:
        updates = parse_updates(data)
        matters = config.policy.rules.has_refs
        if not matters:
            return updates, None
        home = environ.get(b"HOME", b"/").decode("utf-8", "surrogateescape")
        return moved_by(updates, directory, config.git_configs, home), None
    except Refusal as refusal:
        return (), refusal


def _request(grant: Grant, moment: Moment) -> Request:
    """Who pushes, as log and policy see them; maintenance is nobody's push, and logs the admin's name."""
    if grant.kind == BREAK_GLASS:
        return Request(
            user="!break-glass", credential=credential_of(grant.user), address="", line=None, moment=moment
        )
    return Request(
        user=grant.user, credential=grant.credential, address=grant.address, line=None, moment=moment
    )


def _upload_began(environ: "dict[bytes, bytes]", moment: Moment) -> int:
    """When this push began to send (Unix seconds); now, where it sent nothing."""
    quarantine = environ.get(b"GIT_QUARANTINE_PATH", b"").decode("utf-8", "surrogateescape")
    return min(oldest_in(quarantine), moment.at) if quarantine else moment.at


def _grant(
    sealed: str, config: Config, directory: str, moment: Moment, parent: int
) -> "tuple[Grant | None, str]":
    """(the grant of this very push, "") or (None, why there is none).

    A later hook that pushes elsewhere inherits a grant that is not for it: that counts as none.
    """
    if not sealed:
        return None, "no grant"
    try:
        grant = unseal(sealed, read_key(config.grant_key, config.keeper))
    except (OSError, ValueError) as error:
        return None, f"the grant cannot be read: {error}"
    if grant.directory not in ("", directory):
        return None, f"the grant is for {grant.directory}"
    alone = grant.kind == PUSH and not grant.directory
    if alone and receive_packs_above(parent) > 1:
        # Behind a program the gate knew no directory; the grant is for the first push of its process alone.
        return None, "the grant is for the push around this one"
    if not -LONGEST_SECONDS < moment.at - grant.at < LONGEST_SECONDS:
        return None, "the grant is too old"
    if not is_ancestor(grant.pid, grant.started, parent):
        return None, "the grant is another process's"
    return grant, ""
