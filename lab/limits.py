"""A real limit on the account's processes, set by PAM: a push goes in whole with its check, or not at all.

For each limit from 1 up, one push is tried. Whatever cannot be started (gate, Git, hook, another hook), the
branch moves only if the push said so and every hook ran.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lab.gaps import healthy
from lab.host import inside
from lab.server import run

LIMITS = Path("/etc/security/limits.d/gitguard-lab.conf")
LEVELS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 20, 30)
APP = "/home/git/repositories/team/app.git"


def main() -> int:
    """Print a line a limit; exit 1 if a branch moved that should not have, or
    the other hook was passed over.
    """
    inside("lab.limits")
    host = healthy()
    alice = host.people["alice"]
    tree = host.folder / "work"
    run(["git", "init", "-q", "-b", "main", str(tree)])
    folder = Path(APP, "hooks/pre-receive.d")
    folder.mkdir()
    (folder / "10-count").write_text(f"#!/bin/sh\necho x >> {host.home}/counted\n")
    (folder / "10-count").chmod(0o755)
    run(["chown", "-R", "git:git", str(folder)])
    bad = passed = 0
    try:
        for limit in LEVELS:
            LIMITS.write_text(f"git hard nproc {limit}\n")
            host.git(alice, "commit", "-q", "--allow-empty", "-m", "x", cwd=tree, status=0)
            before = (branch(), counted(host.home))
            done = host.git(alice, "push", "-q", host.url("team/app"), "main", cwd=tree)
            after = (branch(), counted(host.home))
            moved, ran = after[0] != before[0], after[1] - before[1]
            good = moved == (done.status == 0) and ran == (1 if moved else ran) and ran <= 1
            bad += not good
            passed += moved
            last = (done.err.strip().splitlines() or ["pushed"])[0]
            print(
                f"at most {limit:>2} processes: {'pushed, and checked' if moved else 'refused'}{'' if good else '  WRONG'}  {last[:80]}",
                flush=True,
            )
        LIMITS.unlink()
        host.git(alice, "push", "-q", host.url("team/app"), "main", cwd=tree, status=0)
    finally:
        host.stop()
    print(f"{passed} of {len(LEVELS)} pushed; {bad} lines are wrong")
    return 1 if bad or not 0 < passed < len(LEVELS) else 0


def branch() -> str:
    """Where `main` stands."""
    return run(
        ["git", "-c", "safe.directory=*", "--git-dir", APP, "rev-parse", "-q", "--verify", "main"],
        status=None,
    ).out.strip()


def counted(home: Path) -> int:
    """How often the other hook ran."""
    path = home / "counted"
    return len(path.read_text()) // 2 if path.exists() else 0


if __name__ == "__main__":
    sys.exit(main())
