"""All that `admin doctor` looks at, in order: as root what only root may see, the rest as the Git account."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterable, Iterator

import click

from gitguard.action.repositories import live_hook
from gitguard.cli.admin.office import Office, config_of, open_office, open_settings
from gitguard.config.faults import ConfigurationError
from gitguard.config.in_force import good_form
from gitguard.config.schema import Settings
from gitguard.doctor import (
    access,
    account,
    environment,
    exports,
    files,
    page,
    repositories,
    running,
    sshd,
    store,
    ways_in,
)
from gitguard.doctor.finding import Finding, gap
from gitguard.host.places import places_of
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now


def _looked(name: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of one look; if it fails half way, that is a finding too: doctor always ends in findings."""
    try:
        yield from look()
    except Refusal as refusal:
        yield gap(refusal.reason, f"{name}: {access.unreadable(refusal)}", _remedy(refusal))
    except Exception as error:
        yield gap(
            "not-looked-at", f"{name}: {type(error).__name__}: {error}", "mend that first, and look again"
        )


def _remedy(refusal: Refusal) -> str:
    by_reason = {
        "store-unavailable": "gitguard admin store status; a backup is put in place by: gitguard admin store restore FILE",
        "store-schema": "gitguard admin init (it brings the store up to date); if the store is newer: install that version",
        "config-invalid": "gitguard admin config edit",
        "log-unavailable": "gitguard admin init (it makes the log's folder anew); the file itself must be the account's",
    }
    return (
        str(refusal.facts.get("remedy", ""))
        or refusal.hint
        or by_reason.get(refusal.reason, 'see docs/operations.md, "The night it breaks"')
    )


def findings(ctx: click.Context, sshd_config: str | None) -> Iterator[Finding]:
    """Every finding; raises Refusal("forbidden") alone."""
    config = config_of(ctx)
    try:
        settings = open_settings(config)
        entry = pwd.getpwnam(settings.host.account)
    except ConfigurationError as error:
        good = good_form(places_of(config).compiled)
        whole = (
            f", or take the last form that was whole: install -m 644 {good} {config}"
            if os.path.exists(good)
            else ""
        )
        for fault in error.faults:
            yield gap(
                "configuration",
                f"{error.path}: {fault}",
                f"gitguard admin config edit{whole}; until then every request is refused",
            )
        return
    except Refusal as refusal:
        if refusal.reason == "forbidden":
            raise
        yield gap(
            "configuration",
            access.unreadable(refusal),
            refusal.hint or "gitguard admin config check; until then every request is refused",
        )
        return
    except KeyError:
        yield gap(
            "configuration",
            f"no account {settings.host.account} on this machine",
            "make it, or name another under [host] account",
        )
        return
    # While we may still be root: sshd's own files, shadow, sudoers.
    effective = sshd.read(entry.pw_name, sshd_config, settings.host.port)
    as_root = list(_looked("ways into the account", lambda: ways_in.read_as_root(entry.pw_name)))
    try:
        office: Office | None = open_office(ctx)
    except Refusal as refusal:
        if refusal.reason == "forbidden":
            raise
        office = None
        yield gap(refusal.reason, access.unreadable(refusal), _remedy(refusal))
    places = places_of(config)
    yield from _looked("sshd", lambda: sshd.findings(effective, places.snippet))
    yield from _looked("running sshd", lambda: running.daemon_findings(sshd_config, effective, entry.pw_uid))
    yield from as_root
    for name, look in (
        ("ways into the account", lambda: ways_in.account_findings(entry)),
        ("login shell", lambda: account.shell_findings(entry)),
        ("home", lambda: account.home_findings(entry)),
        ("environment", lambda: environment.environment_findings(effective, entry)),
        ("sshrc", lambda: environment.sshrc_findings(entry.pw_name)),
        ("access", lambda: access.access_findings(settings, places)),
        ("the web page", lambda: page.page_findings(settings)),
        ("configuration", lambda: files.configuration_findings(places)),
        ("files", lambda: files.file_findings(settings, places)),
        ("launchers", lambda: files.launcher_findings(places)),
        ("code", files.code_findings),
        ("policy", lambda: files.policy_findings(settings)),
        ("exports", lambda: exports.export_findings(settings)),
        ("system's Git", repositories.system_hooks_path_findings),
    ):
        yield from _looked(name, look)
    if office is not None:
        yield from _inside(office, entry, effective, settings)


def _inside(
    office: Office, entry: pwd.struct_passwd, effective: sshd.Sshd, settings: Settings
) -> Iterator[Finding]:
    """What needs the installation's own files and the store."""
    site = office.site
    read = (
        site.key_files
        if effective.fault
        else sshd.key_files(effective, entry.pw_dir, entry.pw_name, entry.pw_uid)
    )
    with site.store.reading() as tx:
        keys, known, latest_at = tx.keys(), tx.repositories(), tx.latest_at()
        active = {user.name for user in tx.users() if user.state == "active"}
        everyone = {user.name for user in tx.users() if user.state != "removed"}
        shared = tx.shared_networks(files.SHARED_BY)
        forgotten = set(tx.forgotten())
        demands = list(repositories.demand_findings(settings, tx, known))
        lending = list(repositories.lending_findings(tx, known))
    runnable = [key for key in keys if key.user in active]
    readable = [r for r in known if os.path.isdir(r.directory)]
    looks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("keys", lambda: account.key_findings(keys, read, site.key_file, site.places.gate)),
        (
            "hardware keys",
            lambda: account.hardware_findings(keys, count=site.settings.second_factor.hardware_keys),
        ),
        ("key file", lambda: access.key_file_findings(site)),
        ("notices", lambda: files.notice_findings(settings)),
        ("sweep", lambda: files.sweep_findings(site)),
        ("clock", lambda: files.clock_findings(latest_at, now())),
        ("people", lambda: files.people_findings(settings, everyone)),
        ("sessions", lambda: files.shared_address_findings(shared)),
        ("repositories", lambda: repositories.repository_findings(settings, known, _hook(office), forgotten)),
        ("repositories' files", lambda: access.repository_access(known, entry.pw_name)),
        ("the gate", lambda: running.gate_findings(site.places.gate, entry, runnable, readable)),
        ("store", lambda: store.store_findings(office.site.sqlite)),
        ("secrets", lambda: store.secret_findings(office.site.sqlite, site.desk.keyring)),
    ]
    for name, look in looks:
        yield from _looked(name, look)
    yield from demands
    yield from lending


def _hook(office: Office) -> bytes:
    try:
        return live_hook(office.site)
    except Refusal:
        return b""  # said by launcher_findings; every hook then differs
