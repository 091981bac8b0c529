"""A requirement that begins soon, said after a push to whoever it will refuse: once a day each.

Loaded only where a rule that requires begins within the next days. Plain dialect.
"""

import posix

from gitguard.answer.daily import is_news
from gitguard.config.compiled import Config
from gitguard.decision.decision import Decision
from gitguard.decision.judge import situation_of
from gitguard.message.moments import day
from gitguard.message.refusals import ServerAddress
from gitguard.policy.rules import KIND, NAME, REQUIRE, SINCE
from gitguard.policy.verdict import verdict
from gitguard.session.moment import Moment
from gitguard.store.gate_query import GateQuery

AHEAD_SECONDS = 14 * 86400


def ahead(config: Config, moment: Moment) -> "list[tuple[int, str]]":
    """(when it begins, name) of each rule that requires and begins soon, the next first."""
    found = [
        (rule[SINCE], rule[NAME])
        for rule in config.policy.rules.all()
        if rule[SINCE] is not None
        and rule[KIND] == REQUIRE
        and moment.at < rule[SINCE] <= moment.at + AHEAD_SECONDS
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
        answer = verdict(demanded, enrolled=enrolled, freshness=decision.freshness)
        if answer.allowed or f"rule:{name}" not in demanded.because.split("+"):
            continue
        if is_news(config.state, f"{decision.request.user}@{name}", moment.at):
            _say(decision, config, since, name, moment, enrolled=enrolled)
        return


def _say(
    decision: Decision, config: Config, since: int, name: str, moment: Moment, *, enrolled: bool
) -> None:
    server = ServerAddress(account=config.account, host=config.host, port=config.port)
    what = f"pushing to {decision.name}"
    way = (
        f"verify before you push: {server.ssh('verify')}"
        if enrolled
        else f"set up a second factor: {server.ssh('enroll')}"
    )
    text = f"gitguard: from {day(since, moment.at)} on, {what} needs 2FA (rule {name}); {way}\n"
    posix.write(2, text.encode("utf-8", "replace"))
