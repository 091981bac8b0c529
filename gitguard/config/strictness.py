"""Whether one configuration requires no less than another: asked before a file that may
be half written is believed.

Cautious: what cannot be compared key by key counts as less. Two settings that differ in words for people
alone (help, apps, names, links, where logs go) demand the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitguard.config.schema import RuleTable, Settings
from gitguard.policy.rules import REQUIRE

_ENFORCEMENT = {
    "off": 0,
    "rules": 1,
    "opt-in": 1,
    "enforced": 2,
}  # rules and opt-in differ in who may tighten
_SCOPE = {"user": 0, "key": 1, "address": 2}


def demands_less(new: Settings, old: Settings) -> str:
    """Where `new` requires less than `old` or cannot be compared, such as `[git]
    enforcement`; "" if nowhere.
    """
    return next(_less(new, old), "")


def _less(new: Settings, old: Settings) -> Iterator[str]:
    in_order = {
        "[git] enforcement": _ENFORCEMENT[new.git.enforcement] >= _ENFORCEMENT[old.git.enforcement],
        "[git] admins": set(new.git.admins) <= set(old.git.admins),
        "[git] pass_commands": set(new.git.pass_commands) <= set(old.git.pass_commands),
        "[git] behind": new.git.behind == old.git.behind,
        "[session] lifetime": new.session.lifetime <= old.session.lifetime,
        "[session] scope": _SCOPE[new.session.scope] >= _SCOPE[old.session.scope],
        "[host] account": new.host.account == old.host.account,
        "[agent] account": new.keeper == old.keeper,
        "[paths]": _places(new) == _places(old),
        "[store]": new.store == old.store,
        "[throttle]": new.throttle == old.throttle,
        "[groups]": new.groups == old.groups,
        "[aliases]": new.aliases == old.aliases,
        "[[rules]]": _rules_hold(new, old),
    }
    yield from (where for where, holds in in_order.items() if not holds)
    yield from _people(new, old)
    yield from _web(new, old)
    if old.notify.command and not (new.notify.command and set(new.notify.events) >= set(old.notify.events)):
        yield "[notify]"  # it requires nothing, but a file that was cut off must not end it unheard


def _places(settings: Settings) -> tuple[object, ...]:
    paths = settings.paths
    return (paths.repositories, paths.extra_roots, paths.state, paths.authorized_keys, paths.access_log)


def _people(new: Settings, old: Settings) -> Iterator[str]:
    """What people may do about themselves, and what counts as their second factor."""
    factor, before = new.second_factor, old.second_factor
    if (factor.digits, factor.period, factor.algorithm) != (before.digits, before.period, before.algorithm):
        yield "[second_factor]"
    if factor.recovery_codes > before.recovery_codes:
        yield "[second_factor] recovery_codes"
    if factor.self_enrolment not in (before.self_enrolment, "invite"):
        yield "[second_factor] self_enrolment"
    if factor.hardware_keys and not before.hardware_keys:
        yield "[second_factor] hardware_keys"
    if old.account.allow_always and not new.account.allow_always:  # what people demand of themselves
        yield "[account] allow_always"
    if new.account.allow_remove and not old.account.allow_remove:
        yield "[account] allow_remove"
    if new.account.allow_keys and not old.account.allow_keys:
        yield "[account] allow_keys"


def _web(new: Settings, old: Settings) -> Iterator[str]:
    """Whom the page believes."""
    if new.web.trusted_header not in ("", old.web.trusted_header):
        yield "[web] trusted_header"
    if not set(new.web.trusted_proxies) <= set(old.web.trusted_proxies):
        yield "[web] trusted_proxies"
    if not set(new.web.login_domains) <= set(old.web.login_domains):
        yield "[web] login_domains"


def _rules_hold(new: Settings, old: Settings) -> bool:
    """Whether the rules are the same, but for further ones that demand, none of them for
    longer than any that was there.

    Groups are compared by anyone who asks. A longer lifetime above a shorter one would loosen
    what the lower one requires.
    """
    if new.rules and "off" in (new.git.enforcement, old.git.enforcement):
        return new.git.enforcement == old.git.enforcement or new.rules == old.rules
    lifetimes = [rule.lifetime for rule in old.rules if rule.lifetime is not None]
    shortest = min([old.session.lifetime, *lifetimes])
    return _is_grown(new.rules, old.rules, new.session.lifetime, shortest)


def _is_grown(new: Sequence[RuleTable], old: Sequence[RuleTable], default: int, shortest: int) -> bool:
    left = list(old)
    for rule in new:
        if left and rule == left[0]:
            del left[0]
        elif rule.kind != REQUIRE or (default if rule.lifetime is None else rule.lifetime) > shortest:
            return False
    return not left
