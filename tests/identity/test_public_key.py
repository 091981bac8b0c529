"""A public key is parsed whole: what is damaged counts for nothing, so that
nobody takes it for a second key.
"""

from __future__ import annotations

import base64
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gitguard.identity.public_key import parse_public_key
from gitguard.message.numbers import number
from gitguard.message.reasons import Refusal


def field(data: bytes) -> bytes:
    """A string as a key blob has it."""
    return len(data).to_bytes(4, "big") + data


def line(type_: str, *fields: bytes) -> str:
    """A key line of these fields."""
    return f"{type_} {base64.b64encode(b''.join(map(field, (type_.encode(), *fields)))).decode()} x"


POINT = b"\x04" + bytes(64)
GOOD = {
    "ed25519": ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    "nistp256": ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    "nistp384": ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    "nistp521": ec.generate_private_key(ec.SECP521R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    "rsa": rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    "sk-ed25519": line("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:"),
    "sk-ecdsa": line("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", POINT, b"ssh:work"),
}  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_is_read(kind: str) -> None:
    """As OpenSSH writes them."""
    assert parse_public_key(GOOD[kind]).fingerprint.startswith("SHA256:")


@pytest.mark.parametrize("kind", GOOD)
def test_a_damaged_key_is_none(kind: str) -> None:
    """ATTACK on oneself: one byte of the body is lost, and the good key is taken away. EXPECTED:
    refused, wherever it is cut.
    """
    type_, blob, *_ = GOOD[kind].split()
    data = base64.b64decode(blob)
    dice = random.Random(9)
    for cut in [len(data) - 1, 1, *dice.sample(range(1, len(data)), 10)]:
        with pytest.raises(Refusal, match="damaged"):
            parse_public_key(f"{type_} {base64.b64encode(data[:cut]).decode()}")
    for more in (b"\0", field(b"x")):
        with pytest.raises(Refusal, match="damaged"):
            parse_public_key(f"{type_} {base64.b64encode(data + more).decode()}")


@pytest.mark.parametrize(
    "text",
    [
        line("ssh-ed25519", bytes(31)),
        line("ssh-ed25519", bytes(33)),
        line("ssh-ed25519", bytes(32), b""),
        line("sk-ssh-ed25519@openssh.com", bytes(32)),
        line("sk-ssh-ed25519@openssh.com", bytes(32), b""),
        line("ecdsa-sha2-nistp256", b"nistp384", POINT),
        line("ecdsa-sha2-nistp256", b"nistp256", b"\x02" + bytes(32)),
        line("ssh-rsa", b"\x01\x00\x01", b"\xff" * 256),
        line("ssh-rsa", b"", b"\x7f" * 256),
    ],
)
def test_what_is_not_of_its_type(text: str) -> None:
    """Lengths, curves, points and signs are those of the type that it claims."""
    with pytest.raises(Refusal, match="damaged"):
        parse_public_key(text)


def test_an_rsa_key_that_is_too_short() -> None:
    """Below 2048 bits it says so, with the way out."""
    short = (
        rsa.generate_private_key(65537, 1024)
        .public_key()
        .public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    )
    with pytest.raises(Refusal, match="an RSA key of 1024 bits is too short"):
        parse_public_key(short.decode())


@pytest.mark.parametrize(
    ("text", "most", "found"),
    [
        ("0", 0, 0), ("7", 7, 7), ("8", 7, None), ("", 9, None), ("-1", 9, None), ("+1", 9, None), (" 1", 9, None), ("1_0", 99, None),
        ("\u00b2", 9, None), ("\u0663", 9, None), ("9" * 5000, 10**30, None), ("007", 9, 7),
    ],
)  # fmt: skip
def test_numbers_that_others_wrote(text: str, most: int, found: int | None) -> None:
    """ASCII digits alone, and an end: what someone else wrote may be anything."""
    assert number(text, most) == found
