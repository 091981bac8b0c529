"""The fault matrix: what is broken x what someone does, with the expected reason of each cell.

`make faults` prints it with the measured times; tests/regressions/test_fault_matrix.py holds every cell.
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from lab.meddling import meddle, written_by_another
from lab.server import Direct, Person

ACTIONS = ("read", "push", "verify", "enrol", "toggle")
SLOWEST_SECONDS = 2.0
STATUS = {
    "allowed": 0, "verification-expired": 10, "code-rejected": 12, "config-invalid": 30, "store-unavailable": 40,
    "log-unavailable": 40, "store-schema": 41,
}  # fmt: skip


@dataclass
class Installation:
    """A healthy installation: alice is verified and administers `app`, which
    requires 2FA; bob has an invite.
    """

    server: Direct
    alice: Person
    bob: Person
    limits: Callable[[], None] | None = None

    @classmethod
    def make(cls, folder: Path) -> Installation:
        """Install below `folder`."""
        server = Direct(folder)
        server.install()
        alice = server.new_user("alice")
        bob = server.add_user("bob")
        server.admin("repo", "create", "app", "--admin", "alice")
        server.admin("repo", "require", "app", "all")
        server.clear_watermark(alice)
        return cls(server, alice, bob)

    def act(self, action: str) -> tuple[str, int, float]:
        """(reason or `allowed`, exit status, seconds) of one action."""
        person, command, stdin = self.alice, "", ""
        if action in ("read", "push"):
            command = f"git-{'upload' if action == 'read' else 'receive'}-pack 'app'"
            stdin = "0000"
        elif action == "verify":
            command, stdin = "2fa verify", self.server.fresh_code(self.alice) + "\n"
        elif action == "enrol":
            person, command, stdin = self.bob, f"2fa enroll {self.bob.invite} --qr none", "never right\n"
        else:
            # An older session is not fresh enough for a change, so a code is asked for.
            command, stdin = "2fa repo lifetime app 5h", self.server.fresh_code(self.alice) + "\n"
        began = time.monotonic()
        done = subprocess.run(
            self.server.ssh_command(person, command), input=stdin.encode(), capture_output=True, timeout=30,
            check=False, preexec_fn=self.limits,
        )  # fmt: skip
        seconds = time.monotonic() - began
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        if action == "enrol" and "otpauth://" in text:
            return "allowed", 0, seconds  # it was shown, and nothing is stored before a code confirms it
        reason = text.rpartition("[")[2].partition("]")[0] if done.returncode and "[" in text else "allowed"
        if action in ("read", "push") and "refs" not in text and "ERR" not in text and "0000" not in text:
            reason = f"silent {done.returncode}"
        for line in text.splitlines():
            if line.endswith("]") and "gitguard: " in line:
                reason = line.rpartition("[")[2][:-1]
                break
        if "Traceback" in text:
            reason = "TRACEBACK"
        return reason, done.returncode, seconds


Break = Callable[[Installation], AbstractContextManager[None]]


def once(change: Callable[[Installation], object]) -> Break:
    """A fault that is made once and stays."""

    def broken(site: Installation) -> AbstractContextManager[None]:
        change(site)
        return nullcontext()

    return broken


def _sql(statement: str) -> Break:
    def change(site: Installation) -> None:
        meddle(site.server.store, statement)

    return once(change)


def _drop_side_files(site: Installation) -> None:
    for suffix in ("-wal", "-shm"):
        Path(str(site.server.store) + suffix).unlink(missing_ok=True)


def _overwritten(site: Installation, data: bytes) -> None:
    _drop_side_files(site)
    site.server.store.write_bytes(data)


def _truncated(site: Installation) -> None:
    meddle(site.server.store, "PRAGMA wal_checkpoint(TRUNCATE)")
    _drop_side_files(site)
    os.truncate(site.server.store, 5000)


def _missing(site: Installation) -> None:
    _drop_side_files(site)
    site.server.store.unlink()


@contextmanager
def _locked(site: Installation) -> Iterator[None]:
    with written_by_another(site.server.store):
        yield


@contextmanager
def _locked_whole(site: Installation) -> Iterator[None]:
    """Readers too: a process in exclusive locking mode."""
    store = sqlite3.connect(site.server.store, isolation_level=None)
    store.execute("PRAGMA locking_mode = EXCLUSIVE")
    store.execute("BEGIN EXCLUSIVE")
    store.execute("UPDATE users SET always = always")
    try:
        yield
    finally:
        store.execute("ROLLBACK")
        store.close()


def _file_limit(site: Installation) -> None:
    """No file of the gate's process may grow at all: harsher than a full disk, and anyone can try it."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    site.limits = limit


@contextmanager
def _on_tmpfs(site: Installation, *names: str) -> Iterator[list[Path]]:
    """The folders `names` of the installation, moved to small file systems of their own."""
    site.act("read")  # the gate leaves the store's side files behind, as on any server in use
    mounted = []
    try:
        for name in names:
            path = site.server.home / name
            copy = site.server.folder / f"{name}-copy"
            shutil.copytree(path, copy)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(path)], check=True)
            mounted.append(path)
            shutil.copytree(copy, path, dirs_exist_ok=True)
        yield mounted
    finally:
        for path in mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextmanager
