"""What several admin commands say and ask in the same words."""

from __future__ import annotations

import click

from gitguard.cli.admin.context import AdminContext
from gitguard.message.reasons import Refusal


def say_invite(context: AdminContext, name: str, token: str, *, tabled: bool = False) -> None:
    """The invite alone on stdout, and what to send around it on stderr; `tabled`: NAME, tab, invite."""
    if tabled:
        click.echo(f"{name}\t{context.server.ssh(f'enroll {token}')}")
    else:
        click.echo(f"send {name} this line; it works once, within 7 days:", err=True)
        click.echo(context.server.ssh(f"enroll {token}"))
    if context.server.host in ("", "localhost", "localhost.localdomain"):
        click.echo(
            "gitguard: the server's name is not set, so the line names no host that others reach; set [host] name",
            err=True,
        )


def confirm(question: str, refused: str) -> None:
    """Ask before what cannot be undone. Raises Refusal("usage") unless the answer is yes."""
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort:
        raise Refusal("usage", text=refused, hint="use --yes to continue without being asked") from None
