"""`admin export`: users, keys, repositories and toggles as TOML, to review or keep under version control."""

from __future__ import annotations

import click
import tomli_w

from gitguard.cli.admin.office import open_office
from gitguard.config.schema import format_duration


@click.command()
@click.pass_context
def export(ctx: click.Context) -> None:
    """Print users, keys, repositories and toggles as TOML; no secret, no session, the same text for the same state."""
    office = open_office(ctx)
    with office.desk.store.reading() as tx:
        users = [
            {
                "name": user.name,
                "state": user.state,
                "enrolled": tx.factor(user.name) is not None,
                "always": user.always,
                "keys": [f"{key.type} {key.blob} {key.comment}".rstrip() for key in tx.keys(user.name)],
            }
            for user in tx.users()
        ]
        repositories = [
            {
                "name": repository.name,
                "directory": repository.directory,
                "require": repository.require,
                **(
                    {"lifetime": format_duration(repository.lifetime_seconds)}
                    if repository.lifetime_seconds
                    else {}
                ),
                "admins": tx.repository_admins(repository.name),
            }
            for repository in tx.repositories()
        ]
    click.echo(
        tomli_w.dumps({"users": users, "repositories": repositories}, multiline_strings=False), nl=False
    )
