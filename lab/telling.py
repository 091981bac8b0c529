"""How a demo speaks: a sentence of the story, and what is typed."""

from __future__ import annotations

import sys

BOLD, DIM, PLAIN = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")


def tell(text: str) -> None:
    """A sentence of the story."""
    print(f"\n{BOLD}{text}{PLAIN}", flush=True)
