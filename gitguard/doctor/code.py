"""The code that gate, hook and our own commands are made of: interpreter, its libraries, ours, and
the programs behind the gate.
"""

from __future__ import annotations

import os
import shutil
import site
from collections.abc import Iterator

from gitguard.doctor.dependencies import Lean, walked
from gitguard.host import launcher
from gitguard.machine.environment import PATH
from gitguard.machine.python import PACKAGE, interpreter


def code_leans() -> Iterator[Lean]:
    """Every file of it, not its folders alone: who may write one runs as the account, and as root
    at the next admin's command.
    """
    yield Lean(interpreter(), "code", "it runs gate and hook")
    for path in _mapped():
        yield Lean(path, "code", "the interpreter loads it")
    for path in _programs():
        yield Lean(path, "code", "it runs before or behind the gate")
    for folder in dict.fromkeys((os.path.dirname(os.__file__), *_packages())):
        for path in walked(folder):
            yield Lean(path, "code", "gate, hook or our commands load it")
    for folder in _on_the_path():
        yield Lean(folder, "code", "our own commands load what lies there")


def _packages() -> Iterator[str]:
    yield os.path.join(PACKAGE, "gitguard")
    yield from launcher.library_packages()


def _on_the_path() -> Iterator[str]:
    """Where the interpreter of our own commands looks at its start, and runs what `.pth` files say."""
    for folder in site.getsitepackages():
        yield folder
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.endswith(".pth") or name in ("sitecustomize.py", "usercustomize.py"):
                yield f"{folder}/{name}"


def _mapped() -> list[str]:
    """The shared libraries that this interpreter has loaded: the gate's loads the same."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            paths = {line.split(None, 5)[5].strip() for line in file if line.count(" /")}
    except (OSError, IndexError):
        return []
    return sorted(path for path in paths if path.startswith("/") and os.path.exists(path))


def _programs() -> list[str]:
    """What runs before and behind the gate: the shell, Git and its commands."""
    found = [
        shutil.which(name, path=PATH)
        for name in ("git", "git-shell", "git-upload-pack", "git-receive-pack", "sh")
    ]
    return [os.path.realpath(path) for path in found if path is not None]
