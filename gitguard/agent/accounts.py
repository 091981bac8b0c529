"""Becoming the account that keeps the store, and who does the Git account's errands then."""

from __future__ import annotations

import contextlib
import os
import signal
import socket

from gitguard.agent.carrier import HelperCarrier
from gitguard.agent.helper import serve_errands
from gitguard.config.schema import Settings
from gitguard.host.places import helper_socket
from gitguard.machine.errand import carry_by, is_carried
from gitguard.machine.git_account import account, become, check_reachable, is_account

_MOST_OPEN = 1024  # more than a command ever has


def become_keeper(settings: Settings, command_line: str, *, resident: bool = False) -> None:
    """Continue as the account whose store it is. Raises Refusal.

    Where that is not the Git account, errands are done from here on by a child of root's that has become the
    Git account and ends with us; for anyone but root, or who stays for long (`resident`), by the helper that
    listens beside the agent.
    """
    if settings.is_apart and not (is_carried() and is_account(settings.keeper)):
        if os.geteuid() == 0 and not resident:
            carry_by(HelperCarrier("", _helper_of_ours(str(settings.host.account))))
        else:
            carry_by(HelperCarrier(helper_socket(str(settings.agent.socket))))
    become(settings.keeper, command_line)


def _helper_of_ours(name: str) -> socket.socket:
    """Our end. MUST: the child has no stream and no terminal of ours: it may be stopped, and lives on."""
    check_reachable(account(name))
    ours, theirs = socket.socketpair()
    if os.fork():
        theirs.close()
        return ours
    try:
        # It keeps nothing open that is not its own: no store, and no pipe that someone waits for the end of.
        ours.detach()
        os.closerange(3, theirs.fileno())
        os.closerange(theirs.fileno() + 1, _MOST_OPEN)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's is for who asks: then this ends, too
        become(name, "")
        os.umask(0o077)
        with contextlib.suppress(KeyboardInterrupt):
            serve_errands(theirs)
    finally:
        os._exit(0)
