"""The two programs that sshd and Git start: the gate and the hook, with every path baked in.

Both begin with `#!.../python3 -IS`: no environment, no user site, no start-up files; nothing that a client
could set acts before our first instruction.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from gitguard.host.bundle import LOADER, bundle
from gitguard.host.places import PYTHON, SYSTEM_CONFIG, Places, places_of
from gitguard.machine.git_account import uid_of
from gitguard.machine.python import LONGEST_SHEBANG, PACKAGE, interpreter
from gitguard.message.reasons import Refusal

if TYPE_CHECKING:
    from gitguard.config.schema import Settings

_LAUNCHER = """\
#!{interpreter} -IS
# {what}
# Written by `gitguard admin init`; run it again after an upgrade.
import posix
import sys

sys.path += {path!r}


{loader}
{client}
try:
    try:
        load({bundle!r})
    except Exception:  # not there, or of another Python: the long way serves as well
        for name in [name for name in sys.modules if name.partition(".")[0] == "gitguard"]:
            del sys.modules[name]
    from {module} import main

    status = main({arguments})
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
_CLIENT = """
try:  # the agent, where it answers; else we decide ourselves
    load({client!r})
    from gitguard.gate.client import ask

    answered = ask({socket!r}, {letter!r}, {owner})
except Exception:
    answered = None
if answered is not None:
    posix._exit(answered)
for name in [name for name in sys.modules if name.partition(".")[0] == "gitguard"]:
    del sys.modules[name]
"""
# Git gives a file that cannot be run to the shell: then the last line counts.
_HOOK_OF_CLIENT = """\
#!{gate} --hook
# {what}
# Written by `gitguard admin init`; run it again after an upgrade.
# Without an agent: from gitguard.hook.main import main
exit 1
"""
_APART = "gitguard.gate.apart"  # gate and hook where the agent alone can decide
BUNDLE = ".bundle"  # behind the launcher's name
CLIENT_BUNDLE = ".client"
CLIENT = os.path.join(PACKAGE, "gitguard", "gate", "client")  # what `make client` builds of client.c
_MARK = b"gitguard places\0"
_ROOM_BYTES = 4096
_GATE = ("gitguard-shell: the forced command of every key line that gitguard writes.", "gitguard.gate.main")
_HOOK = (
    "gitguard's push check: the gate refuses every push while a repository's hook differs from this.",
    "gitguard.hook.main",
)


_KEYS = ("gitguard-keys: sshd asks it for the line of a key (AuthorizedKeysCommand).", "gitguard.gate.keys")


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


class AgentPlace(NamedTuple):
    """The agent that gate and hook ask: its `socket`, "" for none; the `uid` that opens it; and whether
    nobody else can decide (`decides_alone`). `serves_keys`: sshd asks it for keys.
    """

    socket: str = ""
    uid: int = 0
    decides_alone: bool = False
    serves_keys: bool = False


NOBODY = AgentPlace()


def asked_of(settings: Settings) -> AgentPlace:
    """The agent that `settings` name. Raises Refusal for an account that is not there."""
    if not settings.agent.socket:
        return NOBODY
    uid = uid_of(settings.keeper)
    return AgentPlace(str(settings.agent.socket), uid, settings.agent_decides, settings.paths.asks_for_keys)


def launchers(places: Places, asked: AgentPlace) -> dict[str, bytes]:
    """Path -> content of each program that sshd and Git start, in the order to put them in place.

    Where there is an agent and a compiled client was built, that stands in their places, and the launchers
    beside it.
    """
    compiled = compiled_client() if asked.socket and fits_shebang(places.gate) else None
    by_python = asked if compiled is None or asked.decides_alone else NOBODY
    gate = _rendered(_GATE, places, places.gate, by_python, "g")
    hook = _rendered(_HOOK, places, places.hook, by_python, "h")
    keys = {places.keys: _rendered(_KEYS, places, places.keys, asked, "k")} if asked.serves_keys else {}
    if compiled is None:
        return {**keys, places.gate: gate, places.hook: hook}
    client = patched(compiled, asked.socket, places.gate + PYTHON, places.hook + PYTHON, str(asked.uid))
    script = _HOOK_OF_CLIENT.format(gate=places.gate, what=_HOOK[0]).encode()
    behind = {places.gate + PYTHON: gate, places.hook + PYTHON: hook}
    return {**keys, **behind, places.gate: client, places.hook: script}


