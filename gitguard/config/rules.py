"""The rules of the configuration as policy/rules.py reads them."""

from __future__ import annotations

from collections.abc import Iterable

from gitguard.config.schema import RuleTable, Settings
from gitguard.config.types import Network, Pattern, UserName, UserOrGroup
from gitguard.policy.glob import whole_ref
from gitguard.policy.rules import Rules, parted
from gitguard.policy.situation import Policy


def policy_of(settings: Settings) -> Policy:
    """What decides what is required; made once for as long as the same settings ask."""
    global _last  # noqa: PLW0603 - one pair, read and replaced in one step: threads ask by different settings
    last = _last
    if last is not None and last[0] is settings:
        return last[1]
    made = _made(settings)
    _last = (settings, made)
    return made


_last: tuple[Settings, Policy] | None = None  # the settings asked for last, with what was made of them


def _made(settings: Settings) -> Policy:
    return Policy(
        settings.git.enforcement,
        settings.session.lifetime,
        allow_always=settings.account.allow_always,
        rules=Rules(compiled_rules(settings.rules)),
        groups=compiled_groups(settings.groups),
    )


def compiled_groups(groups: dict[str, list[UserName]]) -> dict[str, str]:
    """Each group's members as policy/rules.py searches them."""
    return {name: _listed(members) for name, members in groups.items()}


def compiled_rules(rules: list[RuleTable]) -> tuple[object, ...]:
    """The rules as policy/rules.py reads them, parted; what is alike in two rules is one
    object, so that it is stored once.
    """
    return parted(_tuples(rules)) if rules else ()


def _tuples(rules: list[RuleTable]) -> tuple[tuple[object, ...], ...]:
    alike: dict[object, object] = {}

    def one(value: object) -> object:
        return alike.setdefault(value, value)

    return tuple(
        (
            rule.name,
            one(rule.kind),
            one(None if rule.lifetime is None else int(rule.lifetime)),
            one(_compiled_names(rule.repositories)),
            one(_compiled_users(rule.users)),
            one(tuple(rule.operations)),
            one(tuple(whole_ref(str(ref)) for ref in rule.refs)),
            one(tuple(map(_compiled_network, rule.from_))),
            one(None if rule.since is None else int(rule.since)),
            one(None if rule.until is None else int(rule.until)),
        )
        for rule in rules
    )


def _compiled_names(patterns: list[Pattern]) -> tuple[tuple[str, ...], ...] | None:
    """(what a name must begin with to fit one of them, the patterns, what it must hold to fit each)."""
    if not patterns:
        return None
    words = tuple(map(str, patterns))
    begins = tuple(word.partition("*")[0] for word in words)
    # `**` may stand for nothing, and then a slash beside it does too.
    holds = tuple(max((part.strip("/") for part in word.split("*")), key=len) for word in words)
    return begins, words, holds


def _listed(names: Iterable[str]) -> str:
    return "\n" + "".join(f"{name}\n" for name in sorted(map(str, names)))


def _compiled_users(users: list[UserOrGroup]) -> tuple[str, tuple[str, ...]] | None:
    if not users:
        return None
    names = [str(user) for user in users if not user.startswith("@")]
    return _listed(names), tuple(str(user[1:]) for user in users if user.startswith("@"))


def _compiled_network(network: Network) -> tuple[int, int, int]:
    import ipaddress

    found = ipaddress.ip_network(network)
    shift = found.max_prefixlen - found.prefixlen
    return found.version, int(found.network_address) >> shift, shift
