"""`admin init`: the installation, and what it finds."""

from __future__ import annotations

import os
import pwd

import click

from gitguard.action import repositories
from gitguard.action.effects import take_effect, write_keys
from gitguard.action.keys import foreign
from gitguard.agent.accounts import become_keeper
from gitguard.cli.admin.context import (
    AdminContext,
    actor,
    config_of,
    open_admin_context,
    open_settings_or_say,
)
from gitguard.cli.context import check_effects, say_effects
from gitguard.cli.printing import counted
from gitguard.command_line import say
from gitguard.host import system
from gitguard.host.install import InitOptions, finish, install
from gitguard.host.places import SYSTEM_CONFIG, places_of
from gitguard.machine.git_account import own_command_line, uid_of
from gitguard.machine.login_shell import shell_fault
from gitguard.machine.ownership import fault_on_the_way
from gitguard.machine.run_as import run_as
from gitguard.machine.whereabouts import folders, there
from gitguard.message.reasons import Refusal, readable
from gitguard.repository.chained_hooks import others_fault
from gitguard.repository.hook_file import hook_fault
from gitguard.repository.registry import on_disk, root_of
from gitguard.session.moment import now

SHOWN = 3  # of a long list; the rest is a count


@click.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False),
    help="Put everything below this folder, for an unprivileged account.",
)
@click.option(
    "--account", help="The account that sshd logs people in to (default git, or yours with --home)."
)
@click.option("--repositories", type=click.Path(), help="The folder that holds the repositories.")
@click.option("--host", help="The name people reach this server by.")
@click.option("--port", type=click.IntRange(1, 65535), help="sshd's port (default 22).")
@click.option(
    "--authorized-keys", type=click.Path(), help="The key file to manage (default: the account's own)."
)
@click.option(
    "--kept-by", metavar="NAME", help="Take store and log over from this account, which kept them until now."
)
@click.option("--new-store", is_flag=True, help="Make an empty store although an old one seems to be gone.")
@click.option(
    "--drop-in",
    is_flag=True,
    help="Put the sshd snippet into /etc/ssh/sshd_config.d/00-gitguard.conf, where it wins (as root).",
)
@click.option("--timers", is_flag=True, help="Install the cron line, /etc/cron.d/gitguard (as root).")
@click.option(
    "--reload", is_flag=True, help="Let sshd read its configuration anew, and look as doctor does (as root)."
)
@click.pass_context
def init(
    ctx: click.Context,
    home: str | None,
    account: str | None,
    repositories: str | None,
    host: str | None,
    port: int | None,
    authorized_keys: str | None,
    kept_by: str | None,
    new_store: bool,
    drop_in: bool,
    timers: bool,
    reload: bool,
) -> None:  # fmt: skip
    """Install gitguard, or repair it. Configuration, keys, store, launchers, hooks, units, sshd snippet;
    what is right is left alone.
    """
    config = os.path.join(os.path.abspath(home), "gitguard.toml") if home else config_of(ctx)
    flags = [
        name for name, given in (("--drop-in", drop_in), ("--timers", timers), ("--reload", reload)) if given
    ]
    if (config == SYSTEM_CONFIG or flags) and os.geteuid() != 0:
        what = (
            f"{' and '.join(flags)} {'is' if len(flags) == 1 else 'are'}"
            if flags
            else "without --home, init is"
        )
        raise Refusal("forbidden", text=f"{what} for root", hint=f"type: sudo {own_command_line()}")
    actor()
    wishes = InitOptions(config, account, repositories, host, port, authorized_keys, new_store, kept_by)
    ctx.find_root().obj = config
    if os.geteuid() == 0 and (config == SYSTEM_CONFIG or flags) and (child := os.fork()):
        # What only root may write is written last, by a process that stays root; install becomes the account.
        _, status = os.waitpid(child, 0)
        if code := os.waitstatus_to_exitcode(status):
            raise click.exceptions.Exit(code if code > 0 else 1)
        _as_root(ctx, drop_in=drop_in, timers=timers, reload=reload)
        return
    line = own_command_line()
    settings = install(wishes, click.echo, line, lambda settings: become_keeper(settings, line))
    click.echo(
        f"\nscope of a 2FA session: {settings.session.scope}"
        + ("" if settings.session.scope == "address" else "; a copied key rides on its owner's live session")
    )
    context = open_admin_context(ctx)
    _renew(context)
    _findings(context)
    if not (flags or config == SYSTEM_CONFIG):
        _next(context, unread="")


def _as_root(ctx: click.Context, *, drop_in: bool, timers: bool, reload: bool) -> None:
    """The system's own files, what is left to do (as the account sees it), and, where sshd knows of all,
    whether the gate is in the way.
    """
    config = config_of(ctx)
    places, name = places_of(config), open_settings_or_say(ctx).keeper
    unread = ""
    if drop_in or timers:
        if fault := fault_on_the_way(places.config, 0):
            raise Refusal(
                "usage",
                text=f"installed, but root's own files are only written from a configuration that is root's: {fault}",
            )
        if drop_in:
            said = system.install_drop_in(places.snippet)
            unread = "sshd -t && systemctl reload ssh" if said.startswith("wrote") else ""
            click.echo(said)
        if timers:
            click.echo(system.install_cron(places.cron))
    if config == SYSTEM_CONFIG:
        for text in system.link_programs():
            click.echo(text)
    if reload:
        click.echo(system.reload_sshd())
        unread = ""
    run_as(name, lambda: _next(open_admin_context(ctx), unread=unread, looked=reload))
    if reload:
        _look(ctx)


