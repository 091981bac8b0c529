"""The rule tester: what the gate would answer a request that nobody has sent. It changes nothing."""

from __future__ import annotations

from msgspec import Struct

from gitguard.action import steps
from gitguard.action.installation import Installation
from gitguard.config.compiled import Config
from gitguard.config.load import load
from gitguard.decision.decision import Decision
from gitguard.decision.explain import VERBS, explain
from gitguard.identity.names import is_fingerprint
from gitguard.message.reasons import Refusal, printable
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment
from gitguard.session.scope import network_of
from gitguard.store.gate_opening import query_of


class Question(Struct, frozen=True):
    """A request. Without a key: the one verified last, or the first; without an address: where that was."""

    user: str
    repository: str
    operation: str
    key: str | None = None
    address: str | None = None
    refs: tuple[str, ...] = ()


def answer(installation: Installation, asked: Question, moment: Moment) -> tuple[Decision, Config]:
    """What is decided at `moment`, and by which configuration. Raises Refusal for what cannot be asked."""
    if asked.operation not in VERBS:
        raise Refusal("usage", text=f"the operation is read or push, not {printable(asked.operation, 40)}")
    if asked.refs and asked.operation != "push":
        raise Refusal("usage", text="refs belong to a push")
    if asked.key is not None and not is_fingerprint(asked.key):
        raise Refusal("usage", text=f"{printable(asked.key, 60)} is not a fingerprint; write SHA256:...")
    if asked.address is not None and network_of(asked.address) is None:
        raise Refusal("usage", text=f"{printable(asked.address, 60)} is not an IP address")
    key, address = _defaults(installation, asked)
    config = load(*installation.places.of_gate)
    store = query_of(config)
    try:
        decision = explain(
            config,
            store,
            asked.user,
            ssh_key(key),
            address,
            asked.repository,
            asked.operation,
            moment,
            asked.refs,
        )
    finally:
        store.close()
    return decision, config


def _defaults(installation: Installation, asked: Question) -> tuple[str, str]:
    with installation.store.reading() as tx:
        if tx.user(asked.user) is None:
            steps.check_present(tx, asked.user)
        sessions = [session for session in tx.sessions(asked.user) if not session.is_browsers]
        keys = tx.keys(asked.user)
    key, address = asked.key, asked.address
    if key is None:
        bound = [s.credential for s in sessions if s.credential]
        if not bound and not keys:
            raise Refusal(
                "usage",
                text=f"{asked.user} has no key, so nothing of theirs gets as far as the gate",
                hint=f"give them one: gitguard admin key add {asked.user} FILE; or ask with --key FINGERPRINT",
            )
        key = bound[0] if bound else keys[0].fingerprint
    if address is None:
        networks = [s.network for s in sessions if s.network and s.credential == key]
        # An IPv6 session is bound to a /64; any address of it will do.
        address = networks[0].removesuffix("/64") if networks else ""
    return key, address
