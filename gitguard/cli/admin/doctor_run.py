"""All that `admin doctor` looks at, in order: as root what only root may see, the rest as the Git account."""

from __future__ import annotations

import glob
import grp
import os
import pwd
from collections.abc import Callable, Iterable, Iterator

import click

from gitguard.cli.admin.context import config_of, open_admin_context, open_settings, open_settings_or_say
from gitguard.cli.admin.doctor_accounts import by_both_accounts
from gitguard.cli.admin.doctor_looks import inner_looks, looked, one_login, outer_looks, seen_in, unopened
from gitguard.config.faults import ConfigurationError
from gitguard.config.in_force import good_form
from gitguard.config.schema import Settings
from gitguard.doctor import (
    access,
    code,
    daemons,
    dependencies,
    git_programs,
    match_blocks,
    programs,
    running,
    schedules,
    sshd,
    views,
    ways_in,
)
from gitguard.doctor.finding import Finding, gap
from gitguard.doctor.reach import Reach
from gitguard.host import system
from gitguard.host.install import keys_command
from gitguard.host.places import Places, authorized_keys, places_of
from gitguard.message.reasons import Refusal

# What only follows from another gap: whoever mends that one mends this.
_FOLLOWS = {
    "gate-run": ("launcher", "early-variable", "configuration", "store-", "grant-key", "login-shell", "access", "file-mode"),
    "login": (
        "launcher", "early-variable", "configuration", "store-", "login-shell", "nologin", "account-", "hosts-deny", "pam-limits",
        "sshd-", "key-file", "ld-preload", "sshrc", "home",
    ),
    "login-terminal": ("sshd-permittty",),
    "login-forwarding": ("sshd-disableforwarding",),
    "login-after": ("sshd-authorizedkeyscommand", "second-key-file", "key-not-gated"),
}  # fmt: skip


def findings(ctx: click.Context, sshd_config: str | None, *, log_in: bool = True) -> list[Finding]:
    """Every finding, one for each cause; raises Refusal("forbidden") alone."""
    found = list(_findings(ctx, sshd_config, log_in=log_in))
    gaps = {finding.name for finding in found if finding.level == "gap"}
    return [
        finding
        for finding in found
        if finding.level != "gap"
        or not any(name.startswith(_FOLLOWS.get(finding.name, ())) for name in gaps - {finding.name})
    ]


