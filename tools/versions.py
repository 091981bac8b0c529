"""The fast tests on every Python from 3.11 on that this machine has. Says which, and which of them failed.

An interpreter counts if it runs and can make a virtual environment; each gets one of its own,
`.venv-VERSION`. Private modules of the standard library are used by the gate (`_sqlite3`, `_functools`), so
that a new version is a new question.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
_ASK = "import ensurepip, sqlite3, sys, venv; print(*sys.version_info[:3])"


def interpreters() -> dict[tuple[int, ...], str]:
    """Version -> an interpreter of it: those on PATH, and those that pyenv
    keeps; one of each minor version.
    """
    names = [path for minor in range(11, 20) if (path := shutil.which(f"python3.{minor}"))]
    names.append(shutil.which("python3") or sys.executable)
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip()
        names += [str(path) for path in sorted(Path(root).glob("versions/3.*/bin/python3"))]
    found: dict[tuple[int, ...], str] = {}
    for name in names:
        version = version_of(name)
        if version[:2] >= OLDEST and version[:2] not in {other[:2] for other in found}:
            found[version] = name
    return found


def version_of(python: str) -> tuple[int, ...]:
    """(3, 12, 1); empty where it does not run, or lacks what an environment needs."""
    done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=False)
    return tuple(int(part) for part in done.stdout.split()) if done.returncode == 0 else ()


def main() -> int:
    """Run them all; 1 if any failed."""
    found = interpreters()
    names = {version: ".".join(str(part) for part in version) for version in sorted(found)}
    print(
        f"Python from {OLDEST[0]}.{OLDEST[1]} on this machine: {', '.join(names.values()) or 'none'}",
        flush=True,
    )
    failed = []
    for version, name in names.items():
        folder = ROOT / f".venv-{version[0]}.{version[1]}"
        environment = {**os.environ, "PYTHON": found[version]}
        made = subprocess.run(
            ["sh", "tools/venv", folder.name],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        python = str(folder / "bin" / "python")
        if made.returncode != 0 or version_of(python) != version:
            print(f"{name}: no environment of it: {made.stderr.strip()[-500:]}", flush=True)
            failed.append(name)
            continue
        done = subprocess.run(
            [python, "-m", "pytest", "-q", "-n", "2", "-m", "not e2e and not slow"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = done.stdout.strip().splitlines()
        print(f"{name}: {lines[-1].strip('= ') if lines else done.stderr.strip()[-500:]}", flush=True)
        if done.returncode != 0:
            print("\n".join(lines[-60:]), flush=True)
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
