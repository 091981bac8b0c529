"""The agent as an admin has it: put in and taken out by init, looked at by doctor, restarted, upgraded."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gitguard.agent.look import fault_of_agent
from gitguard.host import install, launcher
from gitguard.host.places import PYTHON, places_of
from lab.agent import Agent, without_compiled_client
from lab.agent_faults import Asked
from lab.run import GITGUARD, run
from lab.server import Direct
from tests.agent.conftest import by_agent, gate
from tests.agent.test_asked import READ, until

pytestmark = pytest.mark.slow


def doctor(server: Direct) -> str:
    """What it finds."""
    return run([*GITGUARD, "--config", str(server.config), "admin", "doctor"], status=None).text


def test_init_puts_it_in_and_takes_it_out(own: Asked) -> None:
    """The clients stand in the places of gate and hook while a socket is named, the launchers
    otherwise; every repository has the hook of the day.
    """
    server = own.server
    bin_, hook = server.home / "bin" / "gitguard-shell", server.home / "hooks" / "pre-receive"
    assert bin_.read_bytes().startswith(b"\x7fELF")
    assert str(own.agent.socket).encode() in bin_.read_bytes()
    assert hook.read_text().startswith(f"#!{bin_} --hook\n")
    assert bin_.with_name(bin_.name + PYTHON).read_text().startswith("#!")
    assert (server.directory("app") / "hooks" / "pre-receive").read_bytes() == hook.read_bytes()
    server.configure(agent={"socket": ""})
    server.admin("init")
    assert bin_.read_text().startswith("#!")
    assert (server.directory("app") / "hooks" / "pre-receive").read_bytes() == hook.read_bytes()
    assert b"gitguard.gate.client" not in bin_.read_bytes()
    assert own.act("whole push")[:2] == ("allowed", 0)


def test_without_a_compiler(own: Asked) -> None:
    """The launchers ask the agent themselves, by a file that imports C alone."""
    with without_compiled_client():
        found = launcher.launchers(
            places_of(str(own.server.config)), launcher.AgentPlace(str(own.agent.socket), os.geteuid())
        )
    assert len(found) == 2
    for text in found.values():
        assert b"from gitguard.gate.client import ask" in text
        assert text.count(str(own.agent.socket).encode()) == 1


def test_doctor_says_how_it_is(own: Asked) -> None:
    """It answers; it does not; neither is a gap, since gate and hook decide themselves then."""
    assert (
        "it answers on"
        in run(
            [*GITGUARD, "--config", str(own.server.config), "admin", "doctor", "--quick"], status=None
        ).text
    )
    own.agent.stop()
    said = doctor(own.server)
    assert "until it answers, gate and hook decide themselves" in said
    assert "systemctl restart gitguard-agent.socket" in said
    quick = run(
        [*GITGUARD, "--config", str(own.server.config), "admin", "doctor", "--quick"], status=None
    ).text
    assert "gate and hook decide themselves" in quick
    assert "gap" not in [line.split()[0] for line in quick.splitlines() if "agent" in line]


@pytest.mark.parametrize("what", ["gate", "hook", "gate's launcher"])
def test_doctor_sees_another_file_in_a_clients_place(own: Asked, what: str) -> None:
    """Each of the four files is compared, byte by byte."""
    home = own.server.home
    path = {"gate": home / "bin" / "gitguard-shell", "hook": home / "hooks" / "pre-receive",
            "gate's launcher": home / "bin" / f"gitguard-shell{PYTHON}"}[what]  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"x")
    assert f"{path} is not what this gitguard writes" in doctor(own.server)


def test_a_hook_whose_client_cannot_run(own: Asked) -> None:
    """Git gives it to the shell then, and its last line refuses."""
    hook = own.server.directory("app") / "hooks" / "pre-receive"
    binary = own.server.home / "bin" / "gitguard-shell"
    data = binary.read_bytes()
    binary.write_bytes(b"\x7fELF of another machine")
    assert run(["sh", str(hook)], status=None).status == 1
    status = own.act("whole push")[1]
    binary.write_bytes(data)
    assert status != 0


def test_uninstall_takes_the_hook_of_the_client_out(own: Asked) -> None:
    """It knows its own hook by either form."""
    own.server.admin("uninstall", "--yes", "--reason", "over")
    assert not (own.server.directory("app") / "hooks" / "pre-receive").exists()


def test_what_is_in_the_way_of_a_start(own: Asked) -> None:
    """Another agent, a file that is no socket, no socket named, a folder of others: said, not tidied."""
    command = [*GITGUARD, "--config", str(own.server.config), "admin", "agent"]
    assert "an agent answers on" in run(command, status=2).err
    own.agent.stop()
    own.agent.socket.write_text("mine")
    assert "is no socket" in run(command, status=2).err
    assert own.agent.socket.read_text() == "mine"
    own.agent.socket.unlink()
    own.agent.folder.chmod(0o777)
    assert "writable by others" in run(command, status=2).err
    own.agent.folder.chmod(0o700)
    own.server.configure(agent={"socket": ""})
    done = run(command, status=2)
    assert "no socket is named" in done.err
    assert "config edit" in done.err


def test_a_socket_that_is_left_over(own: Asked) -> None:
    """Killed, it leaves its socket behind; the next one takes the place."""
    own.agent.stop(signal.SIGKILL)
    assert own.agent.socket.exists()
    own.agent.start()
    assert by_agent(own, READ)
    assert own.agent.stop() == 0
    assert not own.agent.socket.exists()


def test_the_console_script(own: Asked) -> None:
    """`gitguard-agent --config FILE --workers 1` is the same command."""
    own.agent.stop()
    code = "import sys; sys.argv[0] = 'gitguard-agent'; from gitguard.__main__ import agent; agent()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--config", str(own.server.config), "--workers", "1"],
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith(f"gitguard: answering on {own.agent.socket} with 1 ".encode())
    assert by_agent(own, READ)
    process.terminate()
    assert process.wait(10) == 0
    process.stderr.close()


CLIENTS = 4


class Load:
    """Reads, one after the other in four processes, for as long as the block lasts."""

    def __init__(self, site: Asked) -> None:
        words = " ".join(f"'{word}'" for word in site.server.ssh_command(site.alice, READ.replace("'", "")))
        loop = f"n=0; while [ ! -e {site.tree}/stop ]; do {words} </dev/null >/dev/null 2>&1; s=$?; "
        # what is counted is statuses other than git's "the client hung up"
        loop += "[ $s = 128 ] || echo $s; n=$((n+1)); done; echo $n >&2"
        self._stop = site.tree / "stop"
        self._processes = [
            subprocess.Popen(["sh", "-c", loop], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(CLIENTS)
        ]

    def end(self) -> tuple[int, list[bytes]]:
        """(how many there were, what went wrong)."""
        self._stop.touch()
        said = [process.communicate(timeout=20) for process in self._processes]
        self._stop.unlink()
        return sum(int(err) for _, err in said), [line for out, _ in said for line in out.split()]


def _lines(site: Asked) -> int:
    return len(site.server.log())


@pytest.mark.parametrize("what", ["killed workers", "reload", "init", "restart"])
def test_nothing_is_lost(own: Asked, what: str) -> None:
    """Under load: every read is let in, and has one line, whatever happens to the agent meanwhile."""
    before = _lines(own)
    load = Load(own)
    until(lambda: _lines(own) > before + 20)
    workers = set(own.agent.workers_of)
    if what == "killed workers":
        own.agent.tell(signal.SIGKILL, workers=True)
        until(lambda: own.agent.workers_of and not workers & set(own.agent.workers_of))
    elif what == "reload":
        own.agent.tell(signal.SIGHUP)
        until(lambda: own.agent.workers_of and not workers & set(own.agent.workers_of))
    elif what == "init":
        own.server.admin("init")
        until(lambda: own.agent.workers_of and not workers & set(own.agent.workers_of))
    else:
        assert own.agent.stop() == 0
        own.agent.start()
    own.agent.wait()
    after = _lines(own)
    until(lambda: _lines(own) > after + 20)
    count, wrong = load.end()
    assert wrong == []
    lines = own.server.log()[before:]
    assert {line["verdict"] for line in lines} == {"allowed"}
    if what == "killed workers":
        # One may have been said and not heard, and each client may have given up the very moment that it was
        # said: then its launcher said it again.
        assert count <= len(lines) <= count + len(workers) + CLIENTS
    else:
        assert len(lines) == count


def test_init_makes_it_begin_anew(own: Asked) -> None:
    """With what is installed now, on the same socket, as the same process."""
    pid, workers, inode = own.agent.pid, own.agent.workers_of, own.agent.socket.stat().st_ino
    own.server.admin("init")
    gate(own, READ)
    until(lambda: own.agent.workers_of and not set(workers) & set(own.agent.workers_of))
    own.agent.wait()
    assert (own.agent.pid, own.agent.socket.stat().st_ino) == (pid, inode)
    assert by_agent(own, READ)


def test_another_socket_by_the_configuration(own: Asked) -> None:
    """Named anew and installed: the agent moves, and leaves no socket behind."""
    before = own.agent.socket
    own.agent.socket = own.agent.folder / "other.socket"
    own.server.configure(agent={"socket": str(own.agent.socket)})
    own.server.admin("init")  # nobody asks the old one any more: it sees so by itself
    own.agent.wait()
    assert not before.exists()
    assert by_agent(own, READ)


def test_in_the_middle_of_an_upgrade(own: Asked) -> None:
    """What cannot be loaded is not begun anew with: who runs stays, and the launchers decide meanwhile."""
    package = own.server.folder / "half" / "gitguard"
    package.mkdir(parents=True)
    own.agent.stop()
    own.agent.environment = {"PYTHONPATH": str(package.parent)}
    own.agent.start()  # from the folder that we are in, which comes first
    (package / "__init__.py").write_text("raise ImportError('half')\n")
    pid = own.agent.pid
    own.server.admin("init")
    for _ in range(3):
        assert not by_agent(own, READ)  # outdated, and nothing newer to be had
    assert gate(own, READ).returncode == 128
    shutil.rmtree(package)
    until(lambda: by_agent(own, READ))
    assert own.agent.pid == pid
    own.agent.wait()


def _handed_over(own: Asked, name: str) -> subprocess.Popen[bytes]:
    """As systemd starts it: the socket as the third handle."""
    import socket

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(own.agent.socket))
    listener.listen(64)
    line = f'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name} exec "$@"'
    command = [*GITGUARD, "--config", str(own.server.config), "admin", "agent"]
    process = subprocess.Popen(
        ["sh", "-c", line, "sh", *command], pass_fds=[3], preexec_fn=lambda: os.dup2(listener.fileno(), 3)
    )
    listener.close()
    return process


def test_socket_activation(own: Asked) -> None:
    """On the socket that was handed over, which stays where it is at the end."""
    own.agent.stop()
    process = _handed_over(own, "gitguard-agent.socket")
    until(lambda: fault_of_agent(str(own.agent.socket)) == "")
    assert by_agent(own, READ)
    process.send_signal(signal.SIGHUP)
    until(lambda: fault_of_agent(str(own.agent.socket)) == "")
    process.terminate()
    assert process.wait(10) == 0
    assert own.agent.socket.exists()


def test_who_waits_for_the_word_that_it_is_ready(own: Asked, tmp_path: Path) -> None:
    """sd_notify(3): systemd lets requests in once it answers."""
    import socket

    own.agent.stop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        place = own.agent.folder / "notify"
        channel.bind(str(place))
        channel.settimeout(20)
        own.agent.environment = {"NOTIFY_SOCKET": str(place)}
        own.agent.start(wait=False)
        assert channel.recv(100) == b"READY=1"
    own.agent.wait()


def test_an_agent_whose_socket_was_taken_away(own: Asked) -> None:
    """Nobody reaches it any more, so it ends; it takes nothing away that is another's by then."""
    own.agent.socket.unlink()
    second = Agent(own.server)
    second.socket.parent.rmdir()
    second.folder, second.socket, second.log = own.agent.folder, own.agent.socket, own.agent.log
    second.start()
    assert own.agent._process is not None
    assert own.agent._process.wait(10) == 0
    assert own.agent.socket.exists()
    assert by_agent(own, READ)
    second.stop()


