"""The compiled client itself: small, bounded, clean under sanitizers, and its places put in whole."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitguard.agent import frame
from gitguard.gate import client as by_python
from gitguard.host import launcher
from gitguard.host.places import places_of
from gitguard.message.reasons import Refusal
from lab.agent_faults import Asked
from lab.hostile_agent import ANSWERS, HostileAgent
from lab.run import run

pytestmark = pytest.mark.slow
SOURCE = Path(f"{launcher.CLIENT}.c")
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
HERE = "decided by the launcher"
NO_LEAKS = "detect_leaks=0"  # nothing is allocated, and to look for leaks takes ptrace


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
        frame.BEGUN,
        frame.GATE,
        frame.HOOK,
        frame.BECOME,
        frame.LET_IN,
        frame.LEND_STREAMS,
        frame.ENDED,
        frame.DECIDE_YOURSELF,
        frame.RUN_OTHERS,
    }
    assert set(re.findall(r"'(\w)'", text)) == letters
    assert set(re.findall(r'b"(\w)"', Path(by_python.__file__).read_text())) - {"s"} <= letters


def test_places_are_put_in_whole() -> None:
    """Each once, in order; nothing behind them changes, and what does not fit is said."""
    data = Path(launcher.CLIENT).read_bytes()
    made = launcher.patched(data, "/run/a", "/gate", "/hook", "12")
    assert len(made) == len(data)
    assert b"gitguard places\0/run/a\0/gate\0/hook\x0012\0\0" in made
    assert sum(a != b for a, b in zip(made, data, strict=True)) <= len("/run/a\0/gate\0/hook\x0012\0")
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
        launcher.patched(
            sanitized, f"{short}/socket", str(tmp_path / "gate"), str(tmp_path / "hook"), str(os.geteuid())
        )
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
        env={"ASAN_OPTIONS": NO_LEAKS, **(env or {"A": "b"})},
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
    """A hook never becomes another program than its launcher, and a gate is not let in by the hook's yes."""
    become = frame.packed("x", (b"/bin/echo", b"2", b"echo", b"became", b"X=1"))
    with HostileAgent(place / "socket", become):
        assert ask(place, "--user", "a") == (0, "became\n")
        assert ask(place, "--hook", "h") == (0, f"{HERE} in\n")
    with HostileAgent(place / "socket", frame.packed("y")):
        assert ask(place, "--user", "a") == (0, f"{HERE} --user a in\n")
        assert ask(place, "--hook", "h") == (0, "")
    with HostileAgent(place / "socket", frame.packed("r")):
        assert ask(place, "--user", "a") == (0, f"{HERE} --user a in\n")
        assert ask(place, "--hook", "h") == (0, f"{HERE} --others in\n")


STATUS = {"0": 0, "12": 12, "255": 255, "": 40, "oops": 40, "256": 40, "-1": 40, "0000": 40, "7x": 40}


def _both(
    place: Path, sanitized_or_python: str, *, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    if sanitized_or_python == "compiled":
        command = [str(place / "client")]
    else:
        code = "import os, sys; sys.path.insert(0, {!r}); from gitguard.gate.client import ask; s = ask({!r}, 'g', os.geteuid()); sys.exit(99 if s is None else s)"
        command = [
            sys.executable,
            "-IS",
            "-c",
            code.format(str(SOURCE.parents[2]), str(short_of(place) / "socket")),
        ]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, check=False, timeout=20
    )


def short_of(place: Path) -> Path:
    """The same folder by a path that fits into a socket's address."""
    return next(path for path in Path("/tmp").glob(f"gg-{os.getpid()}") if path.resolve() == place.resolve())


@pytest.mark.parametrize("client", ["compiled", "python"])
def test_a_commands_status_is_a_number_or_a_fault(place: Path, client: str) -> None:
    """A success that was not said is none."""
    for text, status in STATUS.items():
        then = frame.packed("b") + frame.packed("e", (text.encode(),))
        with HostileAgent(place / "socket", frame.packed("o"), then=then):
            assert _both(place, client).returncode == status, text


@pytest.mark.parametrize("client", ["compiled", "python"])
def test_a_command_that_may_have_begun_is_not_begun_again(place: Path, client: str) -> None:
    """Cut off behind the streams, before or after the word that it began, with or without anyone who reads
    what is said: never the launcher.
    """
    for then in (frame.packed("b"), frame.packed("e"), frame.packed("x", (b"/bin/echo", b"1", b"echo"))):
        with HostileAgent(place / "socket", frame.packed("o"), then=then):
            assert _both(place, client).returncode == 40
    reading, writing = os.pipe()
    os.close(reading)
    with HostileAgent(place / "socket", frame.packed("o"), then=frame.packed("b")):
        assert _both(place, client, stderr=writing).returncode in (40, -signal.SIGPIPE)
    os.close(writing)
    for then in (frame.packed("l"), b"\0"):  # surely not: it hung up without the word
        with HostileAgent(place / "socket", frame.packed("o"), then=then):
            done = _both(place, client)
        assert HERE in done.stdout.decode() if client == "compiled" else done.returncode == 99


@pytest.mark.parametrize("client", ["compiled", "python"])
def test_an_agent_that_is_frozen_with_the_streams(place: Path, client: str) -> None:
    """No word that it began within a second: the person is told, and nobody waits for ever."""
    began = time.monotonic()
    with HostileAgent(place / "socket", frame.packed("o"), then=b""):
        assert _both(place, client).returncode == 40
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("client", ["compiled", "python"])
def test_a_limit_of_file_sizes(own: Asked, client: str) -> None:
    """ATTACK: a push of so many refs that what is kept of Git's words is cut, with a protected one first.
    EXPECTED: all of it is judged, or nothing is let in.
    """
    own.agent.client = client
    own.agent.install()
    own.server.configure(git={"enforcement": "enforced"})
    hook = own.server.directory("app") / "hooks" / "pre-receive"
    lines = b"".join(b"%s %s refs/heads/%s%d\n" % (b"0" * 40, b"1" * 40, b"x" * 40, n) for n in range(1500))

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (32768, 32768))

    for limits in (None, small):
        done = subprocess.run(
            [str(hook)], input=lines, cwd=hook.parent.parent, env={"GIT_DIR": ".", "PATH": os.environ["PATH"]},
            capture_output=True, check=False, preexec_fn=limits,
        )  # fmt: skip
        assert (done.returncode, b"[no-grant]" in done.stderr) == (10, True), done


def test_what_is_fallen_back_on_is_there_first(own: Asked) -> None:
    """`init` may be killed between two files: a client never stands without its launcher."""
    places = places_of(str(own.server.config))
    order = list(launcher.launchers(places, launcher.AgentPlace(str(own.agent.socket), os.geteuid())))
    assert order[-2:] == [places.gate, places.hook]


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
        done = subprocess.run(
            [str(tmp_path / "fuzz")],
            input=answer,
            capture_output=True,
            check=False,
            env={"ASAN_OPTIONS": NO_LEAKS},
        )
        assert (done.returncode, done.stderr) == (0, b"")
