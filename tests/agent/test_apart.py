"""An agent with an account of its own, on a whole server: what people do, what the Git account may not, and
what sshd is told of keys. lab/apart.py tells the stories, in a private mount namespace, which takes root.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys

import pytest

from lab.apart import STORIES
from lab.host import CAN, SOURCE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.xdist_group("apart"),
    pytest.mark.skipif(not CAN, reason="only root can make a server of its own (the header says so)"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Story -> ok, or what went wrong. All in a row, on one server, once for all test workers of a run."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    folder = tmp_path_factory.getbasetemp()
    with open((folder.parent if run else folder) / f"apart-{run}.json", "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if not (text := file.read()):
            text = json.dumps(_tell())
            file.write(text)
    found: dict[str, str] = json.loads(text)
    return found


def _tell() -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "lab.apart"],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    parts = re.split(r"^(ok|FAILED)  ", done.stdout, flags=re.MULTILINE)[1:]
    found = {}
    for how, text in zip(parts[::2], parts[1::2], strict=True):
        name = re.match(r"[a-z ]+[a-z]", text)
        assert name is not None, text
        found[name[0]] = "ok" if how == "ok" else text
    assert found, done.stdout[-2000:] + done.stderr[-4000:]
    return found


@pytest.mark.parametrize("story", STORIES)
def test_a_story_of_two_accounts(told: dict[str, str], story: str) -> None:
    """As its own words in lab/apart.py say."""
    assert told.get(story) == "ok", told.get(story, "it was not told")
