"""Scope, moment and grant."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitguard.session.credential import KINDS, NONE, Credential, credential_of, ssh_key
from gitguard.session.grant import PUSH, Grant, seal, unseal
from gitguard.session.moment import Moment
from gitguard.session.scope import network_of, scope_of

KEY = "SHA256:" + "a" * 43


def test_scopes() -> None:
    """Each scope keeps exactly the data that it binds."""
    assert scope_of("address", ssh_key(KEY), "192.0.2.7") == ("address", KEY, "192.0.2.7")
    assert scope_of("key", ssh_key(KEY), "") == ("key", KEY, "")
    assert scope_of("user", NONE, "") == ("user", "", "")


@pytest.mark.parametrize(
    ("kind", "key", "address"),
    [
        ("address", KEY, ""),
        ("address", KEY, "UNKNOWN"),
        ("address", "", "192.0.2.7"),
        ("key", "", "192.0.2.7"),
        ("nation", KEY, "192.0.2.7"),
    ],
)
def test_scope_never_widens(kind: str, key: str, address: str) -> None:
    """Missing or unknown data gives no scope at all, never a wider one."""
    assert scope_of(kind, ssh_key(key), address) is None


@given(st.ip_addresses(v=4))
def test_ipv4_is_itself(address: ipaddress.IPv4Address) -> None:
    """An IPv4 address is bound whole, also when it comes mapped into IPv6."""
    assert network_of(str(address)) == str(address)
    assert network_of(f"::ffff:{address}") == str(address)


@given(st.ip_addresses(v=6))
def test_ipv6_is_its_64(address: ipaddress.IPv6Address) -> None:
    """Two IPv6 addresses share a network exactly if they share their first 64 bits;
    those that stand for IPv4 aside.
    """
    if address in ipaddress.ip_network("::/64") or address in ipaddress.ip_network("64:ff9b::/32"):
        return
    stranger = ipaddress.IPv6Address(int(address) ^ (1 << 64))
    assert network_of(str(address)) == network_of(address.exploded) is not None
    assert network_of(str(address)) != network_of(str(stranger))
    if not address.is_link_local:
        neighbour = ipaddress.IPv6Address((int(address) >> 64 << 64) | 0x1234)
        assert network_of(str(address)) == network_of(str(neighbour))


@given(st.text(alphabet="0123456789abcdef:.%gx ", max_size=45))
def test_what_is_no_address_has_no_network(text: str) -> None:
    """The hand-written parser accepts exactly what `ipaddress` accepts (a zone aside)."""
    bare = text.partition("%")[0]
    try:
        ipaddress.ip_address(bare)
        valid = True
    except ValueError:
        valid = False
    assert (network_of(text) is not None) == valid


def test_link_local_counts_whole() -> None:
    """ATTACK: another host on the same link, or on another link with the same
    address. EXPECTED: another network.
    """
    assert network_of("fe80::1%eth0") == network_of("FE80:0::1%eth0")
    assert len({network_of(a) for a in ("fe80::1%eth0", "fe80::2%eth0", "fe80::1%eth1", "fe80::1")}) == 4


@given(st.ip_addresses(v=4), st.sampled_from(("::ffff:", "::ffff:0:", "64:ff9b::", "::")))
def test_what_stands_for_ipv4_is_that_address(address: ipaddress.IPv4Address, prefix: str) -> None:
    """Behind NAT64 or a translator a /64 would be everyone."""
    if prefix != "::" or int(address) > 0xFFFF:
        assert network_of(f"{prefix}{address}") == str(address)


def test_local_nat64_prefixes_count_whole() -> None:
    """RFC 8215 leaves open where the IPv4 address stands, so nothing is cut off; `::1` stays itself."""
    assert network_of("64:ff9b:1::c000:201") != network_of("64:ff9b:1::c000:202")
    assert network_of("::1") is not None


def test_clock_set_back_makes_no_session_younger() -> None:
    """Within a boot, the clock that nobody can set back says how old a session is."""
    verified = Moment(10_000, "boot", 500)
    assert Moment(10_000 + 100, "boot", 600).age_of(verified) == 100
    assert Moment(10_000 + 10, "boot", 500 + 3610).age_of(verified) == 3610
    assert Moment(10_000 - 10, "boot", 600).age_of(verified) < 0
    assert Moment(10_000 + 86400, "boot", 600).age_of(verified) == 86400


def test_two_clocks_cut_to_seconds_agree() -> None:
    """A second that one clock has begun and the other has not is no disagreement."""
    assert Moment(10_100, "boot", 601).age_of(Moment(10_000, "boot", 500)) == 100


def test_across_a_boot_the_wall_clock_alone_counts() -> None:
    """Boot seconds of another boot mean nothing."""
    assert Moment(10_100, "other", 9).age_of(Moment(10_000, "boot", 500)) == 100
    assert Moment(10_100).age_of(Moment(10_000)) == 100


SECRET = bytes(range(32))
GRANT = Grant(
    kind=PUSH,
    user="alice",
    credential=ssh_key(KEY),
    address="192.0.2.7",
    directory="/srv/git/a.git",
    session=7,
    age_seconds=30,
    at=1000,
    pid=42,
    started=99,
    decision="abcd0123",
)


def test_a_grant_comes_back_as_it_was() -> None:
    """What the gate sealed, the hook reads."""
    again = unseal(seal(GRANT, SECRET), SECRET)
    assert all(getattr(again, name) == getattr(GRANT, name) for name in Grant.__slots__)


def test_an_altered_grant_is_none() -> None:
    """ATTACK: every single character changed, another key, a cut tail. EXPECTED: ValueError each time."""
    sealed = seal(GRANT, SECRET)
    for position in range(len(sealed)):
        other = "x" if sealed[position] != "x" else "y"
        with pytest.raises(ValueError):
            unseal(sealed[:position] + other + sealed[position + 1 :], SECRET)
    for broken in ("", "\n", sealed[:-1], sealed + "\nmore", sealed.replace("\n", "")):
        with pytest.raises(ValueError):
            unseal(broken, SECRET)
    with pytest.raises(ValueError):
        unseal(sealed, bytes(32))


def test_no_field_can_smuggle_another() -> None:
    """A directory with a line break cannot be sealed."""
    evil = Grant(
        kind=PUSH,
        user="alice",
        credential=ssh_key(KEY),
        address="",
        directory="/srv/a\nbob",
        session=1,
        age_seconds=0,
        at=0,
        pid=1,
        started=1,
        decision="x",
    )
    with pytest.raises(ValueError):
        seal(evil, SECRET)


def test_a_short_key_is_refused() -> None:
    """A truncated key file signs and reads nothing."""
    with pytest.raises(ValueError):
        seal(GRANT, b"short")


@pytest.mark.parametrize(
    "credential",
    [
        Credential("ssh-key", "SHA256:" + "a" * 43),
        Credential("web", "4f1c"),
        Credential("http", "alice@example.com"),
        Credential("uid", "1000"),
    ],
)
def test_a_credential_comes_back_as_it_was(credential: Credential) -> None:
    """Store, log, grant and environment hold one text; an SSH key's is its fingerprint, as it always was."""
    assert credential.is_well_formed
    assert credential_of(credential.text) == credential
    assert (credential.text == credential.id) == (credential.kind == "ssh-key")


@pytest.mark.parametrize(
    "text",
    [
        "", "SHA256:", "SHA256:" + "a" * 42, "MD5:" + "a" * 43, "web:", "web:a b", "web:a\nb", "http:é", "uid:root", "uid:-1",
        "uid:", "passkey:4f1c", "WEB:4f1c", "http:" + "a" * 129, " web:4f1c", "admin:root",
    ],
)  # fmt: skip
def test_what_names_no_credential_is_nobodys(text: str) -> None:
    """ATTACK: a kind that is not known, a blank, a line break, an id of another kind.
    EXPECTED: well formed it is not.
    """
    assert not credential_of(text).is_well_formed


def test_a_key_never_becomes_another_kind() -> None:
    """ATTACK: a key line whose fingerprint is spelled like a browser session. EXPECTED:
    it stays a key, and nobody's.
    """
    forged = ssh_key("web:4f1c")
    assert forged.kind == "ssh-key"
    assert not forged.is_well_formed
    assert set(KINDS) == {"ssh-key", "web", "http", "uid"}
