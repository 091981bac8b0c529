"""The second column of the budgets: the same requests with an agent, by the compiled client and by the Python
one.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from lab.agent import Agent
from lab.server import Person

if TYPE_CHECKING:
    from bench.run import Installation, Row

CLIENTS = 50
EACH = 8
WORKERS_MOST_MB = 12.0


def measure_agent(
    site: Installation,
    small: Installation,
    large: Installation,
    other: tuple[list[str], dict[str, str]] | None,
    people: list[tuple[str, str]],
    *,
    quick: bool,
) -> list[Row]:
    """(what, ratio, budget, whether it is a minimum, note) of each row. `other`: gitolite-shell, where there
    is one.
    """
    from bench.run import measure_together

    rows = _with_python_client(site)
    without = _throughput(site)
    with Agent(site.server) as agent:
        rows += _gate(site, other)
        rows += _over_sshd(site)
        rows.append(_decisions(site, without))
        rows.append(_verify(site, agent, 5 if quick else 40))
        rows.append(measure_together(site, people, 1.5, "agent: "))
        rows.append(_weight(site, agent, 500 if quick else 5000))
    with Agent(small.server), Agent(large.server):
        rows += _large(small, large)
    return rows


def _gate(site: Installation, other: tuple[list[str], dict[str, str]] | None) -> list[Row]:
    from bench.run import PYTHON, interleaved, process

    bare = {"PATH": "/usr/bin:/bin"}
    git_shell = ["git-shell", "-c", f"git-upload-pack '{site.server.directory('closed')}'"]
    sides = {
        "bare": process([PYTHON, "-I", "-S", "-c", "pass"], bare),
        "true": process(["/bin/true"], bare),
        "allowed": process(*site.gate("closed", "/bin/true")),
        "git_shell": process(git_shell, bare),
        "gated": process(*site.gate("closed")),
    }
    if other is not None:
        sides["gitolite"] = process(*other)
    t = interleaved(300, **sides)
    ours = t["allowed"] - t["true"]
    rows: list[Row] = [
        (
            "agent: gate by the compiled client, over the bare interpreter",
            ours / t["bare"],
            0.20,
            False,
            f"{ours * 1000:.2f} ms",
        )
    ]
    if other is not None:
        ours, theirs = t["gated"] - t["git_shell"], t["gitolite"] - t["git_shell"]
        note = f"{ours * 1000:.2f} ms against {theirs * 1000:.2f} ms"
        rows.append(
            ("agent: gate over git-shell, against gitolite-shell over it", ours / theirs, 0.05, False, note)
        )
    return rows


def _with_python_client(site: Installation) -> list[Row]:
    from bench.run import PYTHON, interleaved, process

    bare = {"PATH": "/usr/bin:/bin"}
    with Agent(site.server, client="python"):
        t = interleaved(
            200,
            bare=process([PYTHON, "-I", "-S", "-c", "pass"], bare),
            true=process(["/bin/true"], bare),
            allowed=process(*site.gate("closed", "/bin/true")),
        )
    site.server.configure(agent={"socket": ""})
    site.server.admin("init")
    ours = t["allowed"] - t["true"]
    return [
        (
            "agent: gate by the Python client, over the bare interpreter",
            ours / t["bare"],
            1.10,
            False,
            f"{ours * 1000:.2f} ms",
        )
    ]


def _over_sshd(site: Installation) -> list[Row]:
    from bench.run import interleaved

    server, alice, stranger = site.server, site.alice, site.stranger
    gated_url, plain_url = server.url("closed"), site.plain_url()

    def ls_remote(person: Person, url: str) -> Callable[[int], None]:
        def side(_: int) -> None:
            server.git(person, "ls-remote", url, status=0)

        return side

    def push(person: Person, url: str) -> Callable[[int], None]:
        def side(number: int) -> None:
            server.git(person, "push", "--quiet", url, f"HEAD:refs/heads/a{number}", cwd=site.tree, status=0)

        return side

    def crowd(side: Callable[[int], None]) -> Callable[[int], None]:
        def together(_: int) -> None:
            with ThreadPoolExecutor(CLIENTS) as pool:
                list(pool.map(side, range(CLIENTS)))

        return together

    gated, ungated = ls_remote(alice, gated_url), ls_remote(stranger, plain_url)
    t = interleaved(100, gated=gated, ungated=ungated)
    note = f"{t['gated'] * 1000:.0f} ms against {t['ungated'] * 1000:.0f} ms"
    rows: list[Row] = [
        (
            "agent: git ls-remote over sshd, against git-shell alone",
            t["gated"] / t["ungated"],
            1.02,
            False,
            note,
        )
    ]
    t = interleaved(60, gated=push(alice, gated_url), ungated=push(stranger, plain_url))
    note = f"{t['gated'] * 1000:.0f} ms against {t['ungated'] * 1000:.0f} ms"
    rows.append(
        ("agent: git push over sshd, against git-shell alone", t["gated"] / t["ungated"], 1.03, False, note)
    )
    t = interleaved(12, gated=crowd(gated), ungated=crowd(ungated))
    note = f"{CLIENTS / t['gated']:.1f}/s against {CLIENTS / t['ungated']:.1f}/s"
    rows.append(
        (
            f"agent: {CLIENTS} clients at once, against git-shell alone",
            t["ungated"] / t["gated"],
            0.98,
            True,
            note,
        )
    )
    return rows


def _throughput(site: Installation) -> float:
    """Decisions in a second, of 50 shells that start the gate again and again."""
    command, env = site.gate("closed", "/bin/true")
    words = " ".join(f"'{word}'" for word in command)
    loop = f"for n in {' '.join(map(str, range(EACH)))}; do {words}; done"
    began = time.perf_counter()
    shells = [
        subprocess.Popen(["/bin/sh", "-c", loop], env=env, stdin=subprocess.DEVNULL) for _ in range(CLIENTS)
    ]
    if any(shell.wait() for shell in shells):
        sys.exit("bench: a read was refused")
    return CLIENTS * EACH / (time.perf_counter() - began)


def _decisions(site: Installation, without: float) -> Row:
    with_agent = statistics.median(_throughput(site) for _ in range(5))
    note = f"{with_agent:.0f}/s against {without:.0f}/s"
    return ("agent: decisions of 50 clients, against the gate's without", with_agent / without, 8, True, note)


def _verify(site: Installation, agent: Agent, rounds: int) -> Row:
    """CPU of clients, workers and their commands, which a worker buries within a second."""
    from bench.run import PYTHON, cpu_seconds

    command, _ = site.gate("closed")
    bare = statistics.mean(
        cpu_seconds([PYTHON, "-I", "-S", "-c", "pass"], {"PATH": "/usr/bin:/bin"}) for _ in range(rounds)
    )
    before, ours = _cpu(agent), 0.0
    for _ in range(rounds):
        site.server.clear_watermark(site.alice)
        ours += cpu_seconds(command, site.own("2fa verify"), site.server.fresh_code(site.alice) + "\n")
    time.sleep(1.5)
    spent = (ours + _cpu(agent) - before) / rounds
    note = f"{spent * 1000:.1f} ms against {bare * 1000:.1f} ms"
    return ("agent: 2fa verify, CPU over the bare interpreter", spent / bare, 1.5, False, note)


def _cpu(agent: Agent) -> float:
    """Seconds of the workers and the commands that they buried, in the kernel's ticks."""
    ticks = 0
    for pid in agent.workers_of:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime of proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def _weight(site: Installation, agent: Agent, rounds: int) -> Row:
    """A worker's memory (Pss) after many requests."""
    command, env = site.gate("closed", "/bin/true")
    words = " ".join(f"'{word}'" for word in command)
    loop = f"n=0; while [ $n -lt {rounds} ]; do {words}; n=$((n+1)); done"
    subprocess.run(["/bin/sh", "-c", loop], env=env, stdin=subprocess.DEVNULL, check=True)
    most = 0
    for pid in agent.workers_of:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                most = max(most, int(line.split()[1]))
    return (
        f"agent: a worker after {rounds} requests, over 12 MB",
        most / 1024 / WORKERS_MOST_MB,
        1.0,
        False,
        f"{most / 1024:.1f} MB",
    )


def _large(small: Installation, large: Installation) -> list[Row]:
    from bench.run import interleaved, process

    t = interleaved(
        300,
        small=process(*small.gate("closed", "/bin/true")),
        large=process(*large.gate("closed", "/bin/true")),
    )
    note = f"{t['large'] * 1000:.2f} ms against {t['small'] * 1000:.2f} ms"
    rows: list[Row] = [
        (
            "agent: gate at 10 000 users and 1 000 rules, against 10 and none",
            t["large"] / t["small"],
            1.08,
            False,
            note,
        )
    ]
    verbs = ("2fa status", "2fa repo show r7", "2fa verify --if-needed --for r7", "2fa")
    t = interleaved(16, **{verb: process(large.gate("closed")[0], large.own(verb)) for verb in verbs})
    slowest = max(t, key=lambda verb: t[verb])
    rows.append(
        (
            "agent: slowest verb of a person's, over 1 s, at that size",
            t[slowest],
            1.0,
            False,
            f"{t[slowest] * 1000:.0f} ms, {slowest}",
        )
    )
    return rows
