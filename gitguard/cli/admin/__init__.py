"""`gitguard admin ...`: one file a noun. Every command runs as the Git account and says what it changed."""

from __future__ import annotations

from gitguard.cli.admin import (
    audit,
    break_glass,
    configuration,
    doctor,
    explain,
    export,
    key,
    log,
    repo,
    session,
    setup,
    store,
    user,
)
from gitguard.command_line import Group

admin = Group("admin", help="For the server's admin, on the server.", no_args_is_help=True)
for command in (
    setup.init,
    configuration.config,
    user.user,
    key.key,
    repo.repo,
    session.session,
    explain.explain,
    log.log,
    doctor.doctor,
    audit.audit,
    break_glass.break_glass,
    store.store,
    export.export,
):
    admin.add_command(command)
