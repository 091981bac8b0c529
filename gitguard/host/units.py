"""systemd's units for this installation's own account and paths: `init` writes them,
anyone who wants them copies them.

etc/systemd/ shows them as they are for the account git. Source: systemd.exec(5),
systemd.socket(5), systemd.timer(5).
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence

from gitguard.config.schema import Paths, Settings
from gitguard.host.places import authorized_keys

_TOLD = """\
# Whoever tells the admin's program of an event ([notify]) still runs after this has ended.
"""

_SWEEP = """\
# Ends idle connections of expired 2FA sessions.
# Install with its timer: cp {folder}/gitguard-* /etc/systemd/system/ && systemctl daemon-reload
[Unit]
Description=End idle Git connections of expired 2FA sessions

[Service]
Type=oneshot
{told}KillMode=process
User={account}
ExecStart={command} admin session sweep --quiet
"""

_DOCTOR = """\
# Fails, and so shows in `systemctl --failed`, while something is open or broken; what it is stands in its journal.
[Unit]
Description=Is every way to Git guarded by 2FA?

[Service]
Type=oneshot
{told}KillMode=process
ExecStart={command} admin doctor --quiet
"""

_BACKUP = """\
# A copy of the store a night, kept for 30 days. Its key file is not in it: keep a copy of that elsewhere.
[Unit]
Description=Back up the store of gitguard

[Service]
Type=oneshot
{told}KillMode=process
UMask=0077
ExecStartPre=/usr/bin/install -d -m 700 /var/backups/gitguard
ExecStart=/bin/sh -c '{command} admin store backup /var/backups/gitguard/gitguard-$$(date +%%F-%%H%%M%%S).db'
ExecStartPost=/usr/bin/find /var/backups/gitguard -name 'gitguard-*.db' -mtime +30 -delete
"""

_TIMER = """\
# systemctl enable --now {name}.timer
[Unit]
Description={what}

[Timer]
{when}

[Install]
WantedBy=timers.target
"""

_WEB = """\
# The web page, on the socket of gitguard-web.socket. Install both:
#   cp {folder}/gitguard-web.* /etc/systemd/system/ && systemctl daemon-reload && systemctl enable --now gitguard-web.socket
[Unit]
Description=The web page of gitguard
Requires=gitguard-web.socket
After=network.target

[Service]
Type=notify
NotifyAccess=all
User={account}
UMask=0077
ExecStart={command} admin serve
Restart=on-failure
TimeoutStopSec=30
{told}KillMode=mixed
# It needs the store, the keys, the log, and the key file of the account; nothing else of the machine.
ProtectSystem=strict
ReadWritePaths={written}
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
LockPersonality=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""

_SOCKET = """\
# Where the web server in front reaches the page: its account's group may connect, nobody else.
[Unit]
Description=The socket of gitguard's web page

[Socket]
ListenStream=/run/gitguard/web.socket
SocketUser={account}
SocketGroup={group}
SocketMode=0660
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""


_AGENT = """\
# The agent that gate and hook ask, on the socket of gitguard-agent.socket. Install both:
#   cp {folder}/gitguard-agent.* /etc/systemd/system/ && systemctl daemon-reload && systemctl enable --now gitguard-agent.socket
[Unit]
Description=The agent that answers gitguard's gate and hook
Requires=gitguard-agent.socket
After=gitguard-agent.socket

[Service]
Type=notify
User={account}
UMask=0077
Environment=LANG=C.UTF-8
ExecStart={command} admin agent
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
# A command at its prompt continues to its end, by the code that it began with.
KillMode=process
# It needs the store, the keys, the log and the key file, and to see who asks: no ProtectProc=, no PrivateUsers=.
# No PrivateTmp= either: a program of [notify] finds the machine as it does without an agent.
ProtectSystem=strict
ReadWritePaths={written}
PrivateDevices=yes
PrivateNetwork={alone}
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX{families}
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""

_AGENT_SOCKET = """\
# Where gate and hook ask: the Git account alone may connect.
[Unit]
Description=The socket of gitguard's agent

[Socket]
ListenStream={socket}
SocketUser={account}
SocketMode=0600
Backlog=128
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""
AGENT_SOCKET = "/run/gitguard/agent.socket"  # where none is named yet


def units(settings: Settings, folder: str, command: str) -> dict[str, bytes]:
    """File name -> content, for `folder`, where they lie; `command` is `gitguard` with its
    configuration, as a line of shell words.
    """
    keys, log = authorized_keys(settings), str(settings.paths.access_log)
    written = (str(settings.paths.state), os.path.dirname(log), os.path.dirname(keys))
    known = {
        "folder": folder,
        "told": _TOLD,
        "account": settings.host.account,
        "command": command.replace("%", "%%"),
        "written": " ".join(_quoted(path) for path in dict.fromkeys(written)),
        "socket": _quoted(str(settings.agent.socket) or AGENT_SOCKET),
        # A program that is told of events may send them anywhere; without one nothing needs the network.
        "alone": "no" if settings.notify.command else "yes",
        "families": " AF_INET AF_INET6" if settings.notify.command else "",
        "group": _web_group(settings.web.trusted_proxies),
    }
    made = {
        "gitguard-sweep.service": _SWEEP,
        "gitguard-doctor.service": _DOCTOR,
        "gitguard-backup.service": _BACKUP,
        "gitguard-web.service": _WEB,
        "gitguard-web.socket": _SOCKET,
        "gitguard-agent.service": _AGENT,
        "gitguard-agent.socket": _AGENT_SOCKET,
    }
    done = {name: text.format_map(known).encode() for name, text in made.items()}
    for name, what, when in (
        (
            "gitguard-sweep",
            "Once a minute: end parked Git connections",
            "OnCalendar=minutely\nAccuracySec=5s",
        ),
        (
            "gitguard-doctor",
            "Every morning: is every way to Git guarded by 2FA?",
            "OnCalendar=*-*-* 06:17:00\nPersistent=true",
        ),
        (
            "gitguard-backup",
            "Every night: back up the store of gitguard",
            "OnCalendar=*-*-* 02:23:00\nPersistent=true",
        ),
    ):
        done[f"{name}.timer"] = _TIMER.format(name=name, what=what, when=when).encode()
    return done


def _web_group(proxies: Sequence[str]) -> str:
    """The group of the first `unix:ACCOUNT`; Debian's name for it where none is trusted yet."""
    for proxy in proxies:
        if proxy.startswith("unix:"):
            name = proxy.removeprefix("unix:")
            try:
                return grp.getgrgid(pwd.getpwnam(name).pw_gid).gr_name
            except KeyError:
                return name
    return "www-data"


def _quoted(path: str) -> str:
    """A path as systemd reads it."""
    text = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if text != path or " " in path else text


def example_units() -> dict[str, bytes]:
    """The units of a system installation for the account git, as etc/systemd shows them to readers."""
    settings = Settings(paths=Paths(authorized_keys="/home/git/.ssh/authorized_keys"))
    return units(settings, "/etc/gitguard/systemd", "/usr/local/bin/gitguard")
