"""TOTP by the book, and what counts as a code at all."""

from __future__ import annotations

import base64

import pytest

from gitguard.factor.code import ALPHABET, in_groups, new_recovery_code, read_code
from gitguard.factor.totp import Parameters, fitting_steps, new_secret
from gitguard.message.reasons import Refusal

SEEDS = {
    "SHA1": b"12345678901234567890",
    "SHA256": b"12345678901234567890123456789012",
    "SHA512": b"1234567890123456789012345678901234567890123456789012345678901234",
}
# RFC 6238, appendix B.
VECTORS = [
    (59, {"SHA1": "94287082", "SHA256": "46119246", "SHA512": "90693936"}),
    (1111111109, {"SHA1": "07081804", "SHA256": "68084774", "SHA512": "25091201"}),
    (1111111111, {"SHA1": "14050471", "SHA256": "67062674", "SHA512": "99943326"}),
    (1234567890, {"SHA1": "89005924", "SHA256": "91819424", "SHA512": "93441116"}),
    (2000000000, {"SHA1": "69279037", "SHA256": "90698825", "SHA512": "38618901"}),
    (20000000000, {"SHA1": "65353130", "SHA256": "77737706", "SHA512": "47863826"}),
]


@pytest.mark.parametrize(
    ("at", "algorithm", "code"), [(at, a, c) for at, row in VECTORS for a, c in row.items()]
)
def test_rfc_6238_vectors(at: int, algorithm: str, code: str) -> None:
    """All rows of appendix B, three hashes."""
    secret = base64.b32encode(SEEDS[algorithm]).decode().rstrip("=")
    parameters = Parameters(secret, 8, 30, algorithm)
    assert parameters.code(parameters.step(at)) == code
    assert at // 30 in fitting_steps(parameters, code, at)


def test_a_secret_has_160_bits() -> None:
    """RFC 4226 recommends 160 bits."""
    assert len(base64.b32decode(new_secret())) == 20


def test_no_repr_shows_a_secret() -> None:
    """A traceback or a log of these values tells nothing."""
    assert "JBSWY" not in repr(Parameters("JBSWY3DPEHPK3PXP"))


@pytest.mark.parametrize("typed", [b"123456", b"123 456", b"123456\r", b" 1 2 3 4 5 6 ", b"123456\r\n"])
def test_spaces_and_line_ends_are_no_part_of_a_code(typed: bytes) -> None:
    """What people type and clients send."""
    assert read_code(typed, 6).text == "123456"


@pytest.mark.parametrize(
    "typed",
    [
        b"12_3456", b"+123456", b"-12345", b"0x1234",
        b"12345", b"1234567", b"abcdef", b"", b" ", b"\n", b"12\x003456", b"123456" + b" " * 60, b"1" * 65536, b"123\n456", b"12.456", b"1e5000",
    ],
)  # fmt: skip
def test_what_is_not_a_code_costs_nothing(typed: bytes) -> None:
    """What `int()` reads is no code."""
    with pytest.raises(Refusal) as caught:
        read_code(typed, 6)
    assert caught.value.reason == "not-a-code"


@pytest.mark.parametrize(
    "typed",
    [
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        "\u0661\u0662\u0663\u0664\u0665\u0666",
        "1\uff122 3".replace("2 3", "3456"),
    ],
)
def test_digits_of_any_script_are_read_by_their_value(typed: str) -> None:
    """A phone's keyboard may write others than ours."""
    assert read_code(typed.encode(), 6).text == "123456"


@pytest.mark.parametrize("dash", ["-", "\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\uff0d", " ", ""])
def test_a_recovery_code_as_people_copy_it(dash: str) -> None:
    """Any dash, any case, 1 and l for I; what no code holds stays none."""
    assert read_code(dash.join(["ABCI", "2345", "iIIi", "WXYZ"]).encode(), 6).text == "ABCI2345IIIIWXYZ"
    assert read_code(dash.join(["ABC1", "2345", "lL1i", "WXYZ"]).encode(), 6).text == "ABCI2345IIIIWXYZ"
    with pytest.raises(Refusal):
        read_code(dash.join(["ABC0", "2345", "AAAA", "WXYZ"]).encode(), 6)


def test_recovery_codes() -> None:
    """80 bits from letters that nobody confuses; case, dashes and spaces are ignored."""
    code = new_recovery_code()
    assert len(ALPHABET) == 32
    assert not set("0O1lL") & set(ALPHABET)
    assert len(code) == 16
    shown = in_groups(code)
    for typed in (shown, shown.lower(), code, shown.replace("-", " ")):
        assert read_code(typed.encode(), 6) == read_code(code.encode(), 6)
        assert read_code(typed.encode(), 6).kind == "recovery"
