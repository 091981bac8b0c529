"""Every command that help lists."""

from __future__ import annotations

from collections.abc import Iterator

import click


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that help lists, with what is typed for it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from commands(child, f"{path} {name}")
