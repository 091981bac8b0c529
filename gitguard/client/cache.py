"""What is known of one's sessions without asking a server: for a shell prompt,
which is drawn again and again.

The file is there once someone has asked for it (`gitguard status --porcelain`); from then on each
verification and each `gitguard status` renews it. It holds no secret, and decides nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time

from gitguard.client.known_servers import folder
from gitguard.client.remote import Server

QUESTION = "2fa status --json"
_SECONDS = 20


def _path() -> str:
    return os.path.join(folder(), "sessions.json")


def _read() -> dict[str, dict[str, object]]:
    """`servers`: when the session there ends (Unix seconds, 0 for none); `urls`: which server a URL means."""
    try:
        with open(_path(), encoding="utf-8") as file:
            found = json.load(file)
        return {"servers": dict(found["servers"]), "urls": dict(found["urls"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"servers": {}, "urls": {}}


def _write(data: dict[str, dict[str, object]]) -> None:
    """In one step; a prompt that reads meanwhile finds the old or the new. A disk that takes
    nothing costs the prompt alone.
    """
    with contextlib.suppress(OSError):
        os.makedirs(folder(), mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder(), prefix=".sessions-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file)
        os.replace(temporary, _path())


def _key(server: Server) -> str:
    return f"{server.destination} {server.port}".strip()


def line(url: str) -> tuple[str, int]:
    """What a shell prompt reads of the repository at `url`, and the exit status 0, 10 or 50.

    `locked ENDS SERVER` and below it `verified ENDS SERVER`; `unlocked SERVER` and `unverified SERVER`; or
    `unknown`. The first words are those of 0.1, which go with the next release.
    """
    if not os.path.exists(_path()):
        _write({"servers": {}, "urls": {}})
    data = _read()
    server = data["urls"].get(url)
    if server is None or str(server) not in data["servers"]:
        return "unknown", 50
    ends_at = int(str(data["servers"][str(server)]))
    if ends_at > time.time():
        return f"locked {ends_at} {server}\nverified {ends_at} {server}", 0
    return f"unlocked {server}\nunverified {server}", 10


def refresh(server: Server, command: list[str], url: str = "", folder: str | None = None) -> None:
    """Ask the server by `command`, which is `QUESTION` over ssh, and note the answer, if anyone reads it."""
    if not os.path.exists(_path()):
        return
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS, cwd=folder
        )
        answer = json.loads(done.stdout)
        session = answer["session"]
        ends_at = int(session["ends_at"]) if session else 0
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return
    data = _read()
    data["servers"][_key(server)] = ends_at
    if url:
        data["urls"][url] = _key(server)
    _write(data)
