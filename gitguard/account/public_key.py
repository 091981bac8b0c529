"""SSH public keys as text: one line, its fingerprint, its kind. Source: RFC 4253 section 6.6, sshd(8)."""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
from dataclasses import dataclass

from gitguard.message.reasons import Refusal, printable, readable

TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


LONGEST_COMMENT = 200


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One public key. `blob` is base64, `comment` as it was written, without control characters."""

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
    comment = readable(words[2].strip(), LONGEST_COMMENT) if len(words) > 2 else ""
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("usage", text="the key is damaged: its second word is not base64") from None
    length = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + length] != words[0].encode() or len(blob) <= 4 + length:
        raise Refusal("usage", text="the key is damaged: its second word is not of the type that it claims")
    return PublicKey(words[0], base64.b64encode(blob).decode(), comment)


def parse_key_file(data: bytes) -> list[PublicKey]:
    """All keys of a `.pub` file; blank lines and comments pass. Raises Refusal("usage") with the way out.

    A byte-order mark and UTF-16, which Windows editors write, are understood.
    """
    lines = [line.strip() for line in _decoded(data).splitlines()]
    if lines and lines[0].startswith("---- BEGIN SSH2"):
        raise Refusal(
            "usage",
            text="that is the SSH2 format (RFC 4716), which sshd does not read in this place",
            hint="convert it: ssh-keygen -i -f FILE > FILE.pub",
        )
    if lines and lines[0].startswith("PuTTY-User-Key-File"):
        raise Refusal(
            "usage",
            text="that is PuTTY's own format, and holds the private key",
            hint="take the public key out of it: puttygen FILE -O public-openssh -o FILE.pub",
        )
    keys = [parse_public_key(line) for line in lines if line and not line.startswith("#")]
    if not keys:
        raise Refusal("usage", text="no key in that file")
    return keys


def _decoded(data: bytes) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if data[1:2] == b"\0":
        return data.decode("utf-16-le", "replace")
    return data.decode("utf-8", "replace")
