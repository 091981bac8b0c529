"""All that `admin doctor` looks at, in order: as root what only root may see, the rest as the Git account."""

from __future__ import annotations

import glob
import grp
import os
import pwd
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import click

from gitguard.action.installation import Installation
from gitguard.action.repositories import live_hook
from gitguard.cli.admin.context import (
    AdminContext,
    config_of,
    open_admin_context,
    open_settings,
    open_settings_or_say,
)
from gitguard.config.faults import ConfigurationError
from gitguard.config.in_force import good_form
from gitguard.config.schema import Settings
from gitguard.doctor import (
    access,
    agent,
    code,
    daemons,
    dependencies,
    environment,
    exports,
    files,
    git_account,
    git_programs,
    login,
    match_blocks,
    page,
    programs,
    repositories,
    running,
    schedules,
    shut_out,
    sshd,
    store,
    views,
    ways_in,
)
from gitguard.doctor.finding import Finding, gap
from gitguard.doctor.reach import Reach
from gitguard.host import system
from gitguard.host.places import authorized_keys, places_of
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now
from gitguard.store.rows import Key, Repository


def _looked(name: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of one look; a look that fails half way is a finding too."""
    try:
        yield from look()
    except Refusal as refusal:
        yield gap(refusal.reason, f"{name}: {access.unreadable(refusal)}", _remedy(refusal))
    except Exception as error:
        yield gap(
            "not-looked-at", f"{name}: {type(error).__name__}: {error}", "mend that first, and look again"
        )


def _remedy(refusal: Refusal) -> str:
    if "; try: " in refusal.detail:
        return refusal.detail.partition("; try: ")[2]
    by_reason = {
        "store-unavailable": "gitguard admin store status; a backup is put in place by: gitguard admin store restore FILE",
        "store-schema": "gitguard admin init; if the store is newer: install that version",
        "config-invalid": "gitguard admin config edit",
        "log-unavailable": "gitguard admin init (it makes the log's folder anew); the file itself must be the account's",
    }
    return (
        str(refusal.facts.get("remedy", ""))
        or refusal.hint
        or by_reason.get(refusal.reason, 'see docs/operations.md, "The night it breaks"')
    )


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
    try:
        context: AdminContext | None = open_admin_context(ctx)
    except Refusal as refusal:
        if refusal.reason == "forbidden":
            raise
        context = None
        yield gap(refusal.reason, access.unreadable(refusal), _remedy(refusal))
    places = places_of(config)
    yield from _looked("sshd", lambda: sshd.findings(effective, places.snippet))
    yield from _looked("running sshd", lambda: running.daemon_findings(effective, entry.pw_uid))
    yield from as_root
    for name, look in (
        ("ways into the account", lambda: ways_in.account_findings(entry, reach)),
        ("login shell", lambda: git_account.shell_findings(entry, authorized_keys(settings), places.gate)),
        ("home", lambda: git_account.home_findings(entry)),
        ("environment", lambda: environment.environment_findings(effective, entry)),
        ("sshrc", lambda: environment.sshrc_findings(entry.pw_name)),
        ("access", lambda: access.access_findings(settings, places)),
        ("the web page", lambda: page.page_findings(settings)),
        ("configuration", lambda: files.configuration_findings(places)),
        ("files", lambda: files.file_findings(settings, places)),
        ("launchers", lambda: files.launcher_findings(settings, places)),
        ("agent", lambda: agent.agent_findings(settings, places)),
        ("policy", lambda: files.policy_findings(settings)),
        ("exports", lambda: exports.export_findings(settings)),
        ("system's Git", repositories.system_hooks_path_findings),
    ):
        yield from _looked(name, look)
    if context is not None:
        yield from _inside(context, entry, effective, settings, reach, log_in=log_in)


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
        ("rotations", lambda: schedules.rotation_findings(str(settings.paths.access_log), account)),
        ("programs", lambda: programs.program_findings(entry, [*roots, state])),
        ("mounts", lambda: views.mount_findings([*roots, state], reach)),
        ("listeners", lambda: views.listener_findings([*roots, state], {os.getpid()})),
        ("copies", lambda: views.copy_findings(_beside(state), reach)),
    ]
    for name, look in looks:
        yield from _looked(name, look)


def _beside(state: str) -> list[str]:
    """Where a copy of the store or its keys may lie: by the state folder's name, where backups go."""
    above, name = os.path.split(state)
    found = [path for path in glob.glob(f"{glob.escape(above)}/{glob.escape(name)}?*") if os.path.isdir(path)]
    return [*found, *(path for path in ("/var/backups", "/backup", "/srv/backup") if os.path.isdir(path))]


def _inside(
    context: AdminContext,
    entry: pwd.struct_passwd,
    effective: sshd.Sshd,
    settings: Settings,
    reach: Reach,
    *,
    log_in: bool,
) -> Iterator[Finding]:
    """What needs the installation's own files and the store."""
    installation = context.installation
    read = (
        installation.key_files
        if effective.fault
        else sshd.key_files(effective, entry.pw_dir, entry.pw_name, entry.pw_uid)
    )
    with installation.store.reading() as tx:
        keys, known, latest_at = tx.keys(), tx.repositories(), tx.latest_at()
        active = {user.name for user in tx.users() if user.state == "active"}
        everyone = {user.name for user in tx.users() if user.state != "removed"}
        shared = tx.shared_networks(files.SHARED_BY)
        forgotten = set(tx.forgotten())
        demands = list(repositories.demand_findings(settings, tx, known, installation.places.config))
        lending = list(repositories.lending_findings(tx, known))
        demanding = repositories.reading_demanded(settings, tx, known)
    runnable = [key for key in keys if key.user in active]
    readable = [r for r in known if os.path.isdir(r.directory)]
    looks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        (
            "keys",
            lambda: git_account.key_findings(keys, read, installation.key_file, installation.places.gate),
        ),
        (
            "hardware keys",
            lambda: git_account.hardware_findings(
                keys, count=installation.settings.second_factor.hardware_keys
            ),
        ),
        ("key file", lambda: access.key_file_findings(installation)),
        ("notices", lambda: files.notice_findings(settings)),
        ("sweep", lambda: files.sweep_findings(installation)),
        ("clock", lambda: files.clock_findings(latest_at, now())),
        ("people", lambda: files.people_findings(settings, everyone)),
        ("sessions", lambda: files.shared_address_findings(shared)),
        (
            "repositories",
            lambda: repositories.repository_findings(settings, known, _hook(context), forgotten),
        ),
        ("repositories' files", lambda: access.repository_access(known, entry.pw_name)),
        ("repositories and others", lambda: _others(settings, entry, known, demanding, reach)),
        ("the gate", lambda: running.gate_findings(installation.places.gate, entry, runnable, readable)),
        ("store", lambda: store.store_findings(context.installation.store)),
        ("secrets", lambda: store.secret_findings(context.installation.store, installation.keyring)),
    ]
    if not effective.fault:
        looks.append(
            ("people's keys and sshd", lambda: sshd.key_type_findings(effective, [key.type for key in keys]))
        )
    if log_in:
        looks.append(("login", lambda: _login(installation, entry, effective, keys)))
    for name, look in looks:
        yield from _looked(name, look)
    yield from demands
    yield from lending


