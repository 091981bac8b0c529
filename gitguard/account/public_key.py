"""SSH public keys as text: one line, its fingerprint, its kind. Source: RFC 4253 section 6.6, sshd(8)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from gitguard.message.reasons import Refusal, printable

TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One public key. `blob` is base64, `comment` printable."""

    type: str
    blob: str
    comment: str

    @property
    def fingerprint(self) -> str:
        """`SHA256:...`, as ssh-keygen -l shows it."""
        return fingerprint(self.blob)

    @property
    def is_hardware(self) -> bool:
        """Whether the private key lives in a security key."""
        return self.type.startswith("sk-")


def fingerprint(blob: str) -> str:
    """The SHA256 fingerprint of a base64 key blob."""
    digest = hashlib.sha256(base64.b64decode(blob)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def parse_public_key(line: str) -> PublicKey:
    """The key in one line of a `.pub` file: type, blob, comment; no options.

    Raises Refusal("usage") in words: a private key, a certificate, options, a blob that is not of its type.
    """
    words = line.split(None, 2)
    if "PRIVATE KEY" in line:
        raise Refusal("usage", text="that is a private key; give the .pub file")
    if len(words) < 2 or words[0] not in TYPES:
        shown = printable(words[0], 40) if words else "an empty line"
        raise Refusal("usage", text=f"no public key of a known type: {shown} (known: {', '.join(TYPES)})")
    comment = printable(words[2].strip(), 100) if len(words) > 2 else ""
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("usage", text="the key is damaged: its second word is not base64") from None
    length = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + length] != words[0].encode() or len(blob) <= 4 + length:
        raise Refusal("usage", text="the key is damaged: its second word is not of the type that it claims")
    return PublicKey(words[0], base64.b64encode(blob).decode(), comment)


def parse_key_file(text: str) -> list[PublicKey]:
    """All keys of a `.pub` file; blank lines and comments pass. Raises Refusal("usage") if there is none."""
    lines = [line.strip() for line in text.splitlines()]
    keys = [parse_public_key(line) for line in lines if line and not line.startswith("#")]
    if not keys:
        raise Refusal("usage", text="no key in that file")
    return keys
