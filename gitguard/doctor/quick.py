"""What monitoring asks every minute, in a fifth of a second: do requests get an answer,
and does what has to run run?

It loads what the gate loads and little more. It changes nothing, leaves no line in the log, and does not
prove that the gate is in the way: that takes all of doctor, once a night.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator

from gitguard.answer.reported import reported
from gitguard.config.compiled import Config
from gitguard.config.load import load
from gitguard.doctor.agent import agent_finding, helper_finding
from gitguard.doctor.finding import Finding, gap, note, ok
from gitguard.host import launcher, notices
from gitguard.host.connections import LOOK_SECONDS, SWEPT
from gitguard.host.places import Places, places_of
from gitguard.machine.git_account import become, own_command_line
from gitguard.message.moments import clock, duration
from gitguard.message.reasons import Refusal
from gitguard.session.moment import CLOCK_BACK_SECONDS, Moment
from gitguard.store.opening import audit_head, open_store, url_of

LEAST_FREE_BYTES = 64 << 20


def quick_findings(config_path: str, moment: Moment) -> Iterator[Finding]:
    """A finding for each thing; becomes the Git account. Raises Refusal("forbidden") where it may not."""
    places = places_of(config_path)
    try:
        become(_account(config_path, places), own_command_line())
        config = load(*places.of_gate)
    except Refusal as refusal:
        if refusal.reason == "forbidden":
            raise
        yield gap(
            refusal.reason,
            f"every request is refused: {refusal.detail or refusal.text}",
            "gitguard admin doctor",
        )
        return
    yield ok("configuration", f"{config.path} is in order")
    yield from _launchers(places, _asked(config))
    yield from _agent(_asked(config), config)
    yield from _store(config, moment)
    yield from _log(config)
    yield from _room(config)
    yield from _sweep(config, moment)
    dropped = notices.last_dropped(config.state)
    if dropped is not None:
        yield gap("notices-dropped", f"{dropped.count} notices were dropped", "gitguard admin doctor")
    failed = notices.last_failure(config.state)
    if failed is not None:
        what = (
            f"the last notice, {failed.event} of {clock(failed.at, moment.at)}, was not taken: {failed.fault}"
        )
        yield gap("notify-failed", what, "mend the program; the next notice that it takes clears this")


def _account(config_path: str, places: Places) -> str:
    """Whose the compiled configuration is, unread: root must neither believe nor write it. Raises Refusal."""
    try:
        return pwd.getpwuid(os.stat(places.compiled).st_uid).pw_name
    except (OSError, KeyError):
        # The long way, once after an upgrade.
        from gitguard.config.faults import ConfigurationError
        from gitguard.config.parse import read_settings

        try:
            return read_settings(config_path).keeper
        except ConfigurationError as error:
            raise Refusal("config-invalid", str(error.faults[0])) from None


def _asked(config: Config) -> launcher.AgentPlace:
    if not config.agent:
        return launcher.NOBODY
    return launcher.AgentPlace(
        config.agent, config.keeper, config.keeper != config.uid or config.store[:1] != "/"
    )


def _launchers(places: Places, asked: launcher.AgentPlace) -> Iterator[Finding]:
    for path, text in launcher.launchers(places, asked).items():
        try:
            with open(path, "rb") as file:
                same = file.read(len(text) + 1) == text
            runs = bool(os.stat(path).st_mode & stat.S_IXUSR)
        except OSError as error:
            yield gap("launcher", f"{path}: {error.strerror}", "gitguard admin init")
            continue
        if same and runs:
            yield ok("launcher", path)
        else:
            yield gap("launcher", f"{path} is not what this gitguard writes", "gitguard admin init")


def _agent(asked: launcher.AgentPlace, config: Config) -> Iterator[Finding]:
    if asked.socket:
        yield agent_finding(asked.socket, decides_alone=asked.decides_alone)
    if config.keeper != config.uid:
        yield helper_finding(asked.socket)


def _store(config: Config, moment: Moment) -> Iterator[Finding]:
    try:
        is_file = config.store[:1] == "/"
        url = url_of(config.store) if is_file else config.store
        store = open_store(url, audit_head(config.access_log), config.store_password_file)
        with store.reading() as tx:
            behind = tx.latest_at() - moment.at
            shown, more = reported(tx)
            concerns = len(shown) + more
        store.close()
    except Refusal as refusal:
        yield gap(refusal.reason, refusal.detail or refusal.text, "gitguard admin store status")
        return
    yield ok("store", f"{store.place} answers")
    if concerns:
        what = f"{concerns} reports or guessing attempts that no admin has marked as seen"
        yield note("attention", what, "gitguard admin audit show, or the server's page")
    if behind > CLOCK_BACK_SECONDS:
        what = f"the clock is {duration(behind)} behind the store's own records, so no code can be judged"
        yield gap(
            "clock", what, "set the clock; if it is right: gitguard admin store accept-clock --reason TEXT"
        )


def _log(config: Config) -> Iterator[Finding]:
    folder = os.path.dirname(config.access_log)
    where = config.access_log if os.path.exists(config.access_log) else folder
    if os.access(where, os.W_OK):
        yield ok("log", f"{config.access_log} can be written")
    else:
        yield gap(
            "log-unavailable",
            f"{pwd.getpwuid(config.keeper).pw_name} may not write {where}",
            "gitguard admin doctor",
        )


def _room(config: Config) -> Iterator[Finding]:
    for path in dict.fromkeys(
        (config.state, os.path.dirname(config.store), os.path.dirname(config.access_log))
    ):
        try:
            found = os.statvfs(path)
        except OSError as error:
            yield gap("disk", f"{path}: {error.strerror}", "gitguard admin doctor")
            continue
        free = found.f_bavail * found.f_frsize
        if free < LEAST_FREE_BYTES:
            yield gap(
                "disk",
                f"{free >> 20} MB are free at {path}; when it is full, requests are refused",
                "make room",
            )


def _sweep(config: Config, moment: Moment) -> Iterator[Finding]:
    try:
        age = moment.at - int(os.stat(f"{config.state}/{SWEPT}").st_mtime)
    except OSError:
        age = -1
    if 0 <= age <= LOOK_SECONDS:
        yield ok("sweep", "parked connections are looked at")
    elif age < 0 and _is_new(config, moment):
        yield note(
            "sweep", "nobody has swept yet; the timer does so once a minute", "gitguard admin init --timers"
        )
    else:
        when = "never" if age < 0 else f"{duration(age)} ago"
        what = f"parked connections were last looked at {when}: they outlive their sessions"
        yield gap("sweep", what, "gitguard admin init --timers && gitguard admin session sweep")


def _is_new(config: Config, moment: Moment) -> bool:
    """Whether it was installed so short a while ago that no timer need have come round."""
    try:
        return 0 <= moment.at - int(os.stat(f"{config.state}/grant.key").st_mtime) < LOOK_SECONDS
    except OSError:
        return False
