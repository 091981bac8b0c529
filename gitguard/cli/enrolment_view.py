"""What enrolment shows, and the asking for the code that confirms it."""

from __future__ import annotations

import click

from gitguard.action import second_factor
from gitguard.action.effects import Effects
from gitguard.cli.context import UserContext
from gitguard.cli.prompt import ask
from gitguard.cli.qr import draw, width
from gitguard.factor.code import in_groups
from gitguard.factor.enrolment import TRIES, Enrolled, PendingEnrolment
from gitguard.message.moments import duration
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment, now


def show_pending(context: UserContext, pending: PendingEnrolment, qr: str) -> None:
    """Apps, recovery codes, link, secret, and last the QR code with the prompt below it; shown once."""
    click.echo("1. Open your authenticator app. Need one?\n")
    for app in context.settings.apps:
        click.echo(f"    {app.name:<12} {app.platforms:<24} {app.url}".rstrip())
    if pending.recovery_codes:
        click.echo("\n2. Keep these recovery codes away from your phone. Each works once, if you lose it:\n")
        for code in pending.recovery_codes:
            click.echo(f"    {in_groups(code)}")
    parameters = pending.parameters
    click.echo("\n3. Scan the QR code below, open this link, or type the secret into the app:\n")
    click.echo(pending.uri)
    click.echo(f"\n    secret: {in_groups(parameters.secret, 4, ' ')}")
    click.echo(
        f"    (account {context.person.user}, {parameters.digits} digits, every {parameters.period_seconds} seconds, "
        f"{parameters.algorithm})\n"
    )
    if qr == "large":
        click.echo(
            f"(the QR code needs {width(pending.uri)} columns; if it looks torn, widen the window or use --qr small)"
        )
    # Over ssh -T stdout is a pipe, and click would take the colours away that make it a QR code.
    click.echo(draw(pending.uri, qr), color=True, nl=False)


def confirm_pending(context: UserContext, pending: PendingEnrolment) -> tuple[Enrolled, Effects, Moment]:
    """Ask for the new app's code, up to three times. Raises Refusal when none was right."""
    question = f"4. code that the app shows now ({pending.parameters.digits} digits): "
    for attempt in range(1, TRIES + 1):
        left = pending.ends_at - now().at
        typed = ask(question, max(left, 0), context.queue)
        moment = now()
        try:
            return *second_factor.confirm(
                context.installation, context.person, pending, typed, moment
            ), moment
        except Refusal as refusal:
            if refusal.reason not in ("code-rejected", "not-a-code") or attempt == TRIES:
                if refusal.reason in ("code-rejected", "not-a-code") and not refusal.text:
                    raise refusal.but(
                        text="no code was right, so nothing was set up; delete the new entry from your app, "
                        "set the phone's clock to automatic, and start again"
                    ) from None
                raise
            about = "wrong code" if refusal.reason == "code-rejected" else "not a code"
            click.echo(f"gitguard: {about}; try again ({duration(left)} left)", err=True)
    raise Refusal("code-rejected")
