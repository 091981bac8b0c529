"""A server with an agent, and launchers that say when they were needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitguard.host.places import PYTHON
from lab.agent_faults import Asked
from lab.run import run

LAUNCHER = 77  # the exit status of what stands in a launcher's place


@contextmanager
def launchers_say_so(site: Asked) -> Iterator[None]:
    """Meanwhile whoever is left to a launcher ends with the status `LAUNCHER`: a yes is the agent's."""
    home = site.server.home
    paths = [home / "bin" / f"gitguard-shell{PYTHON}", home / "hooks" / f"pre-receive{PYTHON}"]
    kept = [path.read_bytes() for path in paths]
    for path in paths:
        path.write_text(f"#!/bin/sh\necho 'left to the launcher' >&2\nexit {LAUNCHER}\n")
    try:
        yield
    finally:
        for path, data in zip(paths, kept, strict=True):
            path.write_bytes(data)


def gate(
    site: Asked,
    line: str,
    *,
    person: str = "alice",
    stdin: bytes = b"",
    words: tuple[str, ...] = (),
    environ: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """The gate, as sshd starts it, with more words in its key line and more in its environment."""
    command = site.server.ssh_command(getattr(site, person), line)
    pairs = [f"{name}={value}" for name, value in (environ or {}).items()]
    return subprocess.run(
        [*command[:2], *pairs, *command[2:], *words],
        input=stdin,
        capture_output=True,
        timeout=30,
        check=False,
    )


def by_agent(site: Asked, line: str, **more: object) -> bool:
    """Whether the agent answered, and the launcher was not needed."""
    with launchers_say_so(site):
        done = gate(site, line, **more)  # type: ignore[arg-type]
    assert (done.returncode == LAUNCHER) == (b"left to the launcher" in done.stderr), done
    return done.returncode != LAUNCHER


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A server with an agent and the compiled client; alice is verified, bob has no second factor."""
    with Asked.make(tmp_path_factory.mktemp("asked"), "compiled") as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Asked]:
    """The same for one test alone."""
    with Asked.make(tmp_path / "own", "compiled") as made:
        yield made


def as_another(site: Asked, code: str, uid: int = 65534) -> str:
    """What a Python program prints that another account runs; `SOCKET` in it is the agent's."""
    code = code.replace("SOCKET", repr(str(site.agent.socket)))
    program = f"import os, socket; os.setgid({uid}); os.setuid({uid})\n{code}"
    return run([sys.executable, "-I", "-S", "-c", program]).out
