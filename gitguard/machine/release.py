"""Which gitguard this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

NAME = "gitguard-2fa"


def release() -> str:
    """The installed version."""
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "(a copy without its metadata)"
