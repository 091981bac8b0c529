"""The two programs that sshd and Git start: the gate and the hook, with every path baked in.

Both begin with `#!.../python3 -IS`: no environment, no user site, no start-up files; nothing that a client
could set acts before our first instruction.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

from gitguard.host.bundle import LOADER, bundle
from gitguard.host.places import SYSTEM_CONFIG, Places, places_of
from gitguard.machine.python import PACKAGE, interpreter
from gitguard.message.reasons import Refusal

_LAUNCHER = """\
#!{interpreter} -IS
# {what}
# Written by `gitguard admin init`; run it again after an upgrade.
import posix
import sys

sys.path += {path!r}


{loader}

try:
    try:
        load({bundle!r})
    except Exception:  # not there, or of another Python: the long way serves as well
        for name in [name for name in sys.modules if name.partition(".")[0] == "gitguard"]:
            del sys.modules[name]
    from {module} import main

    status = main({config!r}, {compiled!r}, {hook!r})
except Exception:  # a package half upgraded, or worse: closed, and without a traceback
    sys.stderr.write("gitguard: closed, because its installation is not whole; tell your server admin [internal-error]\\n")
    status = 1
for stream in (sys.stdout, sys.stderr):
    try:
        if stream is not None:
            stream.flush()
    except Exception:  # nobody reads it any more
        status = status or 1
posix._exit(status)  # to take every module down again takes longer than most of what was done
"""
BUNDLE = ".bundle"  # behind the launcher's name
_GATE = ("gitguard-shell: the forced command of every key line that gitguard writes.", "gitguard.gate.main")
_HOOK = (
    "gitguard's push check: the gate refuses every push while a repository's hook differs from this.",
    "gitguard.hook.main",
)


def libraries() -> list[str]:
    """The folders that hold what our own commands import; the gate itself needs none of them."""
    return [folder for folder in dict.fromkeys(map(os.path.dirname, library_packages())) if folder != PACKAGE]


def library_packages() -> list[str]:
    """The folder (or file) of each library. Raises Refusal("usage") if one is missing."""
    found = []
    for name in ("click", "cryptography", "msgspec", "pyotp", "segno", "tomli_w"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise Refusal(
                "usage",
                text=f"the library {name} is missing",
                hint="install the server's libraries: see docs/operations.md, Install",
            )
        found.append(os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin)
    return found


def gate_text(places: Places) -> bytes:
    """The gate's launcher on this machine."""
    return render(_GATE, places, places.gate, interpreter(), [PACKAGE, *libraries()])


def gate_bundle() -> bytes:
    """What lies beside the gate's launcher: its modules, ready to run."""
    return bundle(_GATE[1], PACKAGE)


def hook_bundle() -> bytes:
    """What lies beside the hook's launcher, for every copy of it."""
    return bundle(_HOOK[1], PACKAGE)


def hook_text(places: Places) -> bytes:
    """The hook's launcher on this machine, byte for byte what a live hook is."""
    return render(_HOOK, places, places.hook, interpreter(), [PACKAGE, *libraries()])


def example_hook() -> bytes:
    """The hook of a system installation, as hooks/pre-receive shows it to readers."""
    path = ["/opt/gitguard/lib/python3/site-packages"]
    places = places_of(SYSTEM_CONFIG)
    return render(_HOOK, places, places.hook, "/usr/bin/python3", path)


def render(program: tuple[str, str], places: Places, place: str, python: str, path: list[str]) -> bytes:
    """A launcher, whose bundle lies beside `place`. `path` is added behind the interpreter's own, so
    nothing there can shadow it.
    """
    what, module = program
    text = _LAUNCHER.format(
        interpreter=python, what=what, module=module, path=path,
        loader=LOADER.rstrip(), bundle=place + BUNDLE, config=places.config, compiled=places.compiled, hook=places.hook,
    )  # fmt: skip
    return text.encode()


def compile_gate(say: Callable[[str], None]) -> None:
    """Compile the package to bytecode where we may write it, so that no request has to."""
    import compileall

    folder = os.path.join(PACKAGE, "gitguard")
    if os.access(folder, os.W_OK) and not compileall.compile_dir(folder, quiet=2, legacy=False):
        say("some files could not be compiled; the gate will be slower")
