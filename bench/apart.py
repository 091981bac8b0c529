"""What keys that sshd asks for cost at a login, and what an account of the agent's own costs a request: on a
whole server of its own, which takes root (lab/host.py). Prints rows as JSON for bench/run.py.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

from lab.apart import ApartHost
from lab.host import CAN, SOURCE, inside
from lab.run import run

KEYS = 10_000
LOGINS = 12
REQUESTS = 120


def measure_apart(*, quick: bool) -> list[tuple[str, float, float, bool, str]]:
    """The rows, measured in a process of their own; none where nobody can make a server of its own."""
    if not CAN:
        return []
    command = [sys.executable, "-m", "bench.apart", *(["--quick"] if quick else [])]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True)
    return [
        (what, ratio, budget, least, said) for what, ratio, budget, least, said in json.loads(done.stdout)
    ]


def main() -> None:
    """Measure, and print the rows."""
    inside("bench.apart")
    quick = "--quick" in sys.argv
    host = ApartHost()
    try:
        host.install("--drop-in")
        host.start()
        host.admin("repo", "create", "team/app")
        host.add_user("alice")
        host.part()
        host.enroll(host.people["alice"])
        rows = [_request(host, 30 if quick else REQUESTS), _login(host, 4 if quick else LOGINS)]
    finally:
        host.stop()
    print(json.dumps(rows))


def _request(host: ApartHost, times: int) -> tuple[str, float, float, bool, str]:
    """An allowed read by the Git account's gate, over the bare interpreter; git-shell's own is taken off."""
    alice = host.people["alice"]
    become = ["setpriv", "--reuid=git", "--regid=git", "--init-groups", "env", "-i", "-C", "/"]
    told = [
        "SSH_ORIGINAL_COMMAND=git-upload-pack team/app",
        "SSH_CONNECTION=127.0.0.1 1 127.0.0.1 22",
        "PATH=/usr/bin:/bin",
    ]
    gate = ["/usr/local/lib/gitguard/gitguard-shell", "--user", "alice", "--key", alice.fingerprint]
    directory = host.repositories / "team" / "app.git"
    sides = {
        "bare": [*become, host.python, "-I", "-S", "-c", "pass"],
        "nothing": [*become, "/bin/true"],
        "git_shell": [*become, "git-shell", "-c", f"git-upload-pack '{directory}'"],
        "gate": [*become, *told, *gate],
    }
    times_of: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(times):
        for name, command in sides.items():
            began = time.perf_counter()
            subprocess.run(command, input=b"0000", capture_output=True, check=False)
            times_of[name].append(time.perf_counter() - began)
    t = {name: statistics.median(found) for name, found in times_of.items()}
    ours, bare = t["gate"] - t["git_shell"], t["bare"] - t["nothing"]
    return (
        "agent of its own account: gate, over the bare interpreter",
        ours / bare,
        0.35,
        False,
        f"{ours * 1000:.2f} ms",
    )


def _login(host: ApartHost, times: int) -> tuple[str, float, float, bool, str]:
    """A login that is looked up among ten thousand keys, against one by a file of ten: two sshd at once."""
    few = Path("/etc/ssh/few")
    alices = [line for line in host.key_file.read_text().splitlines() if "alice" in line]
    strangers = [
        run(
            [
                "sh",
                "-c",
                f"ssh-keygen -q -t ed25519 -N '' -f {host.folder}/s{n} && cat {host.folder}/s{n}.pub",
            ]
        ).out.strip()
        for n in range(9)
    ]
    few.write_text("\n".join([*(f"restrict {key}" for key in strangers), *alices]) + "\n")
    store = sqlite3.connect(host.state / "gitguard.db")
    rows = [
        (f"SHA256:{n:043d}", "alice", "ssh-ed25519", f"AAAA{n:060d}", "", 0, 0, "", "") for n in range(KEYS)
    ]
    store.executemany(
        "INSERT INTO keys (fingerprint, user_name, type, blob, comment, verify_required, added_at, limits, behind) VALUES (?,?,?,?,?,?,?,?,?)",
        rows,
    )
    store.commit()
    store.close()
    for name in os.listdir(host.state):
        run(["chown", "gitguard:gitguard", str(host.state / name)])
    # Without the proof of the connection a line of a file serves too: both do the same work behind it.
    port = host.port + 500
    base = Path("/etc/ssh/sshd_config").read_text().replace("Include", "#Include")
    common = (
        "ListenAddress 127.0.0.1\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nAcceptEnv GIT_PROTOCOL\n"
        "MaxStartups 100\nUsePAM no\n"
    )
    asked = Path("/usr/local/lib/gitguard/gitguard-keys-bench")
    asked.write_text(_launcher(host))
    asked.chmod(0o755)
    sides = {
        "file": f"Port {port}\n{common}AuthorizedKeysFile {few}\n",
        "asked": f"Port {port + 1}\n{common}AuthorizedKeysFile none\nAuthorizedKeysCommand {asked} %u %f %t %k\nAuthorizedKeysCommandUser gitguard\n",
    }
    running = []
    try:
        for name, text in sides.items():
            config = Path(f"/etc/ssh/bench-{name}")
            config.write_text(text + base)
            running.append(
                subprocess.Popen(
                    ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)],
                    stderr=subprocess.DEVNULL,
                    stdin=subprocess.DEVNULL,
                )
            )
        time.sleep(1)  # both listen; a login that fails says so below
        alice = host.people["alice"]
        found: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(times + 1):
            for place, name in enumerate(sides):
                command = [
                    "ssh",
                    "-T",
                    *host.options(alice),
                    "-p",
                    str(port + place),
                    "git@127.0.0.1",
                    "git-upload-pack team/app",
                ]
                began = time.perf_counter()
                done = subprocess.run(command, input=b"0000", capture_output=True, check=False)
                found[name].append(time.perf_counter() - began)
                if not done.stdout.startswith(b"0"):
                    raise RuntimeError(f"{name}: {done.stderr.decode()}")
    finally:
        for process in running:
            process.terminate()
            process.wait(10)
    t = {name: statistics.median(times_of[1:]) for name, times_of in found.items()}
    return (
        "login, looked up among 10 000 keys, against a file of ten",
        t["asked"] / t["file"],
        1.25,
        False,
        f"{t['asked'] * 1000:.0f} ms against {t['file'] * 1000:.0f}",
    )


def _launcher(host: ApartHost) -> str:
    """`gitguard-keys`, as init would write it for this installation."""
    code = (
        "import sys\n"
        "from gitguard.host.launcher import AgentPlace, launchers\n"
        "from gitguard.host.places import places_of\n"
        "places = places_of('/etc/gitguard/gitguard.toml')\n"
        f"sys.stdout.write(launchers(places, AgentPlace({str(host.socket)!r}, {host.port + 1}, True, True))[places.keys].decode())\n"
    )
    return run([host.python, "-c", code], env=host.env).out


if __name__ == "__main__":
    main()
