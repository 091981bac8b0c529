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

from gitguard.config.schema import AgentTable, Paths, Settings
from gitguard.config.types import AccountName, SocketFile
from gitguard.host.places import accounts_socket, authorized_keys, helper_socket

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
User={keeper}
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
User={keeper}
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
SocketUser={keeper}
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
User={keeper}
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
# Where gate and hook ask: the Git account alone may connect{and_agent}.
[Unit]
Description=The socket of gitguard's agent

[Socket]
ListenStream={socket}
SocketUser={account}
{its_group}Backlog=128
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""
_ACCOUNTS_SOCKET = """\
# Where people with accounts of their own on this machine ask (gitguard verify in a shell): the kernel says who they are.
[Unit]
Description=The socket of gitguard's agent for people's accounts

[Socket]
ListenStream={accounts}
SocketMode=0666
Backlog=128
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""

_HELPER = """\
# The Git account's part of an agent that has an account of its own: it looks at repositories, hooks and running
# processes. Install both: cp {folder}/gitguard-helper.* /etc/systemd/system/ && systemctl daemon-reload && systemctl enable --now gitguard-helper.socket
[Unit]
Description=The Git account's helper of gitguard's agent
Requires=gitguard-helper.socket
After=gitguard-helper.socket

[Service]
Type=notify
User={account}
UMask=0077
Environment=LANG=C.UTF-8
ExecStart={command} admin helper
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
# An errand that was begun is done whole.
KillMode=mixed
# It needs the repositories and the key file, and to see the account's own processes: no ProtectProc=, no PrivateUsers=.
ProtectSystem=strict
ReadWritePaths={of_git}
PrivateDevices=yes
PrivateNetwork=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX
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

_HELPER_SOCKET = """\
# Where the agent asks the Git account's helper: the agent's account alone may connect.
[Unit]
Description=The socket of the Git account's helper

[Socket]
ListenStream={helper}
SocketUser={keeper}
SocketMode=0600
Backlog=128
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""

_SYSUSERS = """\
# The account of gitguard's agent. Install: cp {folder}/gitguard.sysusers /etc/sysusers.d/gitguard.conf && systemd-sysusers
u {keeper} - "gitguard's agent" / /usr/sbin/nologin
"""
_TMPFILES = """\
# The folder of gitguard's sockets. Install: cp {folder}/gitguard.tmpfiles /etc/tmpfiles.d/gitguard.conf && systemd-tmpfiles --create
d {run} 0755 root root -
"""
AGENT_SOCKET = "/run/gitguard/agent.socket"  # where none is named yet


def units(settings: Settings, folder: str, command: str) -> dict[str, bytes]:
    """File name -> content, for `folder`, where they lie; `command` is `gitguard` with its
    configuration, as a line of shell words.
    """
    keys, log = os.path.dirname(authorized_keys(settings)), os.path.dirname(settings.paths.access_log)
    of_git = (keys, *settings.paths.roots)
    written = (str(settings.paths.state), log, *(() if settings.is_apart else (keys,)))
    socket = str(settings.agent.socket) or AGENT_SOCKET
    uses_network = bool(settings.notify.command) or not settings.store.url.is_file
    known = {
        "folder": folder,
        "told": _TOLD,
        "account": settings.host.account,
        "keeper": settings.keeper,
        "and_agent": ", and the agent's own, which looks whether it answers" if settings.is_apart else "",
        "its_group": f"SocketGroup={settings.keeper}\nSocketMode=0660\n"
        if settings.is_apart
        else "SocketMode=0600\n",
        "helper": _quoted(helper_socket(socket)),
        "accounts": _quoted(accounts_socket(socket)),
        "run": _quoted(os.path.dirname(socket)),
        "command": command.replace("%", "%%"),
        "written": " ".join(_quoted(path) for path in dict.fromkeys(written)),
        "of_git": " ".join(_quoted(path) for path in dict.fromkeys(of_git)),
        "socket": _quoted(socket),
        # A program that is told of events may send them anywhere; a database may be anywhere as well.
        "alone": "no" if uses_network else "yes",
        "families": " AF_INET AF_INET6" if uses_network else "",
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
        "gitguard-accounts.service": _for_accounts(_AGENT),
        "gitguard-accounts.socket": _ACCOUNTS_SOCKET,
        "gitguard.tmpfiles": _TMPFILES,
    }
    if settings.is_apart:
        made |= {
            "gitguard-helper.service": _HELPER,
            "gitguard-helper.socket": _HELPER_SOCKET,
            "gitguard.sysusers": _SYSUSERS,
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


def _for_accounts(agent: str) -> str:
    """The agent's unit, for people with accounts of their own on this machine."""
    return (
        agent.replace(
            "# The agent that gate and hook ask,",
            "# The agent that people with accounts of their own on this machine ask,",
        )
        .replace("gitguard-agent.", "gitguard-accounts.")
        .replace(
            "Description=The agent that answers gitguard's gate and hook",
            "Description=The agent that answers people's accounts",
        )
        .replace("admin agent\n", "admin agent --for-accounts\n")
    )


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
    """The units of a system installation for the account git, as etc/systemd shows them to readers; those
    that only an agent with an account of its own needs are for the account gitguard.
    """
    paths = Paths(authorized_keys="/home/git/.ssh/authorized_keys")
    apart = AgentTable(SocketFile(AGENT_SOCKET), AccountName("gitguard"))
    folder, command = "/etc/gitguard/systemd", "/usr/local/bin/gitguard"
    return units(Settings(paths=paths, agent=apart), folder, command) | units(
        Settings(paths=paths), folder, command
    )
