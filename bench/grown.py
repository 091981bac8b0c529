"""An installation of any size for `growth.py`: `python -m bench.grown FOLDER SIZE [fill]`.
Prints where it is, as JSON.

Without `fill` it is installed, with bare repositories on disk that nobody knows yet; `fill` adds people,
sessions, a trail and a log.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from gitguard.action.installation import open_installation
from gitguard.identity.public_key import fingerprint
from gitguard.session.moment import now
from gitguard.store.chain import GENESIS, link, text_of
from lab.installation import Installation
from lab.run import gitguard, run

LOG_BYTES = 100_000  # for each person
DAY = 86400


def key_blob(number: int) -> str:
    """An ed25519 public key that nobody has the other half of, in base64."""
    point = hashlib.sha256(str(number).encode()).digest()
    return base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + point).decode()


def install(folder: Path, size: int) -> Installation:
    """An installation, and `size` bare repositories below its root."""
    made = Installation(folder)
    made.install()
    template = folder / "template.git"
    run(["git", "init", "--quiet", "--bare", "--template=", str(template)])
    for number in range(size):
        shutil.copytree(template, made.directory(f"team{number % 100}/r{number}"))
    return made


def fill(made: Installation, size: int) -> None:
    """People with keys and apps, sessions, a year's trail, a log of a few months that ends now,
    and a file that asks for more.
    """
    at = int(time.time())
    keyring = open_installation(str(made.config), now(), "growth").keyring
    people = [f"person{number}" for number in range(size)]
    prints = [fingerprint(key_blob(number)) for number in range(size)]
    with sqlite3.connect(made.store) as store:
        store.executemany(
            "INSERT INTO users (name, state, enrolled_once, created_at) VALUES (?, 'active', 1, ?)",
            ((name, at - 400 * DAY) for name in people),
        )
        store.executemany(
            "INSERT INTO keys (fingerprint, user_name, type, blob, comment, added_at) VALUES (?, ?, 'ssh-ed25519', ?, 'laptop', ?)",
            ((prints[n], people[n], key_blob(n), at - 400 * DAY) for n in range(size)),
        )
        store.executemany(
            "INSERT INTO factors (user_name, enrolment, secret, cipher_key, digits, period_seconds, algorithm, last_step, enrolled_at)"
            " VALUES (?, 'e', ?, ?, 6, 30, 'SHA1', 0, ?)",
            ((name, *reversed(keyring.encrypt(name, "e", "A" * 32)), at - 400 * DAY) for name in people),
        )
        store.executemany(
            "INSERT INTO sessions (user_name, scope, credential, network, verified_at, boot, boot_seconds, method)"
            " VALUES (?, 'address', ?, ?, ?, '', 0, 'totp')",
            (
                (people[n % size], prints[n % size], f"192.0.{n // size}.1", at - n * 60 % (20 * DAY))
                for n in range(10 * size)
            ),
        )
        store.executemany(
            "INSERT INTO audit (seq, record, hash) VALUES (?, ?, ?)",
            trail(store, people, prints, 100 * size, at),
        )
        store.execute("UPDATE clock SET latest_at = ?", (at,))
    store.close()
    head = next(sqlite3.connect(made.store).execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"))
    (made.home / "log" / "audit.head").write_text(f"{head[0]} {head[1].hex()}\n")
    with open(made.access_log, "w") as file:
        file.writelines(log(people, prints, size * LOG_BYTES, at))
    made.access_log.chmod(0o600)
    with open(made.folder / "more.toml", "w") as file:
        file.writelines(
            f'[[users]]\nname = "person{number}"\nkeys = ["ssh-ed25519 {key_blob(number)} laptop"]\n\n'
            for number in range(size, size + 100)
        )
    gitguard("--config", str(made.config), "admin", "init", "--home", str(made.home))


def trail(
    store: sqlite3.Connection, people: list[str], prints: list[str], count: int, at: int
) -> Iterator[tuple[int, str, bytes]]:
    """`count` records more, a year long: nearly all of them are verifications."""
    row = store.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, digest = row or (0, GENESIS)
    begun = at - 365 * DAY
    for number in range(count):
        who = number % len(people)
        record = {
            "event": "session-opened", "at": begun + number * 365 * DAY // count, "actor": people[who], "user": people[who],
            "key": prints[who], "address": "192.0.2.0/24", "session": number, "scope": "address", "method": "totp",
        }  # fmt: skip
        seq, text = seq + 1, text_of(record)
        digest = link(digest, seq, text)
        yield seq, text, digest


def log(people: list[str], prints: list[str], length: int, at: int) -> Iterator[str]:
    """Lines of `length` bytes together: ninety days that end now."""
    line = (
        '{{"id":"{0:016x}","at":{1},"user":"{2}","key":"{3}","address":"192.0.2.7","repository":"team1/r1","operation":"read",'
        '"verdict":"allowed","reason":"session","because":"policy","age":{4}}}\n'
    )
    count = length // 260
    for number in range(count):
        who = number % len(people)
        yield line.format(
            number, at - (count - number) * 90 * DAY // count, people[who], prints[who], number % 3600
        )


if __name__ == "__main__":
    folder, size = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:] == ["fill"]:
        if size:
            fill(Installation(folder), size)
        else:
            Path(folder / "more.toml").write_text(
                "".join(
                    f'[[users]]\nname = "person{n}"\nkeys = ["ssh-ed25519 {key_blob(n)} laptop"]\n\n'
                    for n in range(100)
                )
            )
    else:
        print(json.dumps({"config": str(install(folder, size).config)}))
