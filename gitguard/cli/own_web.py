"""A link that signs the person in to the web page."""

from __future__ import annotations

import click

from gitguard.action import browsers
from gitguard.cli.here import Here
from gitguard.message.moments import duration
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now


def link(here: Here) -> int:
    """Print the link, alone on its line."""
    page = here.settings.host.web_url.rstrip("/")
    if not page:
        raise Refusal("not-available", text="there is no web page on this server")
    token = browsers.new_link(here.site, here.person, now())
    click.echo(f"{page}/sign-in/{token}")
    click.echo(
        f"valid for {duration(browsers.LINK_SECONDS)}, in one browser; do not share it",
        err=True,
    )
    return 0
