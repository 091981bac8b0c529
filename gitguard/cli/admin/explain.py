"""`admin explain`: the verdict that a request would get, and what made it. It asks the gate's own question."""

from __future__ import annotations

from datetime import datetime

import click

from gitguard.account.names import is_fingerprint
from gitguard.action import users
from gitguard.cli.admin.office import Office, open_office
from gitguard.cli.here import say_json
from gitguard.config.schema import format_duration
from gitguard.decision.command import quote
from gitguard.decision.decide import Decision, decide
from gitguard.decision.request import Request
from gitguard.host.places import Places
from gitguard.message.moments import clock, duration
from gitguard.message.reasons import Refusal, printable
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment, now
from gitguard.session.scope import network_of

_VERBS = {"read": "git-upload-pack", "push": "git-receive-pack"}


@click.command()
@click.argument("user")
@click.argument("repo")
@click.argument("operation", metavar="read|push")
@click.option(
    "--key",
    default=None,
    metavar="FINGERPRINT",
    help="With this key (default: the user's only one, or the one verified last).",
)
@click.option(
    "--from",
    "address",
    default=None,
    metavar="IP",
    help="From this address (default: where the key was verified last).",
)
@click.option(
    "--at", "when", default=None, metavar="TIME", help="At this time: Unix seconds or 2026-11-25T14:30."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def explain(
    ctx: click.Context,
    user: str,
    repo: str,
    operation: str,
    key: str | None,
    address: str | None,
    when: str | None,
    as_json: bool,
) -> int:
    """Why USER would be let in or refused; changes nothing and exits 0 whatever the verdict."""
    if operation not in _VERBS:
        raise Refusal("usage", text=f"the operation is read or push, not {operation}")
    office = open_office(ctx)
    if key is not None and not is_fingerprint(key):
        raise Refusal("usage", text=f"{printable(key, 60)} is not a fingerprint; write SHA256:...")
    if address is not None and network_of(address) is None:
        raise Refusal("usage", text=f"--from: {printable(address, 60)} is no IP address")
    moment = now() if when is None else Moment(_time(when))
    key, address = _defaults(office, user, key, address)
    decision = _decision(office.site.at, user, repo, operation, key, address, moment)
    facts = _facts(decision, operation)
    if as_json:
        say_json(facts)
        return 0
    for line in _lines(office, decision, facts):
        click.echo(line)
    return 0


def _decision(
    at: Places, user: str, repo: str, operation: str, key: str, address: str, moment: Moment
) -> Decision:
    """What the gate decides about the request that such a person's git would send."""
    request = Request(user, ssh_key(key), address, f"{_VERBS[operation]} {quote(repo)}", moment)
    return decide(request, at.of_gate)


def situation(
    at: Places, user: str, repo: str, operation: str, key: str, address: str, moment: Moment
) -> dict[str, object]:
    """The facts of one situation, as `--json` prints them."""
    return _facts(_decision(at, user, repo, operation, key, address, moment), operation)


def _defaults(office: Office, user: str, key: str | None, address: str | None) -> tuple[str, str]:
    with office.site.store.reading() as tx:
        entry = tx.user(user)
        if entry is None:
            users.check_present(tx, user)
        sessions, keys = tx.sessions(user), tx.keys(user)
    if key is None:
        bound = [s.credential for s in sessions if s.credential]
        if not bound and not keys:
            raise Refusal(
                "usage",
                text=f"{user} has no key, so nothing of theirs gets as far as the gate",
                hint=f"give them one: gitguard admin key add {user} FILE; or ask with --key FINGERPRINT",
            )
        key = bound[0] if bound else keys[0].fingerprint
    if address is None:
        networks = [s.network for s in sessions if s.network and s.credential == key]
        # An IPv6 session is bound to a /64; any address of it will do.
        address = networks[0].removesuffix("/64") if networks else ""
    return key, address


def _time(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 12:
        return int(text)
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError):
        raise Refusal("usage", text=f"{text} is not a time; write Unix seconds or 2026-11-25T14:30") from None


def _facts(decision: Decision, operation: str) -> dict[str, object]:
    request, verdict, refusal = decision.request, decision.verdict, decision.refusal
    return {
        "user": request.user,
        "key": request.credential.text,
        "address": request.address,
        "repository": decision.name,
        "directory": decision.directory,
        "operation": operation,
        "at": request.moment.at,
        "verdict": "refused" if refusal is not None or verdict is None else "allowed",
        "reason": refusal.reason
        if refusal is not None
        else verdict.reason
        if verdict is not None
        else "internal-error",
        "because": decision.requirement.because,
        "detail": refusal.detail if refusal is not None else "",
        "enforcement": decision.config.enforcement if decision.config is not None else None,
        "judged": decision.verdict is not None,
        "required": decision.requirement.required if decision.verdict is not None else None,
        "lifetime_seconds": decision.requirement.lifetime_seconds,
        "session": decision.session or None,
        "session_age_seconds": decision.session_age_seconds,
        "require": decision.state.require if decision.state is not None else None,
        "always": bool(decision.state.always) if decision.state is not None else None,
        "enrolled": bool(decision.state.enrolled) if decision.state is not None else None,
    }


def _lines(office: Office, decision: Decision, facts: dict[str, object]) -> list[str]:
    request = decision.request
    at = clock(request.moment.at, now().at)
    lines = [
        f"{facts['verdict']} [{facts['reason']}]: {request.user} {facts['operation']} {facts['repository']} at {at}",
        f"  key {request.credential.text}, from {request.address or 'an unknown address'}",
    ]
    if facts["detail"]:
        lines.append(f"  detail: {facts['detail']}")
    lines.append(
        f"  enforcement: {facts['enforcement']}; toggle: {facts['require'] or 'none'}; always: {'on' if facts['always'] else 'off'}"
    )
    lifetime = decision.requirement.lifetime_seconds
    if decision.verdict is None:
        lines.append("  what is required was not judged: it was refused before that")
    elif lifetime is None:
        why = {"off": "enforcement is off", "opt-in": "the repository's admins demand nothing for this"}
        lines.append(f"  nothing is required: {why.get(str(facts['enforcement']), 'nothing demands it')}")
    else:
        lines.append(
            f"  required by {decision.requirement.because}: a verification no older than {format_duration(lifetime)}"
        )
        if decision.session_age_seconds is not None:
            lines.append(
                f"  session {decision.session} in scope, {duration(decision.session_age_seconds)} old"
            )
        else:
            lines.append(f"  no session in scope ({office.settings.session.scope})")
        lines.append(f"  second factor: {'set up' if facts['enrolled'] else 'none'}")
    return lines