def _login(
    installation: Installation, entry: pwd.struct_passwd, effective: sshd.Sshd, keys: list[Key]
) -> Iterator[Finding]:
    """One login, by a key of the type that most people have."""
    types = [kind for kind, _ in Counter(key.type for key in keys).most_common()]
    named = effective.values.get("allowusers", [])
    only = shut_out.let_in_by_wrappers() or any("@" in word for word in named)
    yield from login.login_findings(
        installation, effective, types, shut_out.suspects(entry.pw_dir), only_others=only
    )


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
    yield from _looked("login", lambda: _login(installation, entry, effective, keys))


def _others(
    settings: Settings, entry: pwd.struct_passwd, known: list[Repository], demanding: set[str], reach: Reach
) -> Iterator[Finding]:
    """Who else may write or read a repository, or what Git runs for it."""
    pairs = [
        (repository.name, repository.directory) for repository in known if os.path.isdir(repository.directory)
    ]
    yield from dependencies.leaning_findings(
        dict.fromkeys(git_programs.repository_leans(entry.pw_dir, pairs)), reach, "what repositories name"
    )
    yield from repositories.reading_findings(settings, known, demanding, reach)


def _hook(context: AdminContext) -> bytes:
    try:
        return live_hook(context.installation)
    except Refusal:
        return b""  # said by launcher_findings; every hook then differs
