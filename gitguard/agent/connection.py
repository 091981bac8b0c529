"""Which connection a process belongs to, and whether the person of a key line is at its other end.

sshd asks us for a key's line (`key_line_for`), and the line that it gets carries a token: a MAC over the sshd
process of that very connection, the user and the key. A gate that comes with it must stand below the same
process. Neither is enough alone: whoever offers another's public key has its line looked up in a connection
of their own, but the token never leaves sshd; whoever reads a token from a command line of the account has
no place below that connection. And it counts for one process of each leader that sshd starts: what a hook
leaves behind in the person's own session comes second.

MUST: the kernel's word alone counts here (proc(5): parents, start times, sessions, real uids). What the Git
account may do in between: read every token, start and end processes, trace its own.
"""

from __future__ import annotations

import os
import time
from _blake2 import blake2b

from gitguard.config.compiled import Config
from gitguard.decision.request import Request
from gitguard.host.key_file import key_line
from gitguard.message.reasons import Refusal
from gitguard.session.grant import read_key
from gitguard.session.leaders import Place, come_first
from gitguard.store.gate_query import GateQuery
from gitguard.store.rows import Key, key_of

DOCTORS_KEY = "doctor.key"  # below the state folder, for as long as doctor looks: a key of nobody's
_TOKEN_BYTES = 16
_LOOKS_SECONDS = 120


def key_line_for(words: list[str], process: int, config: Config, store: GateQuery, gate: str) -> bytes:
    """What sshd is told about the key that it names: the line, b"" for none. `process` is sshd's child.

    Raises Refusal, OSError, ValueError.
    """
    if len(words) != 4 or words[0] != config.account:
        return b""
    _, fingerprint, kind, blob = words
    row = store.key_row(fingerprint)
    key = key_of(row) if row is not None else _doctors_key(config, kind, blob)
    if key is None:
        return b""
    token = ""
    if config.proves_connection:
        sshd = Place(Place(process).parent)
        if not _is_roots(sshd.pid):
            return b""  # nobody's connection: no sshd has asked
        token = _token(config, sshd, key.user, key.fingerprint)
    line = key_line(key, gate, token)
    # Doctor looks at what sshd itself forbids.
    return line if row is not None else line.removeprefix(b"restrict,")


def _doctors_key(config: Config, kind: str, blob: str) -> Key | None:
    try:
        with open(f"{config.state}/{DOCTORS_KEY}", encoding="ascii") as file:
            if time.time() - os.fstat(file.fileno()).st_mtime > _LOOKS_SECONDS:
                return None  # of a doctor that was killed
            name, fingerprint, *of_key = file.read(4096).split()
    except (OSError, ValueError):
        return None
    if of_key != [kind, blob]:
        return None
    return Key(
        fingerprint, name, kind, blob, "for as long as doctor looks", verify_required=False, added_at=0
    )


def check_connection(request: Request, asker: Place, config: Config) -> None:
    """`asker` is the first below its leader to ask in a connection of `request`'s own person; of no concern
    where keys are in a file. Raises Refusal("no-identity").
    """
    if not config.proves_connection:
        return
    try:
        leader = Place(asker.leader)
        sshd = Place(Place(leader.parent).parent)
        expected = _token(config, sshd, request.user, request.credential.text)
        if not asker.is_there or not _is_roots(sshd.pid) or not _same(request.token, expected):
            raise Refusal("no-identity", "it stands in no connection of this key's owner")
        come_first(config.state, leader, asker)
    except (OSError, ValueError) as error:
        raise Refusal("no-identity", f"its connection cannot be known: {error}") from None


def _token(config: Config, sshd: Place, user: str, key: str) -> str:
    secret = read_key(config.grant_key, config.keeper)
    told = f"{sshd.name}\0{user}\0{key}".encode("utf-8", "surrogateescape")
    return blake2b(told, key=secret, digest_size=_TOKEN_BYTES, person=b"gitguard-keys").hexdigest()


def _same(token: str, expected: str) -> bool:
    """Compared in constant time."""
    from hmac import compare_digest

    return compare_digest(token.encode("utf-8", "surrogateescape"), expected.encode())


def _is_roots(pid: int) -> bool:
    """Whether the process is root's by its real uid: while it asks us, sshd's effective one is another.
    Source: sshd's misc.c, subprocess; proc(5), Uid.
    """
    with open(f"/proc/{pid}/status", "rb") as file:
        line = next(line for line in file.read().splitlines() if line.startswith(b"Uid:"))
    return line.split()[1] == b"0" and pid > 1
