"""Build the release into a folder (default `dist`): the sdist of what is tracked here, and the
wheel out of that very sdist.

`python tools/dist.py [FOLDER]`. Needs setuptools and wheel of requirements/dev.txt, and no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def tracked() -> list[str]:
    """What belongs to the project: git's list, or, in an unpacked sdist, all that lies there."""
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, capture_output=True, check=True).stdout
        names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
        return [name for name in names if (ROOT / name).is_file()]
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [str(path) for path in found if "__pycache__" not in path.parts and path.parts[0] != ".venv"]


def build(kind: str, source: Path, target: Path) -> Path:
    """`kind`: sdist or wheel."""
    code = f"import setuptools.build_meta as b; print(b.build_{kind}({str(target)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"dist: {kind} could not be built:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return target / done.stdout.splitlines()[-1]


def dist(folder: Path) -> tuple[Path, Path]:
    """(sdist, wheel) in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gitguard-dist-") as temporary:
        copy = Path(temporary, "source")
        for name in tracked():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
        sdist = build("sdist", copy, folder)
        # not tarfile: its default filter warns on Python 3.13, and 3.11.2 does not know the argument
        subprocess.run(["tar", "-xzf", sdist, "-C", temporary], check=True)
        wheel = build("wheel", Path(temporary, sdist.name.removesuffix(".tar.gz")), folder)
    return sdist, wheel


if __name__ == "__main__":
    for made in dist(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()):
        print(made)
