"""Each thing that `admin doctor` looks at beside the system itself, and whose files it looks at."""

from __future__ import annotations

import os
import pwd
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from gitguard.action.installation import Installation
from gitguard.action.repositories import live_hook_at
from gitguard.cli.admin.remedies import LOOK_FIRST
from gitguard.config.schema import Settings
from gitguard.doctor import (
    access,
    agent,
    dependencies,
    environment,
    exports,
    files,
    git_account,
    git_programs,
    login,
    page,
    repositories,
    running,
    shut_out,
    sshd,
    store,
    ways_in,
)
from gitguard.doctor.finding import Finding, gap
from gitguard.doctor.reach import Reach
from gitguard.host import key_file
from gitguard.host.places import Places, authorized_keys, places_of
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now
from gitguard.store.rows import Key, Repository


def looked(name: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of one look; a look that fails half way is a finding too."""
    try:
        yield from look()
    except Refusal as refusal:
        yield gap(refusal.reason, f"{name}: {access.unreadable(refusal)}", remedy(refusal))
    except Exception as error:
        yield gap(
            "not-looked-at", f"{name}: {type(error).__name__}: {error}", "mend that first, and look again"
        )


def remedy(refusal: Refusal) -> str:
    """What to do about a look that was refused."""
    if "; try: " in refusal.detail:
        return refusal.detail.partition("; try: ")[2]
    by_reason = {
        "store-unavailable": "gitguard admin store status says more, and what to do",
        "store-went-back": LOOK_FIRST,
        "store-schema": "gitguard admin init; if the store is newer: install that version",
        "config-invalid": "gitguard admin config edit",
        "log-unavailable": "gitguard admin init (it makes the log's folder anew); the file itself must be the account's",
    }
    return (
        str(refusal.facts.get("remedy", ""))
        or refusal.hint
        or by_reason.get(refusal.reason, 'see docs/operations.md, "The night it breaks"')
    )


def unopened(refusal: Refusal) -> Finding:
    """A store that could not be opened."""
    return gap(refusal.reason, access.unreadable(refusal), remedy(refusal))


class DoctorLook(NamedTuple):
    """One look: `whose` are the files it looks at, the Git account's or the store's account's."""

    name: str
    whose: str
    run: Callable[[], Iterable[Finding]]


GIT_ACCOUNT, KEEPER = "git", "keeper"


def outer_looks(
    settings: Settings, entry: pwd.struct_passwd, effective: sshd.Sshd, reach: Reach, places: Places
) -> list[DoctorLook]:
    """What needs no store."""
    return [
        DoctorLook("ways into the account", GIT_ACCOUNT, lambda: ways_in.account_findings(entry, reach)),
        DoctorLook(
            "login shell",
            GIT_ACCOUNT,
            lambda: git_account.shell_findings(entry, authorized_keys(settings), places.gate),
        ),
        DoctorLook("home", GIT_ACCOUNT, lambda: git_account.home_findings(entry)),
        DoctorLook("environment", GIT_ACCOUNT, lambda: environment.environment_findings(effective, entry)),
        DoctorLook("sshrc", GIT_ACCOUNT, lambda: environment.sshrc_findings(entry.pw_name)),
        DoctorLook("access", KEEPER, lambda: access.access_findings(settings, places)),
        DoctorLook(
            "the Git account's access", GIT_ACCOUNT, lambda: access.git_access_findings(settings, places)
        ),
        DoctorLook("the web page", KEEPER, lambda: page.page_findings(settings)),
        DoctorLook("configuration", KEEPER, lambda: files.configuration_findings(places)),
        DoctorLook("files", KEEPER, lambda: files.file_findings(settings, places)),
        DoctorLook("launchers", KEEPER, lambda: files.launcher_findings(settings, places)),
        DoctorLook("agent", KEEPER, lambda: agent.agent_findings(settings, places)),
        DoctorLook("policy", KEEPER, lambda: files.policy_findings(settings)),
        DoctorLook("exports", GIT_ACCOUNT, lambda: exports.export_findings(settings)),
        DoctorLook("system's Git", GIT_ACCOUNT, repositories.system_hooks_path_findings),
    ]


class Seen(msgspec.Struct, frozen=True):
    """What the store says, as the looks need it."""

    keys: list[Key]
    known: list[Repository]
    latest_at: int
    active: set[str]
    everyone: set[str]
    shared: list[tuple[str, int]]
    forgotten: set[str]
    demands: list[Finding]
    lending: list[Finding]
    demanding: set[str]


def seen_in(installation: Installation, settings: Settings) -> Seen:
    """As the account whose store it is; `settings`: what the file says, in force or not. Raises Refusal."""
    with installation.store.reading() as tx:
        known = tx.repositories()
        return Seen(
            keys=tx.keys(),
            known=known,
            latest_at=tx.latest_at(),
            active={user.name for user in tx.users() if user.state == "active"},
            everyone={user.name for user in tx.users() if user.state != "removed"},
            shared=tx.shared_networks(files.SHARED_BY),
            forgotten=set(tx.forgotten()),
            demands=list(repositories.demand_findings(settings, tx, known, installation.places.config)),
            lending=list(repositories.lending_findings(tx, known)),
            demanding=repositories.reading_demanded(settings, tx, known),
        )


def inner_looks(
    opened: Installation | None,
    seen: Seen,
    entry: pwd.struct_passwd,
    effective: sshd.Sshd,
    reach: Reach,
    *,
    log_in: bool,
    config: str,
    settings: Settings,
) -> list[DoctorLook]:
    """What needs what the store says. `opened` is for the store's account alone."""
    places, keys, known = places_of(config), seen.keys, seen.known
    managed = authorized_keys(settings)

    def installation() -> Installation:
        if opened is None:
            raise Refusal("internal-error", "only the store's account looks there")
        return opened

    def key_findings() -> Iterator[Finding]:
        read = (
            key_file.files_that_sshd_reads(managed, entry.pw_dir)
            if effective.fault
            else sshd.key_files(effective, entry.pw_dir, entry.pw_name, entry.pw_uid)
        )
        if settings.paths.asks_for_keys:
            yield from git_account.looked_up_findings(keys, read, managed)
        else:
            yield from git_account.key_findings(keys, read, managed, places.gate)

    def gate_findings() -> Iterator[Finding]:
        runnable = [key for key in keys if key.user in seen.active]
        readable = [r for r in known if os.path.isdir(r.directory)]
        proves = settings.is_apart and settings.paths.asks_for_keys
        yield from running.gate_findings(places.gate, entry, runnable, readable, proves=proves)

    looks = [
        DoctorLook("keys", GIT_ACCOUNT, key_findings),
        DoctorLook(
            "hardware keys",
            KEEPER,
            lambda: git_account.hardware_findings(keys, count=settings.second_factor.hardware_keys),
        ),
        DoctorLook("key file", GIT_ACCOUNT, lambda: access.key_file_findings(managed)),
        DoctorLook("notices", KEEPER, lambda: files.notice_findings(settings)),
        DoctorLook("sweep", KEEPER, lambda: files.sweep_findings(installation())),
        DoctorLook("clock", KEEPER, lambda: files.clock_findings(seen.latest_at, now())),
        DoctorLook("people", KEEPER, lambda: files.people_findings(settings, seen.everyone)),
        DoctorLook("sessions", KEEPER, lambda: files.shared_address_findings(seen.shared)),
        DoctorLook(
            "repositories",
            GIT_ACCOUNT,
            lambda: repositories.repository_findings(settings, known, _hook(places), seen.forgotten),
        ),
        DoctorLook(
            "repositories' files", GIT_ACCOUNT, lambda: access.repository_access(known, entry.pw_name)
        ),
        DoctorLook(
            "repositories and others",
            GIT_ACCOUNT,
            lambda: _others(settings, entry, known, seen.demanding, reach),
        ),
        DoctorLook("the gate", GIT_ACCOUNT, gate_findings),
        DoctorLook("store", KEEPER, lambda: store.store_findings(installation().store)),
        DoctorLook(
            "secrets", KEEPER, lambda: store.secret_findings(installation().store, installation().keyring)
        ),
    ]
    if not effective.fault:
        types = [key.type for key in keys]
        looks.append(
            DoctorLook("people's keys and sshd", KEEPER, lambda: sshd.key_type_findings(effective, types))
        )
    if log_in:
        looks.append(DoctorLook("login", KEEPER, lambda: one_login(installation(), entry, effective, keys)))
    looks.append(DoctorLook("demands", KEEPER, lambda: seen.demands))
    looks.append(DoctorLook("lending", KEEPER, lambda: seen.lending))
    return looks


def one_login(
    installation: Installation, entry: pwd.struct_passwd, effective: sshd.Sshd, keys: list[Key]
) -> Iterator[Finding]:
    """One login, by a key of the type that most people have."""
    types = [kind for kind, _ in Counter(key.type for key in keys).most_common()]
    named = effective.values.get("allowusers", [])
    only = shut_out.let_in_by_wrappers() or any("@" in word for word in named)
    yield from login.login_findings(
        installation, effective, types, shut_out.suspects(entry.pw_dir), only_others=only
    )


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


def _hook(places: Places) -> bytes:
    try:
        return live_hook_at(places.hook)
    except Refusal:
        return b""  # said by launcher_findings; every hook then differs
