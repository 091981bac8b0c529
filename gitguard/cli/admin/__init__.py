"""`gitguard admin ...`: one file a noun. Every command runs as the Git account and says what it changed.

Each file is loaded when its noun is typed: doctor alone is a third of all of them.
"""

from __future__ import annotations

from importlib import import_module

import click

from gitguard.command_line import Group

# noun -> where its command lies below this folder, in the order in which an admin meets them
NOUNS = {
    "init": "setup.init",
    "config": "configuration.config",
    "user": "user.user",
    "key": "key.key",
    "repo": "repo.repo",
    "session": "session.session",
    "explain": "explain.explain",
    "policy": "policy.policy",
    "log": "log.log",
    "doctor": "doctor.doctor",
    "stats": "stats.stats",
    "audit": "audit.audit",
    "break-glass": "break_glass.break_glass",
    "store": "store.store",
    "export": "export.export",
    "apply": "apply.apply",
    "serve": "serve.serve",
    "agent": "agent.agent",
    "helper": "helper.helper",
    "uninstall": "uninstall.uninstall",
}


class Admin(Group):
    """The group of all nouns."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every noun, in the table's order."""
        del ctx
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a noun."""
        del ctx
        module, _, name = NOUNS.get(cmd_name, "").partition(".")
        if not module:
            return None
        found: click.Command = getattr(import_module(f"gitguard.cli.admin.{module}"), name)
        return found


admin = Admin("admin", help="Administer the server.", no_args_is_help=True)
