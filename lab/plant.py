"""Ways to break one thing on a host, each with the way back."""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lab.host import ACCOUNT, Host
from lab.server import run

Undo = Callable[[], object]
Plant = Callable[[Host], Undo]


def keep(path: str | Path) -> Undo:
    """Put the file back as it is now: bytes, mode, owner, times, and whether it is there."""
    place = Path(path)
    if not place.exists():
        return lambda: shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    data, entry = place.read_bytes(), place.stat()

    def undo() -> None:
        if not place.exists() or place.is_symlink() or place.read_bytes() != data:
            place.unlink(missing_ok=True)
            place.write_bytes(data)
        os.chown(place, entry.st_uid, entry.st_gid)
        place.chmod(entry.st_mode & 0o7777)
        os.utime(place, ns=(entry.st_atime_ns, entry.st_mtime_ns))

    return undo


def _place(host: Host, path: str) -> Path:
    return Path(path.format(home=host.home, repos=host.repositories))


def text(path: str, content: str) -> Plant:
    """A file with `content`, or `content` behind what is there (a leading `+`)."""

    def plant(host: Host) -> Undo:
        place = _place(host, path)
        undo = keep(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        said = content.format(home=host.home, repos=host.repositories, account=ACCOUNT)
        if said.startswith("+"):
            with open(place, "a") as file:
                file.write(said[1:])
        else:
            place.write_text(said)
        return undo

    return plant


def swap(path: str, old: str, new: str) -> Plant:
    """Other words in a file."""

    def plant(host: Host) -> Undo:
        place = _place(host, path)
        undo = keep(place)
        before = place.read_text()
        assert old in before, f"{old} is not in {place}"
        place.write_text(before.replace(old, new.format(home=host.home, repos=host.repositories)))
        return undo

    return plant


def mode(path: str, bits: int) -> Plant:
    """Another mode."""

    def plant(host: Host) -> Undo:
        place = _place(host, path)
        before = place.stat().st_mode & 0o7777
        place.chmod(bits)
        return lambda: place.chmod(before)

    return plant


def owner(path: str, uid: int) -> Plant:
    """Another owner."""

    def plant(host: Host) -> Undo:
        place = _place(host, path)
        entry = place.stat()
        os.chown(place, uid, uid)
        return lambda: os.chown(place, entry.st_uid, entry.st_gid)

    return plant


def away(path: str) -> Plant:
    """It is gone."""

    def plant(host: Host) -> Undo:
        place = _place(host, path)
        place.rename(f"{place}.away")

        def undo() -> None:
            if place.is_dir():  # a remedy may have made another
                shutil.rmtree(place)
            Path(f"{place}.away").rename(place)

        return undo

    return plant


def command(words: str, back: str) -> Plant:
    """A command, and the one that takes it back."""

    def plant(host: Host) -> Undo:
        names = {"home": host.home, "repos": host.repositories, "account": ACCOUNT}
        run(["sh", "-c", words.format(**names)])
        return lambda: run(["sh", "-c", back.format(**names)])

    return plant


def sql(statement: str) -> Plant:
    """The store, changed behind gitguard's back."""

    def plant(host: Host) -> Undo:
        store = host.state / "gitguard.db"
        copy = host.folder / "store-copy"
        with sqlite3.connect(store) as live, sqlite3.connect(copy) as kept:
            live.backup(kept)
        with sqlite3.connect(store) as live:
            live.executescript(statement)

        def undo() -> None:
            with sqlite3.connect(copy) as kept, sqlite3.connect(store) as live:
                kept.backup(live)
            for suffix in ("", "-wal", "-shm"):
                if Path(f"{store}{suffix}").exists():
                    shutil.chown(f"{store}{suffix}", ACCOUNT, ACCOUNT)

        return undo

    return plant


def process(words: list[str]) -> Plant:
    """Something that runs."""

    def plant(host: Host) -> Undo:
        filled = [word.format(home=host.home, repos=host.repositories, folder=host.folder) for word in words]
        return running(filled, host)

    return plant


def running(words: list[str], host: Host) -> Undo:
    """Start a program, and stop it by its pid."""
    program = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=host.env
    )
    time.sleep(0.3)

    def undo() -> None:
        program.terminate()
        program.wait(10)

    return undo


def hook(name: str, bits: int = 0o755) -> Plant:
    """A file of the account's in the repository's pre-receive.d."""

    def plant(host: Host) -> Undo:
        folder = host.repositories / "team/app.git/hooks/pre-receive.d"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("#!/bin/sh\nexit 0\n")
        (folder / name).chmod(bits)
        uid = pwd.getpwnam(ACCOUNT).pw_uid
        for path in (folder, folder / name):
            os.chown(path, uid, uid)
        return lambda: shutil.rmtree(folder)

    return plant


def both(*plants: Plant) -> Plant:
    """Several at once."""

    def plant(host: Host) -> Undo:
        undos = [each(host) for each in plants]
        return lambda: [undo() for undo in reversed(undos)]

    return plant
