"""`admin export`: users, keys, repositories and toggles as TOML, to review or keep under version control."""

from __future__ import annotations

import click
import tomli_w

from gitguard.cli.admin.context import AdminContext, as_admin
from gitguard.config.types import format_duration
from gitguard.store.rows import Key, Repository


@click.command()
@as_admin
def export(context: AdminContext) -> None:
    """Print people and repositories as TOML. Users, keys, repositories and what they require; no secret, no
    session, the same text for the same state.
    """
    with context.installation.store.reading() as tx:
        users = [
            {
                "name": user.name,
                "state": user.state,
                "enrolled": tx.has_factor(user.name),
                "always": user.always,
                # By fingerprint: when a key was added is not part of the state, and may differ
                # between servers.
                "keys": [_key(key) for key in sorted(tx.keys(user.name), key=lambda key: key.fingerprint)],
            }
            for user in tx.users()
        ]
        repositories = [
            {
                "name": repository.name,
                "directory": repository.directory,
                "require": repository.require,
                **_floor(repository),
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


def _floor(repository: Repository) -> dict[str, object]:
    """The floor, where it differs from what is required: the repository's admins have tightened it."""
    if (repository.floor_require, repository.floor_lifetime_seconds) == (
        repository.require, repository.lifetime_seconds,
    ):  # fmt: skip
        return {}
    floor: dict[str, object] = {"floor": repository.floor_require}
    if repository.floor_lifetime_seconds:
        floor["floor_lifetime"] = format_duration(repository.floor_lifetime_seconds)
    return floor


def _key(key: Key) -> str | dict[str, object]:
    """One line as in a .pub file; a table where something limits the key or stands behind the gate for it."""
    line = f"{key.type} {key.blob} {key.comment}".rstrip()
    if not (key.limits or key.behind or key.verify_required):
        return line
    about: dict[str, object] = {"key": line}
    if key.limits:
        about["limits"] = key.limits
    if key.verify_required:
        about["verify_required"] = True
    if key.behind:
        about["behind"] = list(key.behind)
    return about
