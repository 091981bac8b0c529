"""The gate's own modules in one file, ready to run: to look for some thirty small
files costs a third of a request.

The launcher believes a bundle only while every file in it is, by inode, size and times (the one that nobody
can set among them), the one that is there; anything else is imported the long way. So it can be old or
missing, and never wrong; the folder that holds it is the launcher's own.
"""

from __future__ import annotations

import ast
import marshal
import os
import sys
from functools import cache
from types import CodeType

Row = tuple[str, str, str, tuple[int, int, int, int], CodeType]

# What stands in a launcher to load a bundle's modules. It knows nothing of ours but the bundle's path.
LOADER = """\
def load(path):
    import marshal
    import posix

    with open(path, "rb", 0) as file:
        data = file.read()
    stamp = b"%x\\n" % sys.hexversion
    modules = marshal.loads(memoryview(data)[len(stamp):]) if data.startswith(stamp) else ()
    for _, source, _, seen, _ in modules:
        entry = posix.stat(source)
        if seen != (entry.st_ino, entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns):
            return
    for name, source, folder, _, code in modules:
        module = sys.modules[name] = type(sys)(name)
        module.__file__ = source
        if folder:
            module.__path__ = [folder]
        exec(code, module.__dict__)
        above, _, last = name.rpartition(".")
        if above:
            setattr(sys.modules[above], last, module)
"""


def bundle(entry: str, package: str) -> bytes:
    """The module `entry` with every module of ours that it imports at its top, for this very interpreter.

    `package` is the folder that holds `gitguard/`. Each row: name, file, folder (of a package, else ""), what
    tells the file from another version, code. Raises OSError.
    """
    rows: dict[str, Row] = {}

    def add(name: str) -> None:
        if name in rows or name in above:
            return
        above.append(name)
        if "." in name:
            add(name.rpartition(".")[0])
        path = os.path.join(package, *name.split("."))
        folder = path if os.path.isdir(path) else ""
        source = os.path.join(path, "__init__.py") if folder else f"{path}.py"
        found = os.stat(source)
        seen = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        imports, code = _compiled(source, seen)
        for imported in imports:
            add(imported)
        rows[name] = (name, source, folder, seen, code)

    above: list[str] = []
    add(entry)
    return b"%x\n" % sys.hexversion + marshal.dumps(tuple(rows.values()))


def same(one: bytes, other: bytes) -> bool:
    """Whether two bundles hold the same modules; the bytes alone may differ by how strings were shared."""
    if one == other:
        return True
    stamp, _, rest = one.partition(b"\n")
    if not other.startswith(stamp + b"\n"):
        return False
    try:
        return bool(marshal.loads(rest) == marshal.loads(other[len(stamp) + 1 :]))  # noqa: S302 - read, never run
    except (ValueError, EOFError, TypeError):
        return False


@cache
def _compiled(source: str, seen: tuple[int, int, int, int]) -> tuple[list[str], CodeType]:
    """(the modules of ours that it imports, its code) of a file, which gate and hook share
    most of; `seen` is its version.
    """
    del seen
    with open(source, "rb") as file:
        text = file.read()
    return _imported(ast.parse(text)), compile(text, source, "exec", dont_inherit=True, optimize=2)


def _imported(tree: ast.Module) -> list[str]:
    """The modules of ours that a module imports while it is loaded."""
    return [
        node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "gitguard"
    ]
