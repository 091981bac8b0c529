"""The gate's modules in one file: quicker, and never other than the files that are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gitguard.host.bundle import LOADER, bundle, same

ROOT = Path(__file__).resolve().parents[2]

_PROBE = """
import sys
sys.path += [{package!r}]
{loader}
try:
    load({path!r})
except Exception as error:
    print("long way:", type(error).__name__)
    for name in [name for name in sys.modules if name.partition(".")[0] == "gitguard"]:
        del sys.modules[name]
print(len([name for name in sys.modules if name.startswith("gitguard")]))
from gitguard.session.scope import SCOPES
import gitguard.session.scope
print(SCOPES, gitguard.session.scope.__file__, "re" in sys.modules)
from gitguard.gate.main import main
import gitguard.session.moment  # one that the bundle holds, by the other way
from gitguard.message.moments import clock  # one that it does not hold
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that a test may edit."""
    shutil.copytree(
        ROOT / "gitguard", tmp_path / "lib" / "gitguard", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path / "lib"


def started(package: Path, path: Path) -> list[str]:
    """What a fresh interpreter says that loads the bundle as a launcher does."""
    probe = _PROBE.format(loader=LOADER, package=str(package), path=str(path))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", probe], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_bundle_holds_what_the_gate_imports(package: Path, tmp_path: Path) -> None:
    """Every module that the gate loads comes from the bundle, names its file, and lets
    others be imported beside it.
    """
    path = tmp_path / "bundle"
    path.write_bytes(bundle("gitguard.gate.main", str(package)))
    count, shown = started(package, path)
    assert int(count) > 25
    assert str(package / "gitguard" / "session" / "scope.py") in shown
    assert shown.endswith("False")


def test_an_edited_file_is_imported_and_not_the_bundle(package: Path, tmp_path: Path) -> None:
    """A package that was upgraded without `init` never runs by what it was before."""
    path = tmp_path / "bundle"
    path.write_bytes(bundle("gitguard.gate.main", str(package)))
    source = package / "gitguard" / "session" / "scope.py"
    source.write_text(source.read_text() + '\nSCOPES = ("another",)\n')
    count, shown = started(package, path)
    assert (count, shown.startswith("('another',)")) == ("0", True)


def _of_the_same_size(package: Path) -> None:
    source = package / "gitguard" / "session" / "scope.py"
    text = source.read_text().replace('"address", "key"', '"ADDRESS", "KEY"', 1)
    before = source.stat()
    source.unlink()
    source.write_text(text)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_put_in_place_with_the_old_time_and_size_is_another(package: Path, tmp_path: Path) -> None:
    """As a package manager that keeps times would: the inode tells."""
    path = tmp_path / "bundle"
    path.write_bytes(bundle("gitguard.gate.main", str(package)))
    kept = package / "gitguard" / "session" / "kept"
    os.link(package / "gitguard" / "session" / "scope.py", kept)  # or the new file might get the old inode
    _of_the_same_size(package)
    assert started(package, path)[-1].startswith("('ADDRESS'")


def test_a_file_changed_in_place_with_its_size_and_time_kept_is_another(
    package: Path, tmp_path: Path
) -> None:
    """ATTACK: the very file is written over, as long as before, and its time set back. EXPECTED: the
    time that nobody can set tells.
    """
    path = tmp_path / "bundle"
    path.write_bytes(bundle("gitguard.gate.main", str(package)))
    source = package / "gitguard" / "session" / "scope.py"
    before = source.stat()
    with open(source, "r+") as file:
        text = file.read().replace('"address", "key"', '"ADDRESS", "KEY"', 1)
        file.seek(0)
        file.write(text)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (source.stat().st_ino, source.stat().st_size) == (before.st_ino, before.st_size)
    assert started(package, path)[-1].startswith("('ADDRESS'")


def _missing(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _of_another_python(path: Path) -> None:
    path.write_bytes(b"30400f0\n" + path.read_bytes().partition(b"\n")[2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_missing, _cut, _of_another_python, _empty])
def test_a_spoilt_bundle_costs_time_alone(
    package: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """Missing, cut, another Python's, empty: the modules are imported the long way."""
    path = tmp_path / "bundle"
    path.write_bytes(bundle("gitguard.gate.main", str(package)))
    spoil(path)
    lines = started(package, path)
    assert lines[-2] == "0"
    assert lines[-1].startswith("('address'")


def test_sameness_is_of_modules_not_of_bytes(package: Path) -> None:
    """Two bundles of the same files are the same; of another program, or of garbage, they are not."""
    one = bundle("gitguard.gate.main", str(package))
    assert same(one, bundle("gitguard.gate.main", str(package)))
    assert not same(one, bundle("gitguard.hook.main", str(package)))
    assert not same(b"", one)
    assert not same(one, b"garbage")
    assert not same(one.partition(b"\n")[0] + b"\n\xff", one)
