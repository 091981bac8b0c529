"""What the stories of what went wrong share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.server import Direct
from tests.house import House


@pytest.fixture
def house(site: Direct) -> Iterator[House]:
    """An open installation of the test's own."""
    opened = House(site)
    yield opened
    opened.close()
