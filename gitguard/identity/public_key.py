"""SSH public keys as text: one line, its fingerprint, its kind. Source: RFC 4253 section 6.6, sshd(8)."""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
from typing import NamedTuple

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
LEAST_RSA_BITS = 2048
_POINT_BYTES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}


class PublicKey(NamedTuple):
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
    fields = _fields(blob)
    if fields is None or not fields or fields[0] != words[0].encode() or not _is_whole(words[0], fields[1:]):
        raise Refusal("usage", text="the key is damaged: its second word is not of the type that it claims")
    if words[0] == "ssh-rsa" and (bits := int.from_bytes(fields[2], "big").bit_length()) < LEAST_RSA_BITS:
        raise Refusal(
            "usage",
            text=f"an RSA key of {bits} bits is too short; make one of ed25519: ssh-keygen -t ed25519",
        )
    return PublicKey(words[0], base64.b64encode(blob).decode(), comment)


def _fields(blob: bytes) -> list[bytes] | None:
    """The strings in a key blob, None if their lengths do not add up. Source: RFC 4251 section 5."""
    fields = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length or len(blob) < 4:
            return None
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def _is_whole(type_: str, fields: list[bytes]) -> bool:
    """Whether the fields after the type are those of such a key. Source: RFC
    4253, 5656, 8709; PROTOCOL.u2f.
    """
    hardware = type_.startswith("sk-")
    if hardware:
        if not fields or not fields[-1]:
            return False  # the application, such as ssh:
        fields = fields[:-1]
    if type_ in ("ssh-ed25519", "sk-ssh-ed25519@openssh.com"):
        return [len(field) for field in fields] == [32]
    if type_ == "ssh-rsa":
        return len(fields) == 2 and all(fields) and all(field[0] < 0x80 for field in fields)
    curve = next(name for name in _POINT_BYTES if name in type_)
    return (
        len(fields) == 2
        and fields[0] == curve.encode()
        and len(fields[1]) == _POINT_BYTES[curve]
        and fields[1][0] == 4  # not compressed
    )


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
