"""The gate imports almost nothing, and every room keeps to its place."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "gitguard"

# Built in or C extensions; what the bare interpreter has loaded before is not counted.
GATE_MAY_IMPORT = {
    "_blake2",
    "_functools",
    "_json",
    "_operator",
    "_sqlite3",
    "_stat",
    "marshal",
    "posix",
    "time",
}

_PROBE = """
import sys
before = set(sys.modules)
sys.path.insert(0, {root!r})
import {module}
print("\\n".join(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize(
    ("module", "may_import"),
    [
        ("gitguard.gate.main", GATE_MAY_IMPORT),
        ("gitguard.hook.main", GATE_MAY_IMPORT),
        ("gitguard.gate.client", {"_socket", "posix", "time"}),
    ],
)
def test_the_gate_imports_its_own_few_files_and_c_alone(module: str, may_import: set[str]) -> None:
    """In a fresh interpreter, as the launcher starts it: no re, no json, no typing, no hashlib."""
    probe = _PROBE.format(root=str(ROOT), module=module)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", probe], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    foreign = {name for name in loaded if not name.startswith("gitguard")}
    assert foreign <= may_import, foreign - may_import
    own = {
        name
        for name in loaded
        if name.startswith("gitguard") and not (PACKAGE / Path(*name.split(".")[1:]) / "__init__.py").exists()
    }
    listed = (ROOT / "docs" / "architecture.md").read_text()
    for name in own:
        assert f"`{'/'.join(name.split('.')[1:])}.py`" in listed, (
            f"{name} is not named among the gate's files"
        )


def modules() -> list[tuple[str, ast.Module]]:
    """Every module of the package, parsed."""
    return [
        (str(path.relative_to(PACKAGE)), ast.parse(path.read_text()))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def imports(tree: ast.Module) -> set[str]:
    """The modules that a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


ENTRIES = ("gate", "hook", "cli", "client")

# From the ground up: a room imports rooms of lower floors only. Rooms of one floor do not know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("message", "verbs"),
    ("identity", "machine"),
    ("session",),
    ("policy",),
    ("config", "store"),
    ("repository", "factor"),
    ("host",),
    ("importers",),
    ("decision",),
    ("answer",),
    ("action",),
    ("agent",),
    ("doctor", "web"),
    ("command_line",),
    ENTRIES,
    ("__main__",),
)


def room(path: str) -> str:
    """The room that a file lies in."""
    return path.split(os.sep, maxsplit=1)[0].removesuffix(".py")


def test_entries_do_not_use_each_other() -> None:
    """An entry point uses the rooms below. The gate alone hands its own
    commands on to cli, in one function.
    """
    for path, tree in modules():
        used = {name.split(".")[1] for name in imports(tree) if name.startswith("gitguard.")}
        if room(path) in ENTRIES:
            others = (used & set(ENTRIES)) - {room(path)}
            assert others <= ({"cli"} if path == os.path.join("gate", "main.py") else set()), path


def used_by() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports, at any depth; a package stands for its own file."""
    parsed = modules()
    names = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".").removesuffix("__init__"): tree
        for path, tree in ((path.replace(os.sep, "/"), tree) for path, tree in parsed)
    }
    wanted = {
        name: {found.removeprefix("gitguard.") for found in imports(tree) if found.startswith("gitguard.")}
        for name, tree in names.items()
    }
    return {name: (found & set(names)) - {name} for name, found in wanted.items()}


def test_a_room_uses_lower_floors_only() -> None:
    """From the ground up, and every room has its floor: a new one says where it stands.
    Entries have their own rule.
    """
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    for module, used in used_by().items():
        here = module.split(".")[0]
        if not here:
            continue
        assert here in floor, f"{here} has no floor in FLOORS"
        for other in used:
            there = other.split(".")[0]
            if there != here and not (here in ENTRIES and there in ENTRIES):
                assert floor[there] < floor[here], f"{module} imports {other}, which is no lower floor"


def test_no_two_files_import_each_other() -> None:
    """Nor by a way round: no circle of files. An import inside a function counts, since
    it is a circle all the same.
    """
    graph = used_by()
    done: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                # A package's own file lists its parts by name, and loads them when they are asked for.
                if not other.startswith(name + "."):
                    follow(other, (*way, name))
            done.add(name)

    for name in sorted(graph):
        follow(name, ())


def test_libraries_stay_in_their_rooms() -> None:
    """Click in command lines only, cryptography and the database driver each in one file."""
    homes = {
        "click": ("cli", "client", "command_line", "__main__"),
        "cryptography": ("factor/keyring.py",),
        "sqlite3": ("store/sqlite.py",),
        "_sqlite3": ("store/driver.py",),
        "pyotp": ("factor/totp.py",),
        "segno": ("cli/qr.py", "web/set_up.py"),
        "flask": ("web",),
        "flask_wtf": ("web",),
        "werkzeug": ("web",),
        "jinja2": ("web",),
        "markupsafe": ("web",),
        "gunicorn": ("web/serving.py", "web/worker.py"),
        "tomli_w": ("host/install.py", "cli/admin/export.py"),
    }
    for path, tree in modules():
        for name in imports(tree):
            library = name.split(".")[0]
            if library in homes:
                assert room(path) in homes[library] or path.replace(os.sep, "/") in homes[library], (
                    path,
                    name,
                )


def test_values_are_structs_or_named_tuples() -> None:
    """Msgspec decodes in config alone; elsewhere it makes values, at a fortieth of what a
    dataclass takes at each start.
    """
    values = {"Struct", "field", "to_builtins", "structs", "structs.replace"}
    for path, tree in modules():
        used = imports(tree)
        assert not {name for name in used if name.startswith("dataclasses")}, path
        if room(path) != "config":
            found = {name.partition(".")[2] for name in used if name.startswith("msgspec.")}
            assert found <= values, (path, found)


def test_the_page_decides_nothing() -> None:
    """No transaction and no record in web/: what changes something is an action, for a
    terminal and a browser alike.
    """
    for path, tree in modules():
        if room(path) == "web":
            called = {
                node.func.attr
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            }
            assert not called & {"writing", "record"}, path


def test_the_client_needs_click_alone() -> None:
    """The workstation's side loads without any of the server's libraries."""
    probe = (
        "import sys\n"
        "for name in ('cryptography', 'msgspec', 'pyotp', 'segno', 'tomli_w', 'flask', 'gunicorn'): sys.modules[name] = None\n"
        "import importlib, pkgutil\n"
        "import gitguard.__main__ as m, gitguard.client as client\n"
        "for found in pkgutil.iter_modules(client.__path__): importlib.import_module(f'gitguard.client.{found.name}')\n"
        "sys.exit(m.run(m.root(), ['--help'], 'gitguard'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "verify" in done.stdout