def test_a_worker_of_the_old_code_is_outdated(own: Asked) -> None:
    """ATTACK on the upgrade: `init` ran, and a worker that is forked later is of the old code all the same.
    EXPECTED: it answers nothing, and the agent begins anew.
    """
    workers = own.agent.workers_of
    os.utime(own.server.home / "bin" / "gitguard-shell")
    own.agent.tell(signal.SIGKILL, workers=True)
    until(lambda: own.agent.workers_of and not set(workers) & set(own.agent.workers_of))
    own.agent.wait()
    assert own.agent.log.read_text().count("answering on") == 2


@pytest.mark.parametrize("what", ["broken", "without a socket"])
def test_a_configuration_that_nobody_can_begin_with(own: Asked, what: str) -> None:
    """Told to begin anew it stays, until the configuration can be read and names a socket."""
    good = own.server.config.read_text()
    pid, said = own.agent.pid, own.agent.log.read_text().count("answering on")
    own.server.config.write_text("[nonsense" if what == "broken" else good.replace(str(own.agent.socket), ""))
    own.agent.tell(signal.SIGHUP)
    with pytest.raises(AssertionError):
        until(lambda: own.agent.log.read_text().count("answering on") > said, 2)
    os.kill(pid, 0)
    own.server.write(good)
    own.agent.tell(signal.SIGHUP)
    until(lambda: own.agent.log.read_text().count("answering on") > said)
    own.agent.wait()
    assert own.agent.pid == pid


