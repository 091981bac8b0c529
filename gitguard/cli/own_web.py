"""A link that signs the person in to the web page, as text and as a QR code for their phone."""

from __future__ import annotations

import contextlib

import click

from gitguard.action import browsers
from gitguard.cli.context import UserContext
from gitguard.cli.prompt import aside
from gitguard.cli.qr import draw
from gitguard.message.moments import duration
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now


def link(context: UserContext, qr: str) -> int:
    """Print the link, alone on its line; all else, the QR code too, goes to stderr."""
    page = context.settings.host.web_url.rstrip("/")
    if not page:
        raise Refusal("not-available", text="there is no web page on this server")
    token = browsers.new_link(context.installation, context.person, now())
    click.echo(f"{page}/sign-in/{token}")
    aside(f"valid for {duration(browsers.LINK_SECONDS)}, in one browser; do not share it")
    if qr != "none":
        with contextlib.suppress(OSError):
            click.echo(draw(f"{page}/sign-in/{token}", qr), color=True, nl=False, err=True)
        aside("scan it with your phone's camera to sign in there")
    return 0
