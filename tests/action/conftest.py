"""What the tests of actions share: one open installation for a file, and streams that nobody reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from lab.server import Direct
from tests.house import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One installation for this file."""
    server = Direct(tmp_path_factory.mktemp("house") / "server")
    server.install()
    server.configure(web={"login_domains": ["example.com"]})
    opened = House(server)
    yield opened
    opened.close()


class Deaf:
    """A stream that nobody reads: writing to it is an error."""

    def write(self, _: str) -> int:
        """Nobody reads this."""
        raise BrokenPipeError("nobody reads this")

    def flush(self) -> None:
        """Nor has read what came before."""
        raise BrokenPipeError("nobody reads this")


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither Python's streams nor the process's own are read by anyone."""
    reading, writing = os.pipe()
    os.close(reading)
    kept = [(number, os.dup(number)) for number in (1, 2)]
    for number, _ in kept:
        os.dup2(writing, number)
    monkeypatch.setattr(sys, "stdout", Deaf())
    monkeypatch.setattr(sys, "stderr", Deaf())
    yield
    monkeypatch.undo()
    for number, copy in kept:
        os.dup2(copy, number)
        os.close(copy)
    os.close(writing)
