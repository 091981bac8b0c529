"""`admin init` and `admin config`: the installation and its configuration."""

from __future__ import annotations

import os

import click

from gitguard.cli.admin.office import actor, open_office, open_settings
from gitguard.cli.here import counted, say_json
from gitguard.command_line import Group
from gitguard.config.parse import ConfigurationError
from gitguard.host import key_file
from gitguard.host.account import own_command_line
from gitguard.host.install import Wishes, install
from gitguard.host.places import SYSTEM_CONFIG, places
from gitguard.message.reasons import Refusal
from gitguard.repository.hook_file import hook_fault
from gitguard.repository.registry import on_disk


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
@click.pass_context
def init(
    ctx: click.Context,
    home: str | None,
    account: str | None,
    repositories: str | None,
    host: str | None,
    port: int | None,
    authorized_keys: str | None,
) -> None:
    """Install, or check and renew an installation: configuration, keys, store, launchers, sshd snippet."""
    config = os.path.join(os.path.abspath(home), "gitguard.toml") if home else ctx.find_root().obj
    if config == SYSTEM_CONFIG and os.geteuid() != 0:
        line = "sudo " + " ".join(own_command_line())
        raise Refusal("forbidden", text="without --home, run this as root", hint=f"type: {line}")
    actor()
    wishes = Wishes(config, account, repositories, host, port, authorized_keys)
    settings = install(wishes, click.echo, own_command_line())
    ctx.find_root().obj = config
    at = places(config)
    click.echo(
        f"\nscope of a 2FA session: {settings.session.scope}"
        + ("" if settings.session.scope == "address" else "; a copied key rides on its owner's live session")
    )
    _findings(ctx)
    click.echo("\nnext:")
    click.echo(f"  include {at.snippet} at the end of sshd_config, and reload sshd")
    prefix = "gitguard" if config == SYSTEM_CONFIG else f"gitguard --config {config}"
    click.echo(f"  {prefix} admin repo create NAME, or: {prefix} admin repo adopt --all")
    click.echo(f"  {prefix} admin user add NAME --key FILE.pub")


def _findings(ctx: click.Context) -> None:
    """What init found that is not gated yet; our block of the key file is brought in line on the way."""
    office = open_office(ctx)
    if office.write_keys():
        click.echo(f"renewed gitguard's block in {office.key_file}")
    with office.desk.store.reading() as tx:
        known = {repository.directory for repository in tx.repositories()}
    ungated = [line for path in office.key_files for line in key_file.foreign_lines(path)]
    for line in ungated:
        click.echo(
            f"not gated: {line.fingerprint or 'a line that is not understood'} {line.comment} ({line.path}); adopt it with: gitguard admin key adopt MAP"
        )
    hook = _hook(office.at.hook)
    strangers = [found for found in on_disk(office.settings) if found.directory not in known]
    for found in strangers[:20]:
        click.echo(f"not known: {found.directory}; adopt it with: gitguard admin repo adopt {found.name}")
    if len(strangers) > 20:
        click.echo(f"not known: {len(strangers) - 20} more; adopt all with: gitguard admin repo adopt --all")
    dead = [path for path in sorted(known) if hook_fault(path, hook, os.geteuid())]
    for path in dead[:20]:
        click.echo(f"without a live hook: {path}; renew with: gitguard admin repo adopt --all")
    if not (ungated or strangers or dead):
        click.echo("every key is gated and every repository has its hook")


def _hook(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@click.group(cls=Group)
def config() -> None:
    """Check the configuration before it is used."""


@config.command()
@click.argument("file", required=False, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(ctx: click.Context, file: str | None, as_json: bool) -> int:
    """Name every fault with its line; exit 0 if there is none, 30 otherwise."""
    path = os.path.abspath(file) if file else ctx.find_root().obj
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
