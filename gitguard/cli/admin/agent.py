"""`admin agent`: the resident process that gate and hook ask; `gitguard-agent` is the same."""

from __future__ import annotations

import os
import pkgutil
import socket
import stat
import subprocess
import sys
from importlib import import_module

import click

from gitguard.agent.resident import Resident, installed_now
from gitguard.cli.admin.context import config_of, enter, open_settings_or_say
from gitguard.host.places import places_of
from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.reasons import Refusal, machine_fault

BACKLOG = 128
_HANDED_OVER = 3  # the first handle, sd_listen_fds(3)
_OWN = "gitguard-own"  # the name of a socket that we opened ourselves, and hand over to ourselves
_TRIAL = """
import sys
import gitguard.agent.serving, gitguard.cli.admin.agent, gitguard.cli.over_ssh
from gitguard.action.installation import settings_of
sys.exit(not settings_of(sys.argv[1]).agent.socket)
"""
_TRIAL_SECONDS = 20


@click.command()
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="How many processes answer.",
)
@click.pass_context
def agent(ctx: click.Context, workers: int) -> None:
    """Answer gate and hook. Until stopped; on the socket of [agent], or the one that systemd hands over
    (docs/agent.md).
    """
    settings = open_settings_or_say(ctx)
    path = str(settings.agent.socket)
    if not path:
        raise Refusal(
            "usage",
            text="no socket is named: set socket in [agent], such as /run/gitguard/agent.socket, then run init",
            hint="gitguard admin config edit",
        )
    enter(ctx)
    _need_utf8()
    config, began_in = config_of(ctx), os.getcwd()
    places = places_of(config)
    installed = installed_now(places)  # before our code is loaded: what is newer than that shows
    os.chdir("/")
    from gitguard.agent import serving
    from gitguard.cli.over_ssh import serve as serve_own

    _load_all()

    listener, ours = _handed_over(path)
    listener = listener or _opened(path)
    place = _place_of(path)

    def moved() -> bool:
        return ours and _place_of(path) != place

    def say(state: str) -> None:
        click.echo(f"gitguard: answering on {path} with {workers} processes; Ctrl-C ends it", err=True)
        _tell_systemd(f"{state.upper()}=1")

    resident = Resident(places, installed)
    if serving.serve(resident, listener, workers, serve_own, say, moved, lambda: _loads(config)):
        os.chdir(began_in)
        _begin_anew(listener, f"{_OWN}-{place}" if ours else "gitguard")
    if ours and not moved():
        os.unlink(path)


def _load_all() -> None:
    """What a command loads when it needs it, loaded once: a process for each is a fork alone then."""
    for room in ("action", "answer", "cli", "factor", "host", "session", "store"):
        for module in pkgutil.iter_modules(import_module(f"gitguard.{room}").__path__):
            if not module.ispkg:
                import_module(f"gitguard.{room}.{module.name}")
    # The libraries load the rest of themselves at their first use.
    from gitguard.factor.keyring import KEY_BYTES, Keyring
    from gitguard.factor.totp import Parameters, new_secret

    Keyring(bytes(KEY_BYTES), {"none": bytes(KEY_BYTES)}).encrypt("none", "none", "none")
    Parameters(new_secret()).code(0)


def _place_of(path: str) -> str:
    """Which file lies at `path`; "" for none."""
    try:
        entry = os.lstat(path)
    except OSError:
        return ""
    return f"{entry.st_dev}-{entry.st_ino}"


def _loads(config: str) -> bool:
    """Whether what is installed now can be begun with. Not in the middle of an upgrade, nor by a broken
    configuration: then who runs stays.
    """
    flags = ["-I"] if sys.flags.isolated else []
    try:
        done = subprocess.run(
            [sys.executable, *flags, "-c", _TRIAL, config],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False, timeout=_TRIAL_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _need_utf8() -> None:
    """Names of repositories are UTF-8, whatever locale we were started in: else begin again in another."""
    if sys.getfilesystemencoding() != "utf-8":
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)  # noqa: S606


def _handed_over(path: str) -> tuple[socket.socket | None, bool]:
    """(the socket that systemd, or our own former self, hands over; whether its place is ours to tidy)."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()) or os.environ.pop("LISTEN_FDS", "") != "1":
        return None, True
    name, _, place = os.environ.pop("LISTEN_FDNAMES", "").partition(f"{_OWN}-")
    ours = not name and bool(place)
    found = socket.socket(fileno=_HANDED_OVER)
    found.set_inheritable(False)
    if ours and found.getsockname() != path:  # the configuration names another by now
        before = found.getsockname()
        found.close()
        if _place_of(before) == place:
            os.unlink(before)
        return None, True
    return found, ours


def _opened(path: str) -> socket.socket:
    """A socket of our own at `path`, for this account alone. Raises Refusal."""
    if fault := fault_on_the_way(os.path.dirname(path), os.geteuid()):
        raise Refusal("usage", text=f"cannot listen on {path}: {fault}")
    try:
        entry = os.lstat(path)
    except OSError:
        entry = None
    if entry is not None:
        if not stat.S_ISSOCK(entry.st_mode):
            raise Refusal("usage", text=f"{path} is there, and is no socket; it was left as it is")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            if probe.connect_ex(path) == 0:
                raise Refusal("usage", text=f"an agent answers on {path} already")
        os.unlink(path)
    made = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        made.bind(path)
    except OSError as error:
        raise machine_fault(f"cannot listen on {path}", error) from None
    finally:
        os.umask(before)
    made.listen(BACKLOG)
    return made


def _begin_anew(listener: socket.socket, name: str) -> None:
    """Become what is installed now, on the same socket: who connects meanwhile waits in its backlog."""
    number = listener.fileno()
    if number != _HANDED_OVER:
        os.dup2(number, _HANDED_OVER)
    os.set_inheritable(_HANDED_OVER, True)  # noqa: FBT003
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=name)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _tell_systemd(text: str) -> None:
    """One line of sd_notify(3), where someone waits for it."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + place[1:] if place.startswith("@") else place)
        channel.send(text.encode())
