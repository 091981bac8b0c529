"""`admin init` and `admin config`: the installation and its configuration."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import tempfile

import click

from gitguard.action import repositories
from gitguard.action.follow import follow, write_keys
from gitguard.action.keys import foreign
from gitguard.cli.admin.office import Office, actor, config_of, open_office, open_settings
from gitguard.cli.here import check_followed, counted, number, say_followed, say_json
from gitguard.command_line import Group
from gitguard.config.parse import ConfigurationError, parse
from gitguard.host import system
from gitguard.host.account import own_command_line
from gitguard.host.install import Wishes, finish, install
from gitguard.host.login_shell import shell_fault
from gitguard.host.ownership import fault_on_the_way
from gitguard.host.places import SYSTEM_CONFIG, places
from gitguard.host.typed_file import read_typed
from gitguard.message.reasons import Refusal, readable
from gitguard.repository.hook_file import hook_fault
from gitguard.repository.kept_hook import others_fault
from gitguard.repository.registry import on_disk
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
@click.option("--new-store", is_flag=True, help="Make an empty store although an old one seems to be gone.")
@click.option(
    "--drop-in",
    is_flag=True,
    help="Put the sshd snippet into /etc/ssh/sshd_config.d/00-gitguard.conf, where it wins (as root).",
)
@click.option("--timers", is_flag=True, help="Install the cron line, /etc/cron.d/gitguard (as root).")
@click.pass_context
def init(
    ctx: click.Context,
    home: str | None,
    account: str | None,
    repositories: str | None,
    host: str | None,
    port: int | None,
    authorized_keys: str | None,
    new_store: bool,
    drop_in: bool,
    timers: bool,
) -> None:  # fmt: skip
    """Install, or check and renew an installation: configuration, keys, store, launchers, hooks, sshd snippet."""
    config = os.path.join(os.path.abspath(home), "gitguard.toml") if home else config_of(ctx)
    if (config == SYSTEM_CONFIG or drop_in or timers) and os.geteuid() != 0:
        what = "--drop-in and --timers are" if drop_in or timers else "without --home, init is"
        raise Refusal("forbidden", text=f"{what} for root", hint=f"type: sudo {own_command_line()}")
    actor()
    wishes = Wishes(config, account, repositories, host, port, authorized_keys, new_store)
    ctx.find_root().obj = config
    at = places(config)
    said_by_root = []
    if drop_in or timers:
        # What only root may write is written last, by a process that stays root; install becomes the account.
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            if code := os.waitstatus_to_exitcode(status):
                raise click.exceptions.Exit(code if code > 0 else 1)
            if fault := fault_on_the_way(at.config, 0):
                raise Refusal(
                    "usage",
                    text=f"installed, but root's own files are only written from a configuration that is root's: {fault}",
                )
            if drop_in:
                said_by_root.append(system.install_drop_in(at.snippet))
            if timers:
                said_by_root.append(system.install_cron(at.cron))
            for text in said_by_root:
                click.echo(text)
            return
    settings = install(wishes, click.echo, own_command_line())
    click.echo(
        f"\nscope of a 2FA session: {settings.session.scope}"
        + ("" if settings.session.scope == "address" else "; a copied key rides on its owner's live session")
    )
    office = open_office(ctx)
    _renew(office)
    _findings(office)
    _next(office, config, drop_in=drop_in, timers=timers)


def _renew(office: Office) -> None:
    """Hooks, the gate's own form of the configuration, the key file, and what runs: all of today."""
    site, moment = office.site, now()
    renewed, left = repositories.renew_hooks(site, moment, office.actor)
    finish(site.at)
    if renewed:
        counted(len(renewed), "repository", "got the present hook", "repositories")
    _some("hook not renewed", [f"{name}: {why}" for name, why in left])
    try:
        if write_keys(site):
            click.echo(f"renewed gitguard's block in {site.key_file}")
    finally:
        followed = follow(site, moment)
    say_followed(followed)
    check_followed(followed, "everything is installed")


def _some(label: str, lines: list[str], remedy: str = "") -> None:
    """The first few of a list, and how many more there are."""
    for line in lines[:SHOWN]:
        click.echo(f"{label}: {readable(line, 400)}")
    if len(lines) > SHOWN:
        click.echo(f"{label}: {len(lines) - SHOWN} more")
    if lines and remedy:
        click.echo(f"    {remedy}")


