"""What several stories of a shared store begin with."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.database import DatabaseServer
from lab.estate import Estate


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """Two Git servers, each with its own sshd and agent, on one database."""
    folder = tmp_path_factory.mktemp("estate")
    folder.chmod(0o755)
    database = DatabaseServer(Path(tempfile.mkdtemp(prefix="gitguard-pg-", dir="/tmp")))
    try:
        database.make()
        database.start()
        with Estate(folder, database.database("store")) as made:
            yield made
    finally:
        database.remove()
