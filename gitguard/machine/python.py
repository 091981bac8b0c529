"""The Python that runs us, and where our package lies: what launchers name and the Git account must reach."""

from __future__ import annotations

import os
import sys

from gitguard.message.reasons import Refusal

PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LONGEST_SHEBANG = 120  # kernels before 5.1 cut the line at 127 bytes


def interpreter() -> str:
    """The Python that launchers name: the base of a virtual environment, with every link resolved.

    Raises Refusal("usage") if its path cannot stand in a `#!` line.
    """
    path = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    if " " in path or len(path) > LONGEST_SHEBANG:
        raise Refusal("usage", text=f"the interpreter's path cannot stand in a launcher: {path}")
    return path