def _findings(office: Office) -> None:
    """What init found that is not gated yet."""
    site = office.site
    ungated = foreign(site)
    _some(
        "not gated",
        [
            f"{line.fingerprint or 'a line that is not understood'} {line.comment} ({line.path})"
            for line in ungated
        ],
        "gitguard admin key list --map > MAP, look through it, then: gitguard admin key adopt MAP",
    )
    with site.store.reading() as tx:
        known = {repository.directory for repository in tx.repositories()}
        out = set(tx.forgotten())
    strangers = [f for f in on_disk(office.settings) if f.directory not in known and f.directory not in out]
    _some(
        "not known",
        [f.directory for f in strangers],
        "gitguard admin repo adopt --all --dry-run, then without --dry-run",
    )
    hook, uid = repositories.live_hook(site), os.geteuid()
    dead = [
        f"{path}: {fault}"
        for path in sorted(known)
        if (fault := hook_fault(path, hook, uid) or others_fault(path, uid))
    ]
    _some("pushes refused", dead)
    home = pwd.getpwnam(office.settings.host.account).pw_dir
    if os.path.isdir(f"{home}/git-shell-commands"):
        click.echo(
            f"note: {home}/git-shell-commands is not reached any more; commands that should stay go behind the gate "
            "with [git] pass_commands and [git] behind"
        )
    if not (ungated or strangers or dead):
        click.echo("every key is gated and every repository has its hook")


def _next(office: Office, config: str, *, drop_in: bool, timers: bool) -> None:
    """What is left to do, in its order."""
    at, account = office.site.at, str(office.settings.host.account)
    prefix = "gitguard" if config == SYSTEM_CONFIG else f"gitguard --config {shlex.quote(config)}"
    click.echo("\nnext:")
    if fault := shell_fault(pwd.getpwnam(account)):
        click.echo(
            f"  first of all: {fault}, so nobody whose key is gated gets in. Keys first, then the shell:"
        )
        click.echo(f"  {prefix} admin key adopt --set-shell MAP")
    if not drop_in:
        click.echo(
            f"  put {at.snippet} into sshd's configuration (as /etc/ssh/sshd_config.d/00-gitguard.conf), and reload sshd"
        )
    if not timers:
        click.echo(f"  put {at.cron} into cron (as /etc/cron.d/gitguard)")
    click.echo(f"  {prefix} admin repo create NAME, or: {prefix} admin repo adopt --all")
    click.echo(f"  {prefix} admin user add NAME --key FILE.pub")
    click.echo(f"  {prefix} admin doctor   (as root: is the gate really in the way?)")


@click.group(cls=Group)
def config() -> None:
    """Check the configuration before it is used, or edit it: check, edit."""


@config.command()
@click.argument("file", required=False, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(ctx: click.Context, file: str | None, as_json: bool) -> int:
    """Name every fault with its line; exit 0 if there is none, 30 otherwise."""
    path = os.path.abspath(file) if file else config_of(ctx)
    faults = []
    try:
        open_settings(path)
    except ConfigurationError as error:
        faults = error.faults
    if as_json:
        say_json(
            {"file": path, "faults": [{"line": f.line, "where": f.where, "what": f.what} for f in faults]}
        )
        return 30 if faults else 0
    for fault in faults:
        click.echo(f"{path}: {fault}")
    if faults:
        counted(len(faults), "fault", f"in {path}; nothing uses this file while it has them [config-invalid]")
        return 30
    click.echo(f"{path} is in order")
    return 0


@config.command()
@click.pass_context
def edit(ctx: click.Context) -> int:
    """Open the configuration in $VISUAL or $EDITOR, check it, and only then put it in place, in one step."""
    path = config_of(ctx)
    if not os.access(path, os.W_OK) or not os.access(os.path.dirname(path), os.W_OK):
        line = f"type: sudo {own_command_line()}"
        raise Refusal("forbidden", text=f"you may not write {path}", hint=line)
    owner = os.stat(path)
    before = read_typed(path, pwd.getpwuid(owner.st_uid).pw_name, 1 << 23)
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory(prefix="gitguard-") as folder:
        draft = os.path.join(folder, "gitguard.toml")
        with open(draft, "wb") as file:
            file.write(before)
        while True:
            try:
                status = subprocess.run([*editor, draft], check=False).returncode
            except OSError as error:
                raise Refusal(
                    "usage", text=f"{editor[0]}: {error.strerror}", hint="name one in $EDITOR"
                ) from None
            if status != 0:
                raise Refusal("usage", text=f"the editor exited {status}; {path} was left as it is")
            with open(draft, "rb") as file:
                data = file.read()
            if data == before:
                click.echo("nothing was changed")
                return 0
            faults = _faults_of(data, path)
            if not faults:
                break
            for text in faults:
                click.echo(text, err=True)
            try:
                again = click.confirm(
                    "edit it again? (otherwise it is left as it was)", default=True, err=True
                )
            except click.Abort:
                again = False
            if not again:
                raise Refusal(
                    "config-invalid", text=f"{number(len(faults), 'fault')}; {path} was left as it is"
                )
    system.put_in_place(path, data, owner)
    click.echo(f"{path} is in order, and in use from the next request on")
    office = open_office(ctx)
    followed = follow(office.site, now())
    say_followed(followed)
    check_followed(followed, "the configuration is in use")
    return 0


def _faults_of(data: bytes, path: str) -> list[str]:
    try:
        parse(data, path)
    except ConfigurationError as error:
        return [f"{path}: {fault}" for fault in error.faults]
    return []
