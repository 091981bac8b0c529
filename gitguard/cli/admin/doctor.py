"""`admin doctor`: is the gate really in the way? Every gap by name, with its remedy; exit 1 if there is one."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator

import click

from gitguard.cli.admin.office import Office, open_office, open_settings
from gitguard.cli.here import say_json
from gitguard.host.doctor import account, files, repositories, sshd, store
from gitguard.host.doctor.finding import Finding, gap
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now


@click.command()
@click.option("--sshd-config", type=click.Path(), help="sshd's configuration file, if not its default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Only the gaps.")
@click.pass_context
def doctor(ctx: click.Context, sshd_config: str | None, as_json: bool, quiet: bool) -> int:
    """Look at sshd, keys, repositories, files, store and clock; exit 1 if the gate can be got around."""
    found = list(_findings(ctx, sshd_config))
    gaps = [finding for finding in found if finding.level == "gap"]
    if as_json:
        say_json(
            {
                "gaps": len(gaps),
                "findings": [
                    {"level": f.level, "name": f.name, "what": f.what, "remedy": f.remedy} for f in found
                ],
            }
        )
        return 1 if gaps else 0
    for finding in gaps if quiet else found:
        mark = {"ok": "ok  ", "note": "note", "gap": "GAP "}[finding.level]
        click.echo(f"{mark}  {finding.name}: {finding.what}")
        if finding.remedy:
            click.echo(f"      try: {finding.remedy}")
    count = len(gaps)
    verdict = "no gap: the gate is in the way" if not gaps else f"{count} gap{'' if count == 1 else 's'}"
    click.echo(f"\n{verdict}; {sum(f.level == 'ok' for f in found)} things are in order")
    return 1 if gaps else 0


def _findings(ctx: click.Context, sshd_config: str | None) -> Iterator[Finding]:
    config: str = ctx.find_root().obj
    try:
        settings = open_settings(config)
        entry = pwd.getpwnam(settings.host.account)
    except Refusal as refusal:
        yield gap(
            "configuration",
            refusal.detail or refusal.text,
            "gitguard admin config check; until then every request is refused",
        )
        return
    except KeyError:
        yield gap(
            "configuration",
            f"no account {settings.host.account} on this machine",
            "make it, or name another under [host] account",
        )
        return
    effective = sshd.read(entry.pw_name, sshd_config, settings.host.port)  # while we may still be root
    try:
        office = open_office(ctx)
    except Refusal as refusal:
        if refusal.reason == "forbidden":
            raise
        yield gap(refusal.reason, refusal.detail or refusal.text, 'see docs/operations.md, "nobody can push"')
        yield from sshd.findings(effective, "the snippet")
        return
    yield from sshd.findings(effective, office.at.snippet)
    yield from _inside(office, entry, effective)


def _inside(office: Office, entry: pwd.struct_passwd, effective: sshd.Sshd) -> Iterator[Finding]:
    settings = office.settings
    yield from account.shell_findings(entry)
    yield from account.home_findings(entry)
    read = (
        office.key_files
        if effective.fault
        else sshd.key_files(effective, entry.pw_dir, entry.pw_name, entry.pw_uid)
    )
    with office.desk.store.reading() as tx:
        keys, known, latest_at = tx.keys(), tx.repositories(), tx.latest_at()
        demands = list(repositories.demand_findings(settings, tx, known))
    yield from account.key_findings(keys, read, office.key_file, office.at.gate)
    yield from files.file_findings(settings, office.at)
    yield from files.launcher_findings(office.at)
    yield from files.code_findings()
    yield from files.clock_findings(latest_at, now())
    yield from files.policy_findings(settings)
    yield from repositories.repository_findings(settings, known, _hook(office))
    yield from demands
    yield from repositories.export_findings(settings)
    yield from store.store_findings(office.sqlite)
    yield from store.secret_findings(office.sqlite, office.desk.keyring)


def _hook(office: Office) -> bytes:
    if not os.path.exists(office.at.hook):
        return b""  # said by launcher_findings; every hook then differs
    with open(office.at.hook, "rb") as file:
        return file.read()
