"""A requirement that begins soon, said after a push to whoever it will refuse: once a day each.

Loaded only where a rule that demands begins within the next days. Plain dialect.
"""

import posix

from gitguard.config.compiled import Config
from gitguard.decision.decision import Decision
from gitguard.decision.judge import situation_of
from gitguard.message.moments import day
from gitguard.message.refusals import View
from gitguard.policy.rules import REQUIRE
from gitguard.policy.verdict import verdict
from gitguard.session.credential import BY_KEY
from gitguard.session.moment import Moment
from gitguard.store.gate_query import GateQuery

AHEAD_SECONDS = 14 * 86400
AGAIN_SECONDS = 86400
FOLDER = "announced"  # below the state folder: a file for each user and rule, as old as the last word


def ahead(config: Config, moment: Moment) -> "list[tuple[int, str]]":
    """(when it begins, name) of each rule that demands and begins soon, the next first."""
    found = [
        (rule[8], rule[0])
        for rule in config.policy.rules.all()
        if rule[8] is not None and rule[1] == REQUIRE and moment.at < rule[8] <= moment.at + AHEAD_SECONDS
    ]
    found.sort()
    return found


def announce(decision: Decision, config: Config, store: GateQuery, moment: Moment) -> None:
    """Say the next requirement that would refuse this very push, were it to begin now."""
    situation = situation_of(decision, config, store)
    enrolled = decision.state is not None and bool(decision.state.enrolled)
    for since, name in ahead(config, moment):
        situation.at = since
        demanded = config.policy.demands(situation)
        answer = verdict(
            demanded,
            enrolled=enrolled,
            session_age_seconds=decision.session_age_seconds,
            session_limit_seconds=decision.freshness.limit_seconds,
            hardware_key=decision.freshness.session == BY_KEY,
        )
        if answer.allowed or f"rule:{name}" not in demanded.because.split("+"):
            continue
        if _is_news(f"{config.state}/{FOLDER}", f"{decision.request.user}@{name}", moment):
            _say(decision, config, since, name, moment, enrolled=enrolled)
        return


def _is_news(folder: str, name: str, moment: Moment) -> bool:
    """Whether this was not said within a day; notes that it is said now. What cannot be noted is not said at each push."""
    try:
        if posix.stat(f"{folder}/{name}").st_mtime > moment.at - AGAIN_SECONDS:
            return False
    except OSError:
        pass
    try:
        if not _is_there(folder):
            posix.mkdir(folder, 0o700)
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_CLOEXEC
        handle = posix.open(f"{folder}/{name}", flags, 0o600)
        try:
            posix.utime(handle, (moment.at, moment.at))
        finally:
            posix.close(handle)
    except OSError:
        return False
    return True


def _is_there(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _say(
    decision: Decision, config: Config, since: int, name: str, moment: Moment, *, enrolled: bool
) -> None:
    view = View(account=config.account, host=config.host, port=config.port)
    what = f"pushing to {decision.name}"
    way = (
        f"verify before you push: {view.ssh('verify')}"
        if enrolled
        else f"set up a second factor: {view.ssh('enroll')}"
    )
    text = f"gitguard: from {day(since, moment.at)} on, {what} needs 2FA (rule {name}); {way}\n"
    posix.write(2, text.encode("utf-8", "replace"))
