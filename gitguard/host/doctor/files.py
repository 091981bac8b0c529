"""Owners and modes of gitguard's own files and their folders, launchers, and the clock."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gitguard.config.schema import Settings
from gitguard.host import launcher
from gitguard.host.doctor.finding import Finding, gap, note, ok
from gitguard.host.install import check_git
from gitguard.host.ownership import fault_of, fault_on_the_way
from gitguard.host.places import Places
from gitguard.message.moments import duration
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment

CLOCK_TOLERANCE_SECONDS = 60
SHORTEST_SENSIBLE_LIFETIME = 60


def file_findings(settings: Settings, at: Places) -> Iterator[Finding]:
    """Every file that gate and hook trust."""
    uid = os.geteuid()
    state = str(settings.paths.state)
    store = settings.store.url.path
    private = [state, f"{state}/secret.keys", f"{state}/grant.key", store]
    private += [
        path
        for path in (store + "-wal", store + "-shm", str(settings.paths.access_log))
        if os.path.exists(path)
    ]
    others = [at.config, os.path.dirname(settings.paths.access_log), at.gate, at.hook]
    faults = [fault for path in (*others, *private) if (fault := fault_on_the_way(path, uid))]
    faults += [
        f"{path} is open to others (mode {mode:04o})"
        for path in private
        if os.path.exists(path) and (mode := os.stat(path).st_mode & 0o7777) & 0o077
    ]
    for fault in faults:
        yield gap("file-mode", fault, "chmod go-rwx what holds secrets and sessions, go-w the rest")
    if not faults:
        yield ok("file-mode", f"{len(others) + len(private)} files and their folders are closed to others")


def code_findings() -> Iterator[Finding]:
    """The interpreter, the package and the libraries that launchers load: who may write there owns the gate."""
    uid = os.geteuid()
    package = os.path.join(launcher.PACKAGE, "gitguard")
    faults = [
        fault
        for path in (launcher.interpreter(), package, *launcher.libraries())
        if (fault := fault_on_the_way(path, uid))
    ]
    count = 0
    for folder, _, names in os.walk(package):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            count += 1
            if fault := fault_of(os.lstat(path), path, uid):
                faults.append(fault)
    for fault in faults[:5]:
        yield gap("code", fault, "install gitguard where root or the Git account alone may write")
    if not faults:
        yield ok("code", f"interpreter, libraries and {count} files of the package are closed to others")


def launcher_findings(at: Places) -> Iterator[Finding]:
    """The launchers are what this gitguard would write, and their interpreter runs."""
    for name, path, text in (
        ("gate", at.gate, launcher.gate_text(at)),
        ("hook", at.hook, launcher.hook_text(at)),
    ):
        try:
            with open(path, "rb") as file:
                found = file.read(65536)
        except OSError as error:
            yield gap("launcher", f"{path}: {error.strerror}", "gitguard admin init")
            continue
        if found != text:
            yield gap(
                "launcher",
                f"the {name}'s launcher {path} is not what this gitguard writes (upgraded, or edited)",
                "gitguard admin init, then gitguard admin repo adopt --all",
            )
        elif not os.access(path, os.X_OK):
            yield gap("launcher", f"{path} is not executable", f"chmod 755 {path}")
        else:
            yield ok("launcher", f"{path}")
    try:
        yield ok("git", check_git())
    except Refusal as refusal:
        yield gap("git", refusal.text, "install Git 2.31 or newer")


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
