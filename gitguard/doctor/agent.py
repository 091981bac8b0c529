"""The agent that gate and hook ask: it answers, and nothing is lost where it does not."""

from __future__ import annotations

from collections.abc import Iterator

from gitguard.agent.look import fault_of_agent
from gitguard.config.schema import Settings
from gitguard.doctor.finding import Finding, note, ok
from gitguard.host import launcher
from gitguard.host.places import Places

INSTALLED = "/etc/systemd/system"


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(65536)
    except OSError:
        return b""


def agent_findings(settings: Settings, places: Places) -> Iterator[Finding]:
    """Notes alone: without an answer gate and hook decide themselves, by the same code, only slower."""
    path = str(settings.agent.socket)
    if not path:
        return
    if fault := fault_of_agent(path):
        yield note(
            "agent",
            f"{fault}; until it answers, gate and hook decide themselves, which takes longer",
            "systemctl restart gitguard-agent.socket gitguard-agent.service",
        )
    else:
        yield ok("agent", f"it answers on {path}")
    for name in ("gitguard-agent.service", "gitguard-agent.socket"):
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
