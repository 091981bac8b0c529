"""The rules of the configuration as policy/rules.py reads them."""

from __future__ import annotations

import ipaddress

from gitguard.config.schema import RuleTable, Settings
from gitguard.config.types import Network, UserName, UserOrGroup
from gitguard.policy.glob import whole_ref
from gitguard.policy.situation import Policy


def policy_of(settings: Settings) -> Policy:
    """What decides what is demanded."""
    return Policy(
        settings.git.enforcement,
        settings.session.lifetime,
        allow_always=settings.account.allow_always,
        rules=compiled_rules(settings.rules),
        groups=compiled_groups(settings.groups),
    )


def compiled_groups(groups: dict[str, list[UserName]]) -> dict[str, str]:
    """Each group's members as policy/rules.py searches them."""
    return {name: "\n" + "\n".join(members) + "\n" for name, members in groups.items()}


def compiled_rules(rules: list[RuleTable]) -> tuple[tuple[object, ...], ...]:
    """The rules as policy/rules.py reads them."""
    return tuple(
        (
            rule.name,
            rule.kind,
            None if rule.lifetime is None else int(rule.lifetime),
            tuple(map(str, rule.repositories)),
            _compiled_users(rule.users),
            tuple(rule.operations),
            tuple(whole_ref(str(ref)) for ref in rule.refs),
            tuple(map(_compiled_network, rule.from_)),
            None if rule.since is None else int(rule.since),
            None if rule.until is None else int(rule.until),
        )
        for rule in rules
    )


def _compiled_users(users: list[UserOrGroup]) -> tuple[str, tuple[str, ...]] | None:
    if not users:
        return None
    names = [str(user) for user in users if not user.startswith("@")]
    return "\n" + "\n".join(names) + "\n", tuple(str(user[1:]) for user in users if user.startswith("@"))


def _compiled_network(network: Network) -> tuple[int, int, int]:
    found = ipaddress.ip_network(network)
    shift = found.max_prefixlen - found.prefixlen
    return found.version, int(found.network_address) >> shift, shift