def _full(site: Installation) -> Iterator[None]:
    """A disk without a free byte, and a write-ahead log that has to grow: pages of its
    own past could be used again.
    """
    held = sqlite3.connect(site.server.store)
    held.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    with closing(held), _on_tmpfs(site, "state", "log") as paths:
        (site.server.home / "log" / "access.log").unlink(missing_ok=True)  # its last page has room
        for path in paths:
            with open(path / "fill", "wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    continue  # full
        yield


@contextmanager
def _read_only(site: Installation) -> Iterator[None]:
    """A file system that was remounted read-only, as after a disk error."""
    with _on_tmpfs(site, "state") as paths:
        subprocess.run(["mount", "-o", "remount,ro", str(paths[0])], check=True)
        yield


def _can_mount() -> bool:
    """Whether this machine lets us mount a small file system: root, and not a tight container."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
        return tried.returncode == 0 and subprocess.run(["umount", folder], check=False).returncode == 0


CAN_MOUNT = _can_mount()


def _no_state(site: Installation) -> None:
    (site.server.home / "state").rename(site.server.home / "state-gone")


def _clock_back(site: Installation) -> None:
    """Seen from a clock that was set back an hour, everything lies an hour ahead; boot seconds continue."""
    _shift(site, 3600)


def _clock_forward(site: Installation) -> None:
    """Seen from a clock that was set a day ahead, everything is a day old."""
    _shift(site, -86400)


def _shift(site: Installation, seconds: int) -> None:
    meddle(site.server.store, "UPDATE sessions SET verified_at = verified_at + ?", (seconds,))
    meddle(site.server.store, "UPDATE clock SET latest_at = latest_at + ?", (seconds,))
    meddle(site.server.store, "UPDATE invites SET expires_at = expires_at + ?", (seconds,))


def _state(name: str, change: Callable[[Path], object]) -> Break:
    return once(lambda site: change(site.server.home / "state" / name))


def _all(reason: str) -> tuple[str, ...]:
    return (reason,) * len(ACTIONS)


# What is broken, how it is broken, and the expected answer to each of ACTIONS.
MATRIX: dict[str, tuple[Break, tuple[str, ...]]] = {
    "nothing": (once(lambda _: None), _all("allowed")),
    "store missing": (once(_missing), _all("store-unavailable")),
    "store truncated": (once(_truncated), _all("store-unavailable")),
    "store empty": (once(lambda s: _overwritten(s, b"")), _all("store-unavailable")),
    "store garbage": (once(lambda s: _overwritten(s, b"x" * 90000)), _all("store-unavailable")),
    "store writable by others": (once(lambda s: s.server.store.chmod(0o666)), _all("store-unavailable")),
    "store of a newer schema": (_sql("PRAGMA user_version = 99"), _all("store-schema")),
    "store locked by a writer": (_locked, ("allowed", "allowed", "store-unavailable", "store-unavailable", "store-unavailable")),
    "store locked as a whole": (_locked_whole, _all("store-unavailable")),
    "no file may grow": (once(_file_limit), _all("store-unavailable")),
    "key file missing": (
        _state("secret.keys", Path.unlink),
        ("allowed", "allowed", "store-unavailable", "store-unavailable", "store-unavailable"),
    ),
    "key file readable by others": (
        _state("secret.keys", lambda path: path.chmod(0o644)),
        ("allowed", "allowed", "store-unavailable", "store-unavailable", "store-unavailable"),
    ),
    "grant key missing": (
        _state("grant.key", Path.unlink),
        ("allowed", "store-unavailable", "allowed", "allowed", "allowed"),
    ),
    "configuration broken": (once(lambda s: s.server.config.write_text("[git]\nenforcement = off\n")), _all("config-invalid")),
    "configuration missing": (once(lambda s: s.server.config.unlink()), _all("config-invalid")),
    "configuration writable by others": (once(lambda s: s.server.config.chmod(0o666)), _all("config-invalid")),
    "state folder gone": (once(_no_state), _all("config-invalid")),
    "log folder gone": (
        once(lambda s: (s.server.home / "log").rename(s.server.home / "log-gone")),
        ("log-unavailable", "log-unavailable", "allowed", "allowed", "allowed"),
    ),
    "clock set back an hour": (
        once(_clock_back),
        ("verification-expired", "verification-expired", "code-rejected", "code-rejected", "code-rejected"),
    ),
    "clock set forward a day": (
        once(_clock_forward),
        ("verification-expired", "verification-expired", "allowed", "allowed", "allowed"),
    ),
}  # fmt: skip


if CAN_MOUNT:
    MATRIX["disk full"] = (
        _full,
        ("log-unavailable", "log-unavailable", "store-unavailable", "allowed", "store-unavailable"),
    )
    MATRIX["store on a read-only file system"] = (
        _read_only,
        ("allowed", "allowed", "store-unavailable", "allowed", "store-unavailable"),
    )


def row(folder: Path, fault: str) -> list[tuple[str, int, float]]:
    """Every cell of one fault: a fresh site for each action, since one may change what the next one finds."""
    site = Installation.make(folder)
    break_it, _ = MATRIX[fault]
    with break_it(site):
        cells = []
        for action in ACTIONS:
            if action == "toggle" and fault != "nothing":
                _age_quietly(site)
            cells.append(site.act(action))
            if action == "verify" and cells[-1][0] == "allowed":
                _age_quietly(site)
    return cells


def _age_quietly(site: Installation) -> None:
    """Let the verification before be older than a change accepts, and its code
    long ago, if the store lets us.
    """
    site.alice.last_step = 0
    try:
        meddle(site.server.store, "UPDATE factors SET last_step = 0", patience=0.1)
        meddle(
            site.server.store,
            "UPDATE sessions SET verified_at = verified_at - 400, boot_seconds = boot_seconds - 400 WHERE verified_at > strftime('%s') - 400",
            patience=0.1,
        )
    except sqlite3.Error:
        return  # broken on purpose: the action asks the same store
