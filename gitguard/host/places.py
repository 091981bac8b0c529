"""Where an installation's own files are, known from the configuration's path alone."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gitguard.config.schema import Settings

PYTHON = "-python"  # behind a launcher's name, where a compiled client has that name itself
SYSTEM_CONFIG = "/etc/gitguard/gitguard.toml"


class Places(NamedTuple):
    """Absolute paths. `compiled`: the gate's form of the configuration; `hook`:
    what every live hook equals.
    """

    config: str
    compiled: str
    gate: str
    hook: str
    snippet: str
    cron: str
    units: str

    @property
    def keys(self) -> str:
        """What sshd asks for keys."""
        return os.path.join(os.path.dirname(self.gate), "gitguard-keys")

    @property
    def of_gate(self) -> tuple[str, str, str]:
        """What a launcher hands to the gate and the hook."""
        return (self.config, self.compiled, self.hook)


def places_of(config: str) -> Places:
    """The places that belong to the configuration at `config`: the system's own, or below its folder."""
    config = os.path.abspath(config)
    if config == SYSTEM_CONFIG:
        library = "/usr/local/lib/gitguard"
        return Places(
            config,
            "/var/lib/gitguard/config.compiled",
            f"{library}/gitguard-shell",
            f"{library}/pre-receive",
            "/etc/gitguard/sshd_config.snippet",
            "/etc/gitguard/gitguard.cron",
            "/etc/gitguard/systemd",
        )
    home = os.path.dirname(config)
    return Places(
        config,
        f"{home}/state/config.compiled",
        f"{home}/bin/gitguard-shell",
        f"{home}/hooks/pre-receive",
        f"{home}/sshd_config.snippet",
        f"{home}/gitguard.cron",
        f"{home}/systemd",
    )


def helper_socket(agent_socket: str) -> str:
    """Where the Git account's helper listens, beside the agent."""
    return os.path.join(os.path.dirname(agent_socket), "helper.socket")


def accounts_socket(agent_socket: str) -> str:
    """Where people with accounts of their own on this machine ask, beside the agent."""
    return os.path.join(os.path.dirname(agent_socket), "accounts.socket")


def authorized_keys(settings: Settings) -> str:
    """The key file that gitguard manages; where sshd asks the agent, the one whose keys it takes over."""
    if settings.paths.authorized_keys and not settings.paths.asks_for_keys:
        return settings.paths.authorized_keys
    import pwd  # a workstation may have none, and names a server's places all the same

    return os.path.join(pwd.getpwnam(settings.host.account).pw_dir, ".ssh", "authorized_keys")