def _look(ctx: click.Context) -> None:
    """What doctor finds, its gaps alone."""
    from gitguard.cli.admin.doctor import say_findings
    from gitguard.cli.admin.doctor_run import findings

    click.echo()
    say_findings(list(findings(ctx, None)), quiet=True)


def _of_this_server(context: AdminContext, known: set[str]) -> list[str]:
    """Those of a shared store that this server has."""
    return there(sorted(path for path in known if root_of(context.settings, path)))


def _renew(context: AdminContext) -> None:
    """Hooks, the gate's own form of the configuration, the key file, and what runs: all of today."""
    installation, moment = context.installation, now()
    renewed, left = repositories.renew_hooks(installation, moment, context.actor)
    finish(installation.places)
    if renewed:
        counted(len(renewed), "repository", "got the present hook", "repositories")
    _some("hook not renewed", [f"{name}: {why}" for name, why in left])
    try:
        if write_keys(installation):
            click.echo(f"renewed gitguard's block in {installation.key_file}")
    finally:
        effects = take_effect(installation, moment)
    say_effects(effects)
    check_effects(effects, "everything is installed")


def _some(label: str, lines: list[str], remedy: str = "") -> None:
    """The first few of a list, and how many more there are."""
    for line in lines[:SHOWN]:
        click.echo(f"{label}: {readable(line, 400)}")
    if len(lines) > SHOWN:
        click.echo(f"{label}: {len(lines) - SHOWN} more")
    if lines and remedy:
        say(f"    {remedy}")


def _findings(context: AdminContext) -> None:
    """What init found that is not gated yet."""
    installation = context.installation
    ungated = foreign(installation)
    _some(
        "not gated",
        [
            f"{line.fingerprint or 'a line that is not understood'} {line.comment} ({line.path})"
            for line in ungated
        ],
        "gitguard admin key list --map > MAP, look through it, then: gitguard admin key adopt MAP",
    )
    with installation.store.reading() as tx:
        known = {repository.directory for repository in tx.repositories()}
        out = set(tx.forgotten())
    strangers = [f for f in on_disk(context.settings) if f.directory not in known and f.directory not in out]
    _some(
        "not known",
        [f.directory for f in strangers],
        "gitguard admin repo adopt --all --dry-run, then without --dry-run",
    )
    hook, uid = repositories.live_hook(installation), uid_of(context.settings.host.account)
    dead = [
        f"{path}: {fault}"
        for path in (sorted(known) if context.settings.store.url.is_file else _of_this_server(context, known))
        if (fault := hook_fault(path, hook, uid) or others_fault(path, uid))
    ]
    _some("pushes refused", dead)
    home = pwd.getpwnam(context.settings.host.account).pw_dir
    if folders([f"{home}/git-shell-commands"]):
        click.echo(
            f"note: {home}/git-shell-commands is not reached any more; commands that should stay go behind the gate "
            "with [git] pass_commands and [git] behind"
        )
    if not (ungated or strangers or dead):
        click.echo("every key is gated and every repository has its hook")


def _next(context: AdminContext, *, unread: str, looked: bool = False) -> None:
    """What is left to do, in its order, and nothing that is done; `unread`: the line by which sshd
    reads what was just written.
    """
    at, account = context.installation.places, str(context.settings.host.account)
    with context.installation.store.reading() as tx:
        counts = tx.counts()
    left = [f"  {unread}"] if unread else []
    if fault := shell_fault(pwd.getpwnam(account)):
        left.append(f"  first of all: {fault}, so nobody whose key is gated gets in.")
        if foreign(context.installation):
            left.append(
                "  keys first, then the shell, both by: gitguard admin key adopt --set-shell MAP   (as root)"
            )
        else:
            left.append(f"  as root: usermod --shell /bin/sh {account}")
    if not system.drop_in_is_there(account):
        left.append(
            f"  put {at.snippet} into sshd's configuration (as /etc/ssh/sshd_config.d/00-gitguard.conf), and reload sshd"
        )
    if not system.sweep_is_scheduled():
        left.append(f"  put {at.cron} into cron (as /etc/cron.d/gitguard)")
    if not counts.repositories:
        left.append(
            "  gitguard admin repo create NAME --require push   (for those already there: gitguard admin repo adopt --all)"
        )
    if not counts.users:
        left.append("  gitguard admin user add NAME --key FILE.pub")
    if not looked:
        left.append("  gitguard admin doctor   (as root: is every way in guarded?)")
    if left:
        say("\nnext:\n" + "\n".join(left))
