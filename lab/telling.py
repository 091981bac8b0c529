"""How a demo speaks: a sentence of the story, and what is typed."""

from __future__ import annotations

import sys
from pathlib import Path

from lab.person import Person
from lab.run import Done
from lab.server import Server

BOLD, DIM, PLAIN = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")


def tell(text: str) -> None:
    """A sentence of the story."""
    print(f"\n{BOLD}{text}{PLAIN}", flush=True)


def show(command: str, done: Done, *, expect: int) -> None:
    """A command as a person types it, and what it printed. Stops the demo where it did not end as told."""
    print(f"{DIM}${PLAIN} {command}", flush=True)
    for line in done.text.rstrip().splitlines():
        print(f"  {line}")
    if done.status != expect:
        sys.exit(f"demo: {command} exited {done.status}, not {expect}")


def push(server: Server, alice: Person, tree: Path, *, expect: int) -> None:
    """`git push`, after one more commit."""
    with open(tree / "file", "a") as file:
        file.write("more\n")
    server.git(alice, "commit", "--quiet", "--all", "-m", "more", cwd=tree, status=0)
    show("git push", server.git(alice, "push", "origin", "main", cwd=tree), expect=expect)
