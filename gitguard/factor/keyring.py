"""The keys that secrets rest under: AES-GCM for TOTP secrets, keyed hashes for what is only compared.

The key file lies outside the store, so a copy of the store alone opens nothing. Lines of it:
`hash HEX` once, then `aes ID HEX`, the last of which encrypts; all of them decrypt, so it can be rotated.
`next ID HEX` decrypts alone: every server of a store has it before the first encrypts by it.
`cryptography` is imported in this file only, and where it is used: most commands need none of it.
"""

from __future__ import annotations

import os
import stat
from _blake2 import blake2b

from gitguard.machine.files import replace, temporary_file
from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.reasons import Refusal
from gitguard.store.rows import TotpFactor

KEY_BYTES = 32
NONCE_BYTES = 12
READABLE_BY_OTHERS = 0o077


class Keyring:
    """The keys of one server. Neither `repr` nor an exception shows one."""

    def __init__(self, hash_key: bytes, aes: dict[str, bytes], path: str = "") -> None:
        if len(hash_key) != KEY_BYTES or not aes or any(len(key) != KEY_BYTES for key in aes.values()):
            raise ValueError("the key file is incomplete")
        self._hash_key = hash_key
        self._aes = aes
        self._path = path

    def renewed(self) -> Keyring:
        """The keys as the key file has them now: it may have been rotated since. Raises Refusal."""
        return read(self._path) if self._path else self

    @property
    def names(self) -> list[str]:
        """The keys that decrypt, of which the last encrypts."""
        return list(self._aes)

    @property
    def newest(self) -> str:
        """The name of the key that encrypts."""
        return list(self._aes)[-1]

    def encrypt(self, user: str, enrolment: str, secret: str) -> tuple[str, bytes]:
        """(key's name, nonce and ciphertext) of a TOTP secret, bound to user, enrolment and key."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        name = self.newest
        nonce = os.urandom(NONCE_BYTES)
        return name, nonce + AESGCM(self._aes[name]).encrypt(
            nonce, secret.encode(), _bound(user, enrolment, name)
        )

    def can_decrypt(self, factor: TotpFactor) -> bool:
        """Whether the secret of `factor` was encrypted under one of these keys, for it."""
        try:
            self.decrypt(factor)
        except Refusal:
            return False
        return True

    def decrypt(self, factor: TotpFactor) -> str:
        """The secret of `factor`. Raises Refusal("store-unavailable") if it was not encrypted for it."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._aes.get(factor.cipher_key)
        if key is None:
            raise Refusal("store-unavailable", f"the key file has no key {factor.cipher_key}")
        nonce, sealed = factor.secret[:NONCE_BYTES], factor.secret[NONCE_BYTES:]
        bound = _bound(factor.user, factor.enrolment, factor.cipher_key)
        try:
            return AESGCM(key).decrypt(nonce, sealed, bound).decode()
        except (InvalidTag, ValueError):
            raise Refusal("store-unavailable", f"the secret of {factor.user} does not decrypt") from None

    def digest(self, purpose: str, user: str, text: str) -> bytes:
        """A keyed hash of a recovery code or an invite; `purpose` and `user` keep them apart."""
        return blake2b(f"{purpose}\0{user}\0{text}".encode(), key=self._hash_key, digest_size=32).digest()


def _bound(user: str, enrolment: str, name: str) -> bytes:
    return f"gitguard totp\0{user}\0{enrolment}\0{name}".encode()


def new_line() -> str:
    """A line for a fresh encryption key."""
    return f"aes {os.urandom(4).hex()} {os.urandom(KEY_BYTES).hex()}\n"


def create(path: str) -> None:
    """Write a new key file, 0600, whole or not at all. Raises OSError,
    FileExistsError rather than replace one.
    """
    handle, temporary = temporary_file(os.path.dirname(path), ".keys-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"hash {os.urandom(KEY_BYTES).hex()}\n{new_line()}")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        os.unlink(temporary)


def add_key(path: str) -> None:
    """Append a fresh encryption key to the file at `path`. Raises Refusal."""
    read(path)
    with open(path, "rb") as file:
        data = file.read()
    replace(path, data + new_line().encode(), 0o600)


def prepare_key(path: str) -> str:
    """Add a fresh key that does not encrypt yet, unless one is there; its name. Raises Refusal."""
    if name := prepared_key(path):
        return name
    line = new_line().removeprefix("aes ")
    with open(path, "rb") as file:
        data = file.read()
    replace(path, data + f"next {line}".encode(), 0o600)
    return line.split()[0]


def prepared_key(path: str) -> str:
    """The name of the key that does not encrypt yet, "" for none. Raises Refusal."""
    read(path)
    with open(path, encoding="ascii") as file:
        return next((line.split()[1] for line in file if line.startswith("next ")), "")


def use_prepared_key(path: str) -> None:
    """Encrypt by it from now on; the others decrypt as before. Raises Refusal."""
    read(path)
    with open(path, encoding="ascii") as file:
        lines = sorted(file, key=lambda line: line.startswith("next "))
    replace(path, "".join(lines).replace("\nnext ", "\naes ").encode(), 0o600)


def drop_old_keys(path: str) -> None:
    """Keep only the newest encryption key, once nothing rests under the others. Raises Refusal."""
    newest = read(path).newest
    with open(path, encoding="ascii") as file:
        lines = [line for line in file if line.split()[:1] == ["hash"] or line.split()[1:2] == [newest]]
    replace(path, "".join(lines).encode(), 0o600)


def read(path: str) -> Keyring:
    """The keys in the file at `path`.

    Raises Refusal("store-unavailable") if it is missing, not ours alone, or not understood.
    """
    fault = fault_on_the_way(path, os.geteuid())
    if not fault:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            fault = f"{path} is not a file"
        elif mode & READABLE_BY_OTHERS:
            fault = f"{path} is readable by others; try: chmod 600 {path}"
    if fault:
        raise Refusal("store-unavailable", fault)
    hash_key = b""
    aes: dict[str, bytes] = {}
    prepared: dict[str, bytes] = {}
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                words = line.split()
                if len(words) == 2 and words[0] == "hash":
                    hash_key = bytes.fromhex(words[1])
                elif len(words) == 3 and words[0] == "aes":
                    aes[words[1]] = bytes.fromhex(words[2])
                elif len(words) == 3 and words[0] == "next":
                    prepared[words[1]] = bytes.fromhex(words[2])
                elif words:
                    raise ValueError("a line is not understood")  # noqa: TRY301 - one way out for all faults
        if any(len(key) != KEY_BYTES for key in prepared.values()) or not aes:
            raise ValueError("the key file is incomplete")  # noqa: TRY301
        return Keyring(hash_key, {**prepared, **aes}, path)
    except (OSError, ValueError):
        raise Refusal("store-unavailable", f"{path} is not a key file") from None
