"""`2fa keys`: a person's own keys and what covers each; adding one, and taking one away."""

from __future__ import annotations

import click
from msgspec import Struct, to_builtins

from gitguard.action.keys import add_own, check_own, check_own_allowed, remove_own
from gitguard.cli.context import UserContext, check_effects, say_effects, with_codes
from gitguard.cli.printing import say_json
from gitguard.decision.status import live_sessions
from gitguard.factor.change import require_enrolled
from gitguard.identity.public_key import parse_public_key
from gitguard.message.moments import until
from gitguard.message.reasons import Refusal, printable, readable
from gitguard.session.moment import now


def keys(context: UserContext, verb: str | None, key: tuple[str, ...], json: bool) -> int:
    """Without a word, the list; `add` and `remove` change it."""
    if verb is None:
        return _list(context, as_json=json)
    if verb not in ("add", "remove"):
        raise Refusal(
            "usage", text=f"keys, keys add KEY or keys remove FINGERPRINT, not {printable(verb, 60)}"
        )
    check_own_allowed(context.installation)
    with context.installation.store.reading() as tx:
        require_enrolled(tx, context.person)
    return _add(context, key) if verb == "add" else _remove(context, key)


def _add(context: UserContext, words: tuple[str, ...]) -> int:
    if not words:
        paste = context.server.ssh("keys add") + ' "$(cat ~/.ssh/id_ed25519.pub)"'
        raise Refusal("usage", text="which public key?", hint=f"for example: {paste}")
    new = parse_public_key(" ".join(words))
    added, effects = with_codes(
        context, lambda typed, moment: add_own(context.installation, context.person, new, typed, moment)
    )
    kept = f", limited as the key that you use: {added.limits}" if added.limits else ""
    click.echo(f"added {added.fingerprint} {readable(added.comment, 100)}".rstrip() + kept)
    click.echo("the new key must verify before it can be used where 2FA is required")
    check_effects(effects, f"{added.fingerprint} is added")
    return 0


def _remove(context: UserContext, words: tuple[str, ...]) -> int:
    if len(words) != 1:
        raise Refusal("usage", text="give one fingerprint, SHA256:...", list_with="keys")
    with context.installation.store.reading() as tx:
        check_own(tx.keys(context.person.user), words[0])
    gone, effects = with_codes(
        context,
        lambda typed, moment: remove_own(context.installation, context.person, words[0], typed, moment),
    )
    click.echo(f"removed {gone.fingerprint}; its sessions ended")
    say_effects(effects)
    check_effects(effects, f"{gone.fingerprint} is removed")
    return 0


class Covering(Struct, frozen=True):
    """A live session that covers a key. Times are Unix seconds."""

    scope: str
    network: str
    verified_at: int
    ends_at: int


class KeyCoverage(Struct, frozen=True):
    """One key as `keys --json` gives it. `this`: the one that is used just now."""

    key: str
    type: str
    comment: str
    this: bool
    sessions: tuple[Covering, ...]


def _entries(context: UserContext) -> list[KeyCoverage]:
    moment = now()
    with context.installation.store.reading() as tx:
        own = tx.keys(context.person.user)
        live = [
            (s.credential, Covering(s.scope, s.network, s.verified_at, ends_at))
            for s, ends_at in live_sessions(tx, context.settings, moment, context.person.user)
        ]
    return [
        KeyCoverage(
            key.fingerprint,
            key.type,
            key.comment,
            key.fingerprint == context.person.credential.text,
            tuple(session for credential, session in live if credential in (key.fingerprint, "")),
        )
        for key in own
    ]


def _list(context: UserContext, *, as_json: bool) -> int:
    entries, moment = _entries(context), now()
    if as_json:
        say_json([to_builtins(entry) for entry in entries])
        return 0
    for entry in entries:
        mark = "  (this key)" if entry.this else ""
        click.echo(f"{entry.key}  {entry.type}  {readable(entry.comment, 100)}{mark}")
        for session in entry.sessions:
            where = f" from {session.network}" if session.network else ""
            click.echo(f"    verified{where} until {until(session.ends_at, moment.at)}")
        if not entry.sessions:
            click.echo("    no session")
    return 0
