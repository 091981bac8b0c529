"""The push check: judge today's policy for the push that the grant describes, then run the other hooks.

MUST: exit 0 only after an allowed verdict and every other hook's consent. From the grant it takes who pushes,
from where and how fresh the verification was when the gate looked, so a session that merely ran out during a
long upload still counts; whether the session, the user and the key still stand is asked of the store now.
Plain dialect: see docs/architecture.md, "The gate's files".
"""

import posix

from gitguard.config.compiled import Config, last_known, load
from gitguard.decision.access_log import append, line_of, new_id
from gitguard.decision.command import Command
from gitguard.decision.decide import Decision, check_user, demanded_here
from gitguard.decision.request import Request
from gitguard.hook.updates import LONGEST_INPUT, parse_updates
from gitguard.host.process import is_ancestor
from gitguard.message.reasons import Refusal
from gitguard.policy.verdict import Verdict, verdict
from gitguard.session.grant import BREAK_GLASS, ENVIRONMENT_NAME, LONGEST_SECONDS, Grant, read_key, unseal
from gitguard.session.moment import Moment, now
from gitguard.session.scope import scope_of
from gitguard.store.gate_query import GateQuery


def main(config_path: str, compiled: str, hook: str) -> int:
    """Check one push; 0 lets it in, any other status refuses all of its refs."""
    moment = now()
    sealed = posix.environ.get(ENVIRONMENT_NAME.encode(), b"").decode("utf-8", "surrogateescape")
    decision = Decision(Request("", "", "", None, moment))
    decision.command = Command("git", "git-receive-pack", "push")
    id_ = new_id()
    try:
        data = _input()
        decision.config = config = load(config_path, compiled, hook)
        posix.chdir(posix.environ.get(b"GIT_DIR", b"."))
        decision.directory = directory = posix.getcwd()
        grant, fault = _grant(sealed, config, directory, moment)
        if grant is not None:
            decision.request = Request(grant.user, grant.key, grant.address, None, moment)
            id_ = grant.decision
        _judge(decision, config, grant, fault)
        parse_updates(data)
        from gitguard.hook.others import run_others

        return run_others(directory, data, posix.environ, config.uid)
    except Refusal as refusal:
        decision.refusal = refusal
    except Exception as error:
        decision.refusal = Refusal("internal-error", f"{type(error).__name__}: {error}")
    if decision.config is None:
        decision.config = last_known(config_path, compiled)
    from gitguard.decision.telling import tell_refusal

    return tell_refusal(decision, id_, "")


def _judge(decision: Decision, config: Config, grant: "Grant | None", fault: str) -> None:
    """Today's answer; `fault` says why there is no grant. Raises Refusal."""
    decision.store = store = GateQuery(config.store)
    user, key, address = ("", "", "") if grant is None else (grant.user, grant.key, grant.address)
    scope = scope_of(config.scope, key, address)
    decision.state = state = store.state(user, key, scope, directory=decision.directory)
    if state.name is None:
        raise Refusal("no-such-repository", f"{decision.directory} is not known to the store")
    decision.name = state.name
    if grant is not None and grant.user == BREAK_GLASS:
        # Maintenance by the server's admin: audited when it began, and one line here for each push.
        decision.verdict = Verdict("break-glass", grant.key, allowed=True)
        append(config, line_of(decision, grant.decision))
        return
    if grant is not None:
        check_user(state, decision.request)
    decision.requirement = demanded = demanded_here(config, state, store, "push", decision.directory)
    if grant is None:
        if demanded.required:
            raise Refusal("no-grant", f"{demanded.because}; {fault}")
        decision.verdict = Verdict("not-required", "", allowed=True)
        return
    if grant.session and state.session == grant.session:
        decision.session_age_seconds = grant.age_seconds
    decision.verdict = answer = verdict(
        demanded,
        enrolled=bool(state.enrolled),
        session_age_seconds=decision.session_age_seconds,
        session_limit_seconds=state.session_limit_seconds,
    )
    if not answer.allowed:
        raise Refusal(answer.reason, answer.because)


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