def test_it_was_started_by_a_relative_name(own: Asked) -> None:
    """Begun anew from where it was begun."""
    own.agent.stop()
    command = [sys.executable, "-m", "gitguard", "--config", own.server.config.name, "admin", "agent"]
    process = subprocess.Popen(command, cwd=own.server.config.parent, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"answering on" in process.stderr.readline()
    process.send_signal(signal.SIGHUP)
    assert b"answering on" in process.stderr.readline()
    process.terminate()
    assert process.wait(10) == 0
    process.stderr.close()


def test_a_unit_that_is_older_than_the_configuration(
    own: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may be written and reached stands in the unit: doctor compares the one that is installed."""
    from gitguard.config.parse import read_settings
    from gitguard.doctor import agent as look

    monkeypatch.setattr(look, "INSTALLED", str(tmp_path))
    places = places_of(str(own.server.config))
    settings = read_settings(str(own.server.config))
    unit = tmp_path / "gitguard-agent.service"
    unit.write_bytes((Path(places.units) / unit.name).read_bytes())
    assert "agent-unit" not in [finding.name for finding in look.agent_findings(settings, places)]
    unit.write_text("[Service]\n")
    (found,) = [finding for finding in look.agent_findings(settings, places) if finding.name == "agent-unit"]
    assert found.remedy == f"cp {places.units}/{unit.name} {tmp_path}/ && systemctl daemon-reload"


def test_init_by_someone_who_may_not_touch_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root installed it and nothing changed: the account's own `init` keeps it, and comes to its end."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    tmp_path.chmod(0o700)
    account = pwd.getpwuid(os.geteuid()).pw_name
    options = install.InitOptions(
        str(tmp_path / "home" / "gitguard.toml"),
        account,
        str(tmp_path / "r"),
        "h",
        22,
        str(tmp_path / "keys" / "k"),
    )
    said: list[str] = []
    install.install(options, said.append, "", lambda _: None)
    monkeypatch.setattr(os, "utime", refused)
    install.install(options, said.append, "", lambda _: None)
    assert any(line.startswith("kept") and line.endswith("gitguard-shell") for line in said)