def _findings(ctx: click.Context, sshd_config: str | None, *, log_in: bool) -> Iterator[Finding]:
    """Look after look."""
    config = config_of(ctx)
    try:
        settings = open_settings(config)
        entry = pwd.getpwnam(settings.host.account)
    except ConfigurationError as error:
        good = good_form(places_of(config).compiled)
        lost = os.path.exists(good) and any(fault.where == "[git] enforcement" for fault in error.faults)
        remedy = "gitguard admin config edit"
        if lost:  # emptied, or cut off: whoever edits that begins with nothing
            remedy = f"cp -p {config} {config}.broken && install -m 644 {good} {config}"
        elif os.path.exists(good):
            remedy += f", or take the last form that was whole: install -m 644 {good} {config}"
        for fault in error.faults:
            yield gap(
                "configuration", f"{error.path}: {fault}", f"{remedy}; until then every request is refused"
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
    # While we may still be root: sshd's own files, PAM, shadow, sudoers, and who may write what.
    effective = sshd.read(entry.pw_name, sshd_config, settings.host.port)
    log_in = (
        log_in
        and os.geteuid() == 0
        and not effective.fault
        and daemons.runs_with(sshd.program(), sshd_config)
    )
    reach = Reach(entry.pw_uid)
    as_root = list(_as_root(settings, entry, effective, reach, sshd_config))
    places = places_of(config)
    looks = outer_looks(settings, entry, effective, reach, places)
    if settings.is_apart:
        by_name, looks = by_both_accounts(ctx, settings, looks, entry, effective, reach, log_in=log_in)
    else:
        by_name = {}
        try:
            context = open_admin_context(ctx)
        except Refusal as refusal:
            if refusal.reason == "forbidden":
                raise
            by_name = {"store": [unopened(refusal)]}
            yield from by_name.pop("store")
        else:
            seen = seen_in(context.installation, settings)
            looks = [
                *looks,
                *inner_looks(
                    context.installation,
                    seen,
                    entry,
                    effective,
                    reach,
                    log_in=log_in,
                    config=config,
                    settings=settings,
                ),
            ]
    yield from looked("sshd", lambda: sshd.findings(effective, places.snippet, *_asked(settings, places)))
    yield from looked("running sshd", lambda: running.daemon_findings(effective, entry.pw_uid))
    yield from as_root
    for look in looks:
        yield from by_name[look.name] if look.name in by_name else looked(look.name, look.run)


def _asked(settings: Settings, places: Places) -> tuple[str, str]:
    """(what sshd is to ask for keys, as whom)."""
    return (keys_command(places), settings.keeper) if settings.paths.asks_for_keys else ("none", "")


def _as_root(
    settings: Settings, entry: pwd.struct_passwd, effective: sshd.Sshd, reach: Reach, config: str | None
) -> Iterator[Finding]:
    """What belongs to the system. All of it may be asked by anyone, and root sees more of it."""
    account = entry.pw_name
    state, log = str(settings.paths.state), os.path.dirname(settings.paths.access_log)
    roots = settings.paths.roots
    keys = authorized_keys(settings)
    program = sshd.program()

    def others() -> Iterator[Finding]:
        found = daemons.daemons(program) if program is not None and not effective.fault else []
        port = settings.host.port
        asked = [(one, sshd.read(account, None, port, one.options)) for one in found if one.options]
        yield from sshd.other_findings(effective, asked)
        yield from daemons.environment_findings()

    def blocks() -> Iterator[Finding]:
        port = settings.host.port
        groups = [g.gr_name for g in grp.getgrall() if account in g.gr_mem or g.gr_gid == entry.pw_gid]
        if not effective.fault:
            yield from match_blocks.match_findings(
                effective, groups, lambda spec: sshd.read(account, config, port, spec=spec)
            )

    def leans() -> Iterator[Finding]:
        found = (
            *sshd.leans(effective),
            *daemons.daemon_leans(),
            *dependencies.pam_leans(),
            *dependencies.wrapper_leans(),
            *dependencies.loader_leans(),
            *git_programs.system_leans(entry.pw_dir),
            *schedules.schedule_leans(account),
            *code.code_leans(),
        )
        yield from dependencies.leaning_findings(dict.fromkeys(found), reach)

    looks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("ways into the account", lambda: ways_in.read_as_root(account)),
        ("other sshd", others),
        ("Match blocks", blocks),
        ("what the gate leans on", leans),
        ("schedules", lambda: schedules.schedule_findings([keys, state, log], (system.CRON,))),
        ("tmpfiles", lambda: schedules.tmpfiles_findings([keys, state, log, *roots])),
        ("rotations", lambda: schedules.rotation_findings(str(settings.paths.access_log), settings.keeper)),
        ("programs", lambda: programs.program_findings(entry, [*roots, state])),
        ("mounts", lambda: views.mount_findings([*roots, state], reach)),
        ("listeners", lambda: views.listener_findings([*roots, state], {os.getpid()})),
        ("copies", lambda: views.copy_findings(_beside(state), reach)),
    ]
    for name, look in looks:
        yield from looked(name, look)


def _beside(state: str) -> list[str]:
    """Where a copy of the store or its keys may lie: by the state folder's name, where backups go."""
    above, name = os.path.split(state)
    found = [path for path in glob.glob(f"{glob.escape(above)}/{glob.escape(name)}?*") if os.path.isdir(path)]
    return [*found, *(path for path in ("/var/backups", "/backup", "/srv/backup") if os.path.isdir(path))]


def login_alone(ctx: click.Context) -> Iterator[Finding]:
    """The login without all the rest, as root, for anyone who wants it oftener. Raises Refusal."""
    settings = open_settings_or_say(ctx)
    entry = pwd.getpwnam(settings.host.account)
    effective = sshd.read(entry.pw_name, None, settings.host.port)
    if effective.fault:
        yield gap("sshd-not-read", effective.fault, "gitguard admin doctor")
        return
    installation = open_admin_context(ctx).installation
    with installation.store.reading() as tx:
        keys = tx.keys()
    yield from looked("login", lambda: one_login(installation, entry, effective, keys))
