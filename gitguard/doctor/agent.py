"""The agent that gate and hook ask: it answers, and nothing is lost where it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gitguard.agent.carrier import HelperCarrier
from gitguard.agent.look import fault_of_agent
from gitguard.config.schema import Settings
from gitguard.doctor.finding import Finding, gap, note, ok
from gitguard.host import launcher
from gitguard.host.places import Places, accounts_socket, helper_socket
from gitguard.message.reasons import Refusal

INSTALLED = "/etc/systemd/system"


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(65536)
    except OSError:
        return b""


def agent_findings(settings: Settings, places: Places) -> Iterator[Finding]:
    """Notes, where gate and hook decide themselves without an answer, by the same code, only slower; gaps,
    where nobody else can.
    """
    path = str(settings.agent.socket)
    if not path:
        return
    yield agent_finding(path, decides_alone=settings.agent_decides)
    yield ok("promise", _promise(settings))
    units = ["gitguard-agent.service", "gitguard-agent.socket"]
    accounts = accounts_socket(path)
    if os.path.exists(accounts):
        units += ["gitguard-accounts.service", "gitguard-accounts.socket"]
        if fault := fault_of_agent(accounts):
            yield note(
                "agent-accounts",
                f"{fault}; until it answers, nobody verifies in a shell of this server",
                "systemctl restart gitguard-accounts.socket gitguard-accounts.service",
            )
    if settings.is_apart:
        yield helper_finding(path)
        units += ["gitguard-helper.service", "gitguard-helper.socket"]
    for name in units:
        installed, written = _read(f"{INSTALLED}/{name}"), _read(f"{places.units}/{name}")
        if installed and installed != written:
            yield note(
                "agent-unit",
                f"{INSTALLED}/{name} is not what init writes by this configuration",
                f"cp {places.units}/{name} {INSTALLED}/ && systemctl daemon-reload",
            )
    if launcher.compiled_client() is None:
        yield note(
            "agent-client",
            "the client was not compiled, so that gate and hook ask the agent by Python, which takes longer",
            "make client, in the source of this release, then gitguard admin init",
        )
    elif not launcher.fits_shebang(places.gate):
        yield note("agent-client", f"the path {places.gate} is too long for the compiled client")


def _promise(settings: Settings) -> str:
    """What whoever takes over the Git account can do: docs/threat-model.md says it at length."""
    account = settings.host.account
    if not settings.is_apart:
        return f"whoever takes over {account} has all that the agent has; [agent] account keeps it from them"
    if settings.paths.asks_for_keys:
        return f"whoever takes over {account} acts as a person only while that person is connected"
    return (
        f"whoever takes over {account} acts as a person for as long as a session of theirs lives; "
        'with [paths] authorized_keys = "none" only while they are connected'
    )


def agent_finding(path: str, *, decides_alone: bool) -> Finding:
    """Whether the agent at `path` answers."""
    fault = fault_of_agent(path)
    remedy = "systemctl restart gitguard-agent.socket gitguard-agent.service"
    if fault and decides_alone:
        return gap("agent", f"{fault}; until it answers, every request is refused", remedy)
    if fault:
        return note(
            "agent", f"{fault}; until it answers, gate and hook decide themselves, which takes longer", remedy
        )
    return ok("agent", f"it answers on {path}")


def helper_finding(agent: str) -> Finding:
    """Whether the Git account's helper, beside the agent at `agent`, does an errand."""
    path = helper_socket(agent)
    try:
        HelperCarrier(path)("gitguard.machine.whereabouts.there", (["/"],), {})
    except Refusal as refusal:
        return gap(
            "helper",
            f"{refusal.detail}; until it answers, every request is refused",
            "systemctl restart gitguard-helper.socket gitguard-helper.service",
        )
    return ok("helper", f"it answers on {path}")
