"""Owners and modes of gitguard's own files and their folders, launchers, and the clock."""

from __future__ import annotations

import ipaddress
import os
import shlex
import time
from collections.abc import Iterator

from gitguard.action.installation import Installation
from gitguard.action.pruning import left_behind
from gitguard.config.in_force import in_force
from gitguard.config.schema import Settings
from gitguard.doctor.finding import Finding, gap, note, ok, remedy_of
from gitguard.doctor.reach import Reach
from gitguard.host import bundle, launcher, notices
from gitguard.host.connections import LOOK_SECONDS, SWEPT
from gitguard.host.install import check_git
from gitguard.host.places import Places
from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.moments import clock, duration
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment, now

CLOCK_TOLERANCE_SECONDS = 60
SHORTEST_SENSIBLE_LIFETIME = 60
SHARED_BY = 3  # people behind one private address from whom on it is worth a word


def file_findings(settings: Settings, places: Places) -> Iterator[Finding]:
    """Every file that gate and hook trust."""
    uid = os.geteuid()
    state = str(settings.paths.state)
    private = [state, settings.paths.key_ring, settings.paths.grant_key, *_of_store(settings)]
    private += [path for path in (str(settings.paths.access_log),) if os.path.exists(path)]
    asked = launcher.asked_of(settings)
    bundles = [path for path in launcher.bundles(places, asked) if os.path.exists(path)]
    others = [places.config, os.path.dirname(settings.paths.access_log)]
    launchers = [*launcher.launchers(places, asked), *bundles]
    reach = Reach(uid)
    faults = [fault for path in (*others, *private) if (fault := fault_on_the_way(path, uid))]
    faults += [fault for path in launchers if (fault := reach.writer_on_the_way(path))]
    faults += [
        f"{path} is open to others (mode {mode:04o})"
        for path in private
        if os.path.exists(path) and (mode := os.stat(path).st_mode & 0o7777) & 0o077
    ]
    for fault in faults:
        about = fault.split(" ", 1)[0].rstrip(":")
        wanted = "go-rwx" if about in private else "go-w"
        plain = f"chmod {wanted} {about}" if os.path.exists(about) else "gitguard admin init"
        yield gap("file-mode", fault, remedy_of(fault, settings.keeper, plain))
    if not faults:
        yield ok(
            "file-mode",
            f"{len(others) + len(launchers) + len(private)} files and their folders are closed to others",
        )


def _of_store(settings: Settings) -> list[str]:
    if not settings.store.url.is_file:
        return [settings.store.password_file] if settings.store.password_file else []
    store = settings.store.url.path
    return [store, *(path for path in (f"{store}-wal", f"{store}-shm") if os.path.exists(path))]


def configuration_findings(places: Places) -> Iterator[Finding]:
    """Whether what counts is what stands in the file."""
    found = in_force(places.config, places.compiled)
    if found.doubt:
        yield note(
            "configuration",
            f"{places.config} does not count yet: {found.doubt}; the form before it still runs",
            "gitguard admin config check",
        )


def _bundle_findings(places: Places, asked: launcher.AgentPlace) -> Iterator[Finding]:
    """Without them, or with old ones, all continues; each request only takes longer."""
    for path, made in launcher.bundles(places, asked).items():
        try:
            with open(path, "rb") as file:
                good = bundle.same(file.read(), made)
        except OSError:
            good = False
        if not good:
            yield note(
                "bundle",
                f"{path} is missing or not of the modules that are there, so each request takes longer",
                "gitguard admin init",
            )


def launcher_findings(settings: Settings, places: Places) -> Iterator[Finding]:
    """The launchers are what this gitguard would write, and their interpreter runs."""
    asked = launcher.asked_of(settings)
    for path, text in launcher.launchers(places, asked).items():
        name = "gate" if path.startswith(places.gate) else "hook"
        try:
            with open(path, "rb") as file:
                found = file.read(len(text) + 1)
        except OSError as error:
            yield gap("launcher", f"{path}: {error.strerror}", "gitguard admin init")
            continue
        if found != text:
            yield gap(
                "launcher",
                f"the {name}'s launcher {path} is not what this gitguard writes (upgraded, or edited)",
                "gitguard admin init",
            )
        elif not os.access(path, os.X_OK):
            yield gap("launcher", f"{path} is not executable", f"chmod 755 {path}")
        else:
            yield ok("launcher", f"{path}")
    yield from _bundle_findings(places, asked)
    try:
        yield ok("git", check_git())
    except Refusal as refusal:
        yield gap("git", refusal.text, "install Git 2.31 or newer")


