"""The distribution's name: the plain word belongs to someone else on the package index."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_no_page_and_no_message_names_a_strangers_package() -> None:
    """Anyone who follows our words as root must not fetch what is not ours."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"] == "gitguard-2fa"
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in files:
        if name.endswith((".md", ".py", ".toml", ".txt")) and not name.startswith("tests/"):
            text = (ROOT / name).read_text()
            assert not re.search(r"(pip|pipx|uv) install[^\n]*[ '\"]gitguard([\[ '\"\n]|$)", text), name


def test_the_driver_is_locked() -> None:
    """What a PostgreSQL store needs beside them, likewise."""
    driver, dev = ((ROOT / "requirements" / name).read_text() for name in ("postgresql.txt", "dev.txt"))
    pins = re.findall(r"^([a-z0-9-]+==[0-9.]+)", driver, re.MULTILINE)
    assert {pin.partition("==")[0] for pin in pins} == {"psycopg", "psycopg-binary", "typing-extensions"}
    assert all(pin in dev for pin in pins)
    assert "://" not in driver


@pytest.mark.parametrize(
    ("file", "more"), [("server.txt", set[str]()), ("web.txt", {"flask", "flask-wtf", "gunicorn"})]
)
def test_the_servers_libraries_are_locked(file: str, more: set[str]) -> None:
    """What a server installs is pinned by hashes alone, at the versions that the tests ran with."""
    server, dev = ((ROOT / "requirements" / name).read_text() for name in (file, "dev.txt"))
    pins = re.findall(r"^([a-z0-9-]+==[0-9.]+)", server, re.MULTILINE)
    assert {pin.partition("==")[0] for pin in pins} >= {
        "click",
        "cryptography",
        "msgspec",
        "pyotp",
        "segno",
        "tomli-w",
        *more,
    }
    assert all(pin in dev for pin in pins)
    assert "://" not in server
    assert server.count("--hash=sha256:") >= len(pins)
