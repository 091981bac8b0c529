"""The socket that an agent or a helper listens on: handed over by systemd, or opened by itself.

Who begins anew hands its socket over to itself, as systemd would: whoever connects meanwhile waits in its
backlog. Source: sd_listen_fds(3), sd_notify(3).
"""

from __future__ import annotations

import os
import pwd
import socket
import stat
import sys

from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.reasons import Refusal, machine_fault

BACKLOG = 128
_HANDED_OVER = 3  # the first handle, sd_listen_fds(3)
_ANSWERING = "GITGUARD_ANSWERING"  # from one's former self to oneself
_OWN = "gitguard-own"  # the name of a socket that we opened ourselves, and hand over to ourselves


def place_of(path: str) -> str:
    """Which file lies at `path`; "" for none."""
    try:
        entry = os.lstat(path)
    except OSError:
        return ""
    return f"{entry.st_dev}-{entry.st_ino}"


def handed_over(path: str) -> tuple[socket.socket | None, bool]:
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
        if place_of(before) == place:
            os.unlink(before)
        return None, True
    return found, ours


def still_answering_before() -> int:
    """The handle by which those go on that our former self began, -1 for none."""
    told = os.environ.pop(_ANSWERING, "")
    if not told.isdigit():
        return -1
    os.set_inheritable(int(told), False)  # noqa: FBT003
    return int(told)


EVERYONE = -1  # in the place of a uid


def opened(path: str, uid: int, client: int, *, looks: bool = False) -> socket.socket:
    """A socket of our own at `path`, in a folder of root's or of `uid`'s, which the account `client` alone
    (or EVERYONE) may connect to; where it `looks` whether it answers, also `uid` itself. Raises Refusal.
    """
    if fault := fault_on_the_way(os.path.dirname(path), uid):
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
        if client == EVERYONE:
            os.chmod(path, 0o666)  # noqa: S103 - the kernel says who connects
        elif client != os.geteuid():
            os.chown(path, client, pwd.getpwuid(uid).pw_gid if looks else 0)
            os.chmod(path, 0o660 if looks else 0o600)
    except OSError as error:
        raise machine_fault(f"cannot listen on {path}", error) from None
    finally:
        os.umask(before)
    made.listen(BACKLOG)
    return made


def begin_anew(listener: socket.socket, place: str, answering: int = -1) -> None:
    """Become what is installed now, on the same socket. `place`: as `place_of` said of one that we opened
    ourselves, "" for systemd's. `answering`: as long as this handle is open, those go on that we began.
    """
    if answering >= 0:
        os.set_inheritable(answering, True)  # noqa: FBT003
        os.environ[_ANSWERING] = str(answering)
    number = listener.fileno()
    if answering == _HANDED_OVER:
        raise RuntimeError("the socket has its number")  # it was opened long before
    if number != _HANDED_OVER:
        os.dup2(number, _HANDED_OVER)
    os.set_inheritable(_HANDED_OVER, True)  # noqa: FBT003
    os.environ.update(
        LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=f"{_OWN}-{place}" if place else "gitguard"
    )
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def tell_systemd(text: str) -> None:
    """One line of sd_notify(3), where someone waits for it."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + place[1:] if place.startswith("@") else place)
        channel.send(text.encode())