def notice_findings(settings: Settings) -> Iterator[Finding]:
    """The program that is told of events is there, and took the last one."""
    if not settings.notify.command:
        yield note(
            "notify",
            "no one is told when someone says \"This isn't me\" or guesses codes: the server's page and `gitguard admin stats` list it",
            "gitguard admin config edit: in [notify] name a program as command, such as etc/notify/mail of the release",
        )
        return
    program = settings.notify.command[0]
    if not os.access(program, os.X_OK):
        yield gap(
            "notify", f"{program} cannot be run", "name the program that is meant: gitguard admin config edit"
        )
    elif fault := fault_on_the_way(os.path.realpath(program), os.geteuid()):
        yield gap("notify", fault, remedy_of(fault, "root", "close it to others"))
    yield from dropped_findings(str(settings.paths.state))
    failed = notices.last_failure(str(settings.paths.state))
    if failed is not None:
        yield gap(
            "notify-failed",
            f"the last notice, {failed.event} of {clock(failed.at, now().at)}, was not taken: {failed.fault}",
            "mend the program; the next notice that it takes clears this",
        )
    elif os.access(program, os.X_OK):
        yield ok("notify", f"{program} is told of events")


def dropped_findings(state: str) -> Iterator[Finding]:
    """Notices that nobody will ever be told, until an admin has seen that."""
    dropped = notices.last_dropped(state)
    if dropped is not None:
        yield gap(
            "notices-dropped",
            f"{dropped.count} notices were dropped since {clock(dropped.since, now().at)}, most of them {dropped.event}, because too many waited; the trail has them all",
            f"gitguard admin audit show; then: rm {shlex.quote(f'{state}/{notices.DROPPED}')}",
        )


def clock_findings(latest_at: int, moment: Moment) -> Iterator[Finding]:
    """The clock is not behind the store's own records, and there is one that nobody can set back."""
    behind = latest_at - moment.at
    if behind > CLOCK_TOLERANCE_SECONDS:
        yield gap(
            "clock",
            f"the clock is {duration(behind)} behind the store's own records, so no code can be judged",
            "set the clock; if it is right now: gitguard admin store accept-clock --reason TEXT",
        )
    elif not moment.boot:
        yield note("clock", "no boot-time clock on this machine: a clock set back could revive sessions")
    else:
        yield ok("clock", "in step with the store's records")


def sweep_findings(installation: Installation) -> Iterator[Finding]:
    """Someone ends connections whose session has expired: the sweep, once a minute."""
    seen, begun = (
        _time_of(f"{installation.settings.paths.state}/{SWEPT}"),
        _time_of(installation.settings.paths.grant_key),
    )
    command = "gitguard admin init --timers && gitguard admin session sweep"
    if seen is None and begun is not None and time.time() - begun < LOOK_SECONDS:
        yield note("sweep", "nobody has swept yet; the timer does so once a minute", command)
    elif seen is None or time.time() - seen > LOOK_SECONDS:
        when = "never" if seen is None else f"{duration(int(time.time() - seen))} ago"
        yield gap(
            "sweep", f"parked connections were last looked at {when}: they outlive their sessions", command
        )
    else:
        yield ok("sweep", "parked connections are looked at")
    if left := left_behind(installation):
        names = ", ".join(sorted(left)[:3]) + (" and more" if len(left) > 3 else "")
        yield note("left-over", f"commands that were killed left {names}", "gitguard admin session sweep")


def _time_of(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def shared_address_findings(shared: list[tuple[str, int]]) -> Iterator[Finding]:
    """Several people behind one private address: a proxy may give everyone its own, and scope
    `address` then means little.

    `shared`: (network, how many have sessions from it) where they are at least `SHARED_BY`.
    """
    for network, people in shared:
        if "/" in network:
            continue
        address = ipaddress.ip_address(network.partition("%")[0])
        if address.is_private and not address.is_loopback:
            yield note(
                "shared-address",
                f"{people} people have sessions from {network}: if that is a proxy or a container's bridge, sshd sees no other address, and scope address binds to nobody",
                "let sshd see the client's address (host networking, or no proxy in between)",
            )


def people_findings(settings: Settings, users: set[str]) -> Iterator[Finding]:
    """Names in the configuration that nobody bears: a right that nobody has, or the wrong one later."""
    named = {who for who in settings.git.admins if not who.startswith("@")}
    strangers = sorted(str(name) for name in named - users)
    if strangers:
        yield gap(
            "admins-unknown",
            f"[git] admins names {', '.join(strangers[:5])}, whom the store does not know",
            "correct the name, or run: gitguard admin user add NAME",
        )
    for group, members in settings.groups.items():
        missing = sorted(str(name) for name in set(members) - users)
        if missing:
            yield gap(
                "group-unknown",
                f"the group {group} names {', '.join(missing[:5])}, whom the store does not know",
                "correct the name, or run: gitguard admin user add NAME",
            )


def policy_findings(settings: Settings) -> Iterator[Finding]:
    """Settings that are allowed and worth a second thought."""
    if settings.session.lifetime < SHORTEST_SENSIBLE_LIFETIME:
        yield note(
            "lifetime",
            f"sessions last {duration(settings.session.lifetime)}: people will verify at every command",
        )
    if settings.session.scope != "address":
        yield note(
            "scope",
            f"scope is {settings.session.scope}: a copied key rides on its owner's live session",
            'scope = "address" binds sessions to the client\'s address',
        )
    if settings.second_factor.self_enrolment == "open":
        yield note("self-enrolment", "whoever comes first with a key enrols it", 'self_enrolment = "invite"')