def bundles(places: Places, asked: AgentPlace) -> dict[str, bytes]:
    """Path -> content of what lies beside the launchers: their modules, ready to run."""
    gate, hook = (_APART, _APART) if asked.decides_alone else (_GATE[1], _HOOK[1])
    found = {places.gate + BUNDLE: bundle(gate, PACKAGE), places.hook + BUNDLE: bundle(hook, PACKAGE)}
    if asked.serves_keys:
        found[places.keys + BUNDLE] = bundle(_KEYS[1], PACKAGE)
    if asked.socket and not asked.decides_alone:
        found[places.gate + CLIENT_BUNDLE] = bundle("gitguard.gate.client", PACKAGE)
    return found


def compiled_client() -> bytes | None:
    """The compiled client, None where none was built. Raises Refusal for a file that is something else."""
    try:
        with open(CLIENT, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    if data.count(_MARK) != 1:
        raise Refusal("usage", text=f"{CLIENT} is not the client", hint="build it again: make client")
    return data


def patched(client: bytes, *places: str) -> bytes:
    """The client with its places put in. Raises Refusal if they do not fit."""
    at = client.index(_MARK) + len(_MARK)
    data = b"".join(os.fsencode(place) + b"\0" for place in places)
    if len(_MARK) + len(data) > _ROOM_BYTES:
        raise Refusal("usage", text="the installation's paths are too long for the compiled client")
    return client[:at] + data + client[at + len(data) :]


def fits_shebang(path: str) -> bool:
    """Whether `#!PATH --hook` is a line that every kernel reads whole."""
    return len(os.fsencode(path)) + len(" --hook") <= LONGEST_SHEBANG


@cache
def _rendered(program: tuple[str, str], places: Places, place: str, asked: AgentPlace, letter: str) -> bytes:
    path = [PACKAGE, *libraries()]
    return render(program, places, place, interpreter(), path, asked=asked, letter=letter)


def example_hook() -> bytes:
    """The hook of a system installation, as hooks/pre-receive shows it to readers."""
    path = ["/opt/gitguard/lib/python3/site-packages"]
    places = places_of(SYSTEM_CONFIG)
    return render(_HOOK, places, places.hook, "/usr/bin/python3", path)


def render(
    program: tuple[str, str],
    places: Places,
    place: str,
    python: str,
    path: list[str],
    *,
    asked: AgentPlace = NOBODY,
    letter: str = "",
) -> bytes:
    """A launcher, whose bundle lies beside `place`. `path` is added behind the interpreter's own, so
    nothing there can shadow it. `asked`: the agent is asked first, as gate (`letter` g) or hook (h); one that
    decides alone is asked alone.
    """
    what, module = program
    client = ""
    arguments: tuple[object, ...] = places.of_gate
    if letter == "k":
        arguments = (asked.socket, asked.uid)
    elif asked.decides_alone:
        module, arguments = _APART, (asked.socket, asked.uid, letter)
    elif asked.socket:
        bundled = places.gate + CLIENT_BUNDLE
        client = _CLIENT.format(client=bundled, socket=asked.socket, letter=letter, owner=asked.uid)
    text = _LAUNCHER.format(
        interpreter=python, what=what, module=module, path=path, loader=LOADER.rstrip(), client=client,
        bundle=place + BUNDLE, arguments=", ".join(map(repr, arguments)),
    )  # fmt: skip
    return text.encode()


def compile_gate(say: Callable[[str], None]) -> None:
    """Compile the package to bytecode where we may write it, so that no request has to."""
    import compileall

    folder = os.path.join(PACKAGE, "gitguard")
    if os.access(folder, os.W_OK) and not compileall.compile_dir(folder, quiet=2, legacy=False):
        say("some files could not be compiled; the gate will be slower")
