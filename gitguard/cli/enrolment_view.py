"""What enrolment shows, and the asking for the code that confirms it."""

from __future__ import annotations

import click

from gitguard.cli.here import Here
from gitguard.cli.prompt import ask
from gitguard.cli.qr import draw
from gitguard.factor import enrolment
from gitguard.factor.code import in_groups
from gitguard.factor.enrolment import TRIES, Enrolled, Pending
from gitguard.message.moments import duration
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment, now


def show_pending(here: Here, pending: Pending, qr: str) -> None:
    """Apps, recovery codes, secret, link and QR code, shown this once, on stdout."""
    click.echo("1. You need an authenticator app. If you have none:\n")
    for app in here.settings.apps:
        click.echo(f"    {app.name:<12} {app.platforms:<24} {app.url}".rstrip())
    if pending.recovery_codes:
        click.echo("\n2. Keep these recovery codes where your phone is not. Each works once:\n")
        for code in pending.recovery_codes:
            click.echo(f"    {in_groups(code)}")
    parameters = pending.parameters
    click.echo("\n3. Scan the QR code, open the link, or type the secret into the app:\n")
    # Over ssh -T stdout is a pipe, and click would take the colours away that make it a QR code.
    click.echo(draw(pending.uri, qr), color=True)
    click.echo(pending.uri)
    click.echo(f"\n    secret: {in_groups(parameters.secret, 4, ' ')}")
    click.echo(
        f"    (account {here.person.user}, {parameters.digits} digits, every {parameters.period_seconds} seconds, "
        f"{parameters.algorithm})\n"
    )


def confirm_pending(here: Here, pending: Pending) -> tuple[Enrolled, Moment]:
    """Ask for the new app's code, up to three times. Raises Refusal when none was right."""
    question = f"4. code that the app shows now ({pending.parameters.digits} digits): "
    for attempt in range(1, TRIES + 1):
        left = pending.ends_at - now().at
        typed = ask(question, max(left, 0))
        moment = now()
        try:
            return enrolment.confirm(here.desk, here.person, pending, typed, moment), moment
        except Refusal as refusal:
            if refusal.reason not in ("code-rejected", "not-a-code") or attempt == TRIES:
                if refusal.reason == "code-rejected" and not refusal.text:
                    refusal.text = (
                        "none of the codes was right, so nothing was set up; is your phone's clock right?"
                    )
                raise
            about = (
                "that is not the code of this secret"
                if refusal.reason == "code-rejected"
                else "that is not a code"
            )
            click.echo(f"gitguard: {about}; {duration(left)} left to try again", err=True)
    raise Refusal("code-rejected")
