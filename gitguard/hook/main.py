"""The push check: judge today's policy for the push that the grant describes, then run the other hooks.

MUST: exit 0 only after an allowed verdict and every other hook's consent. From the grant it takes who pushes,
from where and how fresh the verification was when the gate looked, so a session that merely ran out during a
long upload still counts; whether the session, the user and the key still stand is asked of the store now.
Plain dialect: see docs/architecture.md, "The gate's files".
"""

import posix

from gitguard.answer.access_log import append, line_of, new_id
from gitguard.config.compiled import Config
from gitguard.config.load import last_known, load
from gitguard.decision.command import Command
from gitguard.decision.decide import Decision, check_user, demanded
from gitguard.decision.request import Request
from gitguard.hook.running import is_running
from gitguard.hook.updates import LONGEST_INPUT, parse_updates
from gitguard.machine.process import is_ancestor, receive_packs_above
from gitguard.message.reasons import Refusal, told_of
from gitguard.policy.verdict import Verdict, verdict
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
from gitguard.session.moment import Moment, now
from gitguard.session.scope import scope_of
from gitguard.store.gate_query import GateQuery


def main(config_path: str, compiled: str, hook: str) -> int:
    """Check one push; 0 lets it in, any other status refuses all of its refs."""
    moment = now()
    environ = posix.environ
    sealed = environ.get(ENVIRONMENT_NAME.encode(), b"").decode("utf-8", "surrogateescape")
    decision = Decision(Request("", NONE, "", None, moment))
    decision.command = Command("git", "git-receive-pack", "push")
    id_ = new_id()
    try:
        data = _input()
        decision.config = config = load(config_path, compiled, hook)
        posix.chdir(environ.get(b"GIT_DIR", b"."))
        decision.directory = directory = posix.getcwd()
        if is_running(environ, directory, data):
            return 0  # another hook of the repository started us again; the push was judged already
        grant, fault = _grant(sealed, config, directory, moment)
        if grant is not None:
            decision.request = _request(grant, moment)
            id_ = grant.decision
        _judge(decision, config, grant, fault)
        parse_updates(data)
        from gitguard.hook.others import run_others

        status, which = run_others(directory, data, environ, config.uid)
        if status:
            decision.refusal = Refusal("forbidden", f"another hook refused: {which} exited {status}")
            _log(decision, config, id_)
    except Refusal as refusal:
        decision.refusal = refusal
    except Exception as error:
        decision.refusal = Refusal("internal-error", told_of(error))
    else:
        return status
    if decision.config is None:
        decision.config = last_known(config_path, compiled)
    from gitguard.answer.telling import tell_refusal

    return tell_refusal(decision, id_, "")


def _request(grant: Grant, moment: Moment) -> Request:
    """Who pushes, as log and policy see them; maintenance is nobody's push, and its log line names the admin."""
    if grant.kind == BREAK_GLASS:
        return Request("!break-glass", credential_of(grant.user), "", None, moment)
    return Request(grant.user, grant.credential, grant.address, None, moment)


def _log(decision: Decision, config: Config, id_: str) -> None:
    """The other hook has spoken to the person already, so only the log hears of it here."""
    try:  # noqa: SIM105 - contextlib is too heavy here
        append(config, line_of(decision, id_))
    except Refusal:
        pass  # it is refused all the same


def _judge(decision: Decision, config: Config, grant: "Grant | None", fault: str) -> None:
    """Today's answer; `fault` says why there is no grant. Raises Refusal."""
    decision.store = store = GateQuery(config.store)
    request = decision.request
    scope = scope_of(config.scope, request.credential, request.address)
    decision.state = state = store.state(
        request.user, request.credential, scope, directory=decision.directory
    )
    if state.name is None:
        raise Refusal("no-such-repository", f"{decision.directory} is not known to the store")
    decision.name = state.name
    if grant is not None and grant.kind == BREAK_GLASS:
        # Maintenance by the server's admin: audited when it began, and one line here for each push.
        decision.verdict = Verdict("break-glass", grant.user, allowed=True)
        append(config, line_of(decision, grant.decision))
        return
    if grant is not None:
        check_user(state, request.user, request.credential)
    decision.requirement = requires = demanded(config, state, store, "push", decision.directory)
    if grant is None:
        if requires.required:
            raise Refusal("no-grant", f"{requires.because}; {fault}")
        decision.verdict = Verdict("not-required", "", allowed=True)
        return
    if grant.session and state.session == grant.session:
        # Fresh when the upload began is fresh; a connection that was only held open gains nothing by it.
        decision.session_age_seconds = grant.age_seconds + max(
            _upload_began(decision.request.moment) - grant.at, 0
        )
    decision.verdict = answer = verdict(
        requires,
        enrolled=bool(state.enrolled),
        session_age_seconds=decision.session_age_seconds,
        session_limit_seconds=state.session_limit_seconds,
    )
    if not answer.allowed:
        raise Refusal(answer.reason, answer.because)


def _upload_began(moment: Moment) -> int:
    """When this push began to send (Unix seconds): the oldest thing in its quarantine; now, where it sent nothing.

    receive-pack makes the quarantine when it has read what is to change, and index-pack writes below it from
    then on; no client can set a time there. Source: git's builtin/receive-pack.c unpack, tmp-objdir.c.
    """
    quarantine = posix.environ.get(b"GIT_QUARANTINE_PATH")
    if not quarantine:
        return moment.at
    began = posix.stat(quarantine).st_mtime
    for entry in posix.scandir(quarantine):
        began = min(began, entry.stat(follow_symlinks=False).st_mtime)
        if entry.is_dir(follow_symlinks=False):
            for inside in posix.scandir(entry.path):
                began = min(began, inside.stat(follow_symlinks=False).st_mtime)
    return min(int(began), moment.at)


def _grant(sealed: str, config: Config, directory: str, moment: Moment) -> "tuple[Grant | None, str]":
    """(the grant of this very push, "") or (None, why there is none).

    A later hook that pushes elsewhere inherits a grant that is not for it: that counts as none.
    """
    if not sealed:
        return None, "no grant"
    try:
        grant = unseal(sealed, read_key(config.grant_key, config.uid))
    except (OSError, ValueError) as error:
        return None, f"the grant cannot be read: {error}"
    if grant.directory not in ("", directory):
        return None, f"the grant is for {grant.directory}"
    alone = grant.kind == PUSH and not grant.directory
    if alone and receive_packs_above(posix.getppid()) > 1:
        # Behind a program the gate knew no directory; then the grant is for the first push of its process alone.
        return None, "the grant is for the push around this one"
    if not -LONGEST_SECONDS < moment.at - grant.at < LONGEST_SECONDS:
        return None, "the grant is too old"
    if not is_ancestor(grant.pid, grant.started, posix.getppid()):
        return None, "the grant is another process's"
    return grant, ""


def _input() -> bytes:
    """All that Git has to say, bounded. Raises Refusal("malformed-command")."""
    parts = []
    length = 0
    while part := posix.read(0, 1 << 20):
        length += len(part)
        if length > LONGEST_INPUT:
            raise Refusal("malformed-command", "the hook's input is too long")
        parts.append(part)
    return b"".join(parts)
