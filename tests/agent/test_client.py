"""The compiled client itself: small, bounded, clean under sanitizers, and its places put in whole."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.agent import frame
from gitguard.gate import client as by_python
from gitguard.host import launcher
from gitguard.message.reasons import Refusal
from lab.hostile_agent import ANSWERS, HostileAgent
from lab.run import run

SOURCE = Path(f"{launcher.CLIENT}.c")
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
HERE = "decided by the launcher"


def test_it_is_small_and_libc_alone() -> None:
    """Two hundred lines; headers of the system; no allocation at all, no shell, no look-up of names."""
    text = SOURCE.read_text()
    assert text.count("\n") <= 200
    assert set(re.findall(r"#include (\S)", text)) == {"<"}
    assert not re.search(
        r"\b(malloc|calloc|realloc|alloca|system|popen|execvp|execlp|getpw\w+|dlopen|strcpy|sprintf|gets)\b",
        text,
    )


def test_both_clients_and_the_agent_mean_the_same() -> None:
    """Version, bounds and letters stand in three files."""
    text = SOURCE.read_text()
    numbers = dict(re.findall(r"\b(VERSION|LONGEST|MOST_FIELDS|LONGEST_INPUT|ANSWER_MS) = ([\d <]+)", text))
    assert int(numbers["VERSION"]) == by_python.VERSION == frame.VERSION
    assert int(numbers["LONGEST"]) == by_python.LONGEST_BYTES == frame.LONGEST_BYTES
    assert int(numbers["MOST_FIELDS"]) == by_python.MOST_FIELDS
    assert int(numbers["ANSWER_MS"]) == by_python.ANSWER_SECONDS * 1000
    megabytes, shift = map(int, numbers["LONGEST_INPUT"].split("<<"))
    assert megabytes << shift == by_python.LONGEST_INPUT
    letters = {
        frame.GATE,
        frame.HOOK,
        frame.BECOME,
        frame.LET_IN,
        frame.LEND_STREAMS,
        frame.ENDED,
        frame.DECIDE_YOURSELF,
    }
    assert set(re.findall(r"'(\w)'", text)) == letters
    assert set(re.findall(r'b"(\w)"', Path(by_python.__file__).read_text())) - {"s"} <= letters


def test_places_are_put_in_whole() -> None:
    """Each once, in order; nothing behind them changes, and what does not fit is said."""
    data = Path(launcher.CLIENT).read_bytes()
    made = launcher.patched(data, "/run/a", "/gate", "/hook")
    assert len(made) == len(data)
    assert b"gitguard places\0/run/a\0/gate\0/hook\0\0" in made
    assert sum(a != b for a, b in zip(made, data, strict=True)) <= len("/run/a\0/gate\0/hook\0")
    with pytest.raises(Refusal, match="too long"):
        launcher.patched(data, "/" + "x" * 4000, "/" + "y" * 100)


def test_a_file_that_is_no_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in its place by chance is not installed as the gate."""
    monkeypatch.setattr(launcher, "CLIENT", str(tmp_path / "client"))
    assert launcher.compiled_client() is None
    (tmp_path / "client").write_text("#!/bin/sh\n")
    with pytest.raises(Refusal, match="not the client"):
        launcher.compiled_client()


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The client under AddressSanitizer and UndefinedBehaviorSanitizer."""
    made = tmp_path_factory.mktemp("sanitized") / "client"
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    run(["cc", *STRICT, *flags, "-o", str(made), str(SOURCE)])
    return made.read_bytes()


@pytest.fixture
def place(sanitized: bytes, tmp_path: Path) -> Iterator[Path]:
    """A folder with the sanitized client, and launchers that say that they decided."""
    for name in ("gate", "hook"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {HERE} $* $(cat)\n")
        (tmp_path / name).chmod(0o755)
    os.symlink(tmp_path, short := Path(f"/tmp/gg-{os.getpid()}"))
    (tmp_path / "client").write_bytes(
        launcher.patched(sanitized, f"{short}/socket", str(tmp_path / "gate"), str(tmp_path / "hook"))
    )
    (tmp_path / "client").chmod(0o755)
    yield tmp_path
    short.unlink()


def ask(place: Path, *words: str, stdin: bytes = b"in", env: dict[str, str] | None = None) -> tuple[int, str]:
    """(status, what was said) of the client; a sanitizer's report is a failure."""
    done = subprocess.run(
        [str(place / "client"), *words],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=20,
        env=env or {"A": "b"},
        cwd=place,
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "Sanitizer" not in said, said
    assert "runtime error" not in said, said
    return done.returncode, said


@pytest.mark.parametrize("name", ANSWERS)
def test_a_lying_agent(place: Path, name: str) -> None:
    """Whatever it says that is no yes, gate and hook become their launchers, with all they were given."""
    with HostileAgent(place / "socket", ANSWERS[name]):
        assert ask(place, "--user", "a") == (0, f"{HERE} --user a in\n")
        assert ask(place, "--hook", "hooks/pre-receive") == (0, f"{HERE} in\n")


def test_the_answers_of_the_other_kind(place: Path) -> None:
    """A hook never becomes another program, and a gate is not let in by the hook's yes."""
    become = frame.packed("x", (b"/bin/echo", b"2", b"echo", b"became", b"X=1"))
    with HostileAgent(place / "socket", become):
        assert ask(place, "--user", "a") == (0, "became\n")
        assert ask(place, "--hook", "h") == (0, f"{HERE} in\n")
    with HostileAgent(place / "socket", frame.packed("y")):
        assert ask(place, "--user", "a") == (0, f"{HERE} --user a in\n")
        assert ask(place, "--hook", "h") == (0, "")
    with HostileAgent(place / "socket", frame.packed("o")):
        assert ask(place, "--hook", "h") == (0, f"{HERE} in\n")


def test_without_an_agent(place: Path) -> None:
    """No socket, too long a question, a hook with much to say: the launcher, and not a byte is lost."""
    assert ask(place) == (0, f"{HERE} in\n")
    assert ask(place, env={f"V{n}": "x" * 60000 for n in range(3)}) == (0, f"{HERE} in\n")
    with HostileAgent(place / "socket", frame.packed("l")):
        status, said = ask(place, "--hook", "h", stdin=b"x" * 3_000_000)
    assert (status, said.count("x")) == (0, 3_000_000)


def test_a_launcher_that_is_gone(place: Path) -> None:
    """A package half installed: closed, in words, by gate and hook."""
    (place / "gate").unlink()
    (place / "hook").unlink()
    for words in (["--user", "a"], ["--hook", "h"]):
        status, said = ask(place, *words)
        assert (status, said.endswith("[internal-error]\n")) == (1, True)


def test_a_client_whose_places_nobody_put_in(tmp_path: Path) -> None:
    """As it was built: closed."""
    done = run([launcher.CLIENT, "--user", "a"], status=None)
    assert (done.status, "[internal-error]" in done.err) == (1, True)


def test_the_fuzz_target_builds_and_takes_the_table(tmp_path: Path) -> None:
    """What `make fuzz` runs for ten minutes, for each answer of the table once."""
    driver = tmp_path / "driver.c"
    driver.write_text(
        "#include <stdio.h>\nint LLVMFuzzerTestOneInput(const unsigned char *, unsigned long);\n"
        "static unsigned char data[1 << 18];\n"
        "int main(void) { return LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof data, stdin)); }\n"
    )
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wno-unused-function"]
    target = str(Path(__file__).with_name("fuzz_client.c"))
    run(["cc", "-std=c11", *flags, "-o", str(tmp_path / "fuzz"), target, str(driver)])
    for answer in ANSWERS.values():
        done = subprocess.run([str(tmp_path / "fuzz")], input=answer, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
