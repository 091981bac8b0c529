"""`admin explain`: the verdict that a request would get, and why. It asks the gate's own question."""

from __future__ import annotations

from datetime import datetime

import click
from msgspec import to_builtins

from gitguard.action import explaining
from gitguard.cli.admin import options
from gitguard.cli.admin.context import AdminContext, open_admin_context
from gitguard.cli.printing import say_json
from gitguard.config.types import format_duration
from gitguard.decision import explain as asking
from gitguard.decision.decision import Decision
from gitguard.message.moments import clock, duration
from gitguard.message.numbers import number
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment, now


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
@click.option(
    "--ref",
    "refs",
    multiple=True,
    metavar="REF",
    help="With this ref in the push; may be given several times.",
)
@options.as_json
@click.pass_context
def explain(
    ctx: click.Context,
    user: str,
    repo: str,
    operation: str,
    key: str | None,
    address: str | None,
    when: str | None,
    refs: tuple[str, ...],
    as_json: bool,
) -> int:
    """Show why a request is allowed or refused. Changes nothing, and exits 0 whatever the answer."""
    context = open_admin_context(ctx)
    moment = now() if when is None else Moment(_time(when))
    asked = explaining.Question(user, repo, operation, key, address, refs)
    decision, config = explaining.answer(context.installation, asked, moment)
    known = asking.facts(decision, config)
    if as_json:
        say_json(to_builtins(known))
        return 0
    for line in _lines(context, decision, known):
        click.echo(line)
    return 0


_LATEST = 10**11  # Unix seconds; no date lies further off


def _time(text: str) -> int:
    if (seconds := number(text, _LATEST)) is not None:
        return seconds
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError):
        raise Refusal("usage", text=f"{text} is not a time; write Unix seconds or 2026-11-25T14:30") from None


def _lines(context: AdminContext, decision: Decision, facts: asking.Facts) -> list[str]:
    request = decision.request
    at = clock(request.moment.at, now().at)
    lines = [
        f"{facts.verdict} [{facts.reason}]: {request.user} {facts.operation} {facts.repository} at {at}",
        f"  key {request.credential.text}, from {request.address or 'an unknown address'}",
    ]
    if facts.detail:
        lines.append(f"  detail: {facts.detail}")
    lines.append(
        f"  enforcement: {facts.enforcement}; toggle: {facts.require or 'none'}; always: {'on' if facts.always else 'off'}"
    )
    lifetime = decision.requirement.lifetime_seconds
    if decision.verdict is None:
        lines.append("  what is required was not judged: it was refused before that")
    elif lifetime is None:
        why = {"off": "enforcement is off", "opt-in": "the repository's admins require nothing for this"}
        said = why.get(facts.enforcement, "nothing requires it")
        if decision.requirement.rule:
            said = f"by the rule {decision.requirement.rule}"
        lines.append(f"  {'exempt' if decision.requirement.exempt else 'nothing is required'}: {said}")
    else:
        lines.append(
            f"  required by {decision.requirement.because}: a verification no older than {format_duration(lifetime)}"
        )
        if decision.session_age_seconds is not None:
            lines.append(
                f"  session {decision.session} in scope, {duration(decision.session_age_seconds)} old"
            )
        else:
            lines.append(f"  no session in scope ({context.settings.session.scope})")
        lines.append(f"  second factor: {'set up' if facts.enrolled else 'none'}")
    if decision.requirement.depends_on_refs:
        demanding = ", ".join(f"{ref} ({rule})" for ref, rule in decision.requirement.refs[:5])
        lines.append(f"  some refs require more, which the hook judges: {demanding}; ask with --ref")
    return lines
