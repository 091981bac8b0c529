"""Whom the page believes about a browser: only who is named, and never because someone is."""

from __future__ import annotations

import itertools

import pytest

from gitguard.config.parse import parse
from gitguard.config.schema import Settings
from gitguard.session.scope import neighbours_of
from gitguard.web.limit import MOST_TRIES, Limiter
from gitguard.web.peer import peer_of

HEADERS = {"HTTP_X_FORWARDED_USER": "alice", "HTTP_X_FORWARDED_FOR": "198.51.100.9"}


def settings(*proxies: str) -> Settings:
    """A page that believes these."""
    return parse(
        f"[git]\nenforcement = 'opt-in'\n[web]\ntrusted_header = 'X-Forwarded-User'\ntrusted_proxies = {list(proxies)}\n".encode()
    )


@pytest.mark.parametrize(
    "proxies",
    [
        (),
        ("10.0.0.1",),
        ("2001:db8::/32",),
        ("unix:www-data",),
        ("10.0.0.1", "2001:db8::/32", "unix:www-data"),
    ],
)
def test_somebody_else_who_is_trusted_makes_nobody_trusted(proxies: tuple[str, ...]) -> None:
    """ATTACK: 192.0.2.7 says that it is alice, from elsewhere. EXPECTED: nobody is signed
    in, and the address is its own.
    """
    peer = peer_of({"REMOTE_ADDR": "192.0.2.7", **HEADERS}, settings(*proxies))
    assert (peer.address, peer.login) == ("192.0.2.7", "")


def test_the_one_who_is_trusted_is_believed() -> None:
    """By address, network and IPv4 in IPv6."""
    for near, proxy in (
        ("10.0.0.1", "10.0.0.1"),
        ("10.1.2.3", "10.0.0.0/8"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::7", "2001:db8::/32"),
    ):
        peer = peer_of({"REMOTE_ADDR": near, **HEADERS}, settings("192.0.2.1", proxy))
        assert (peer.address, peer.login) == ("198.51.100.9", "alice"), near


@pytest.mark.parametrize(
    "said", ["unknown", "mallory", "", " ", "198.51.100.9, evil", "1.2.3.4.5", "<b>", "1.2.3.4:x"]
)
def test_what_is_no_address_is_none(said: str) -> None:
    """What a trusted proxy passes on last may be a word of the client's: then the address is not known."""
    peer = peer_of({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": said}, settings("10.0.0.1"))
    assert peer.address == ""


def test_neighbours_count_as_one() -> None:
    """A /64 has 2^64 addresses and is one customer; two of them are two."""
    one = {neighbours_of(f"2001:db8:0:1::{n:x}") for n in range(1, 200)}
    assert len(one) == 1
    assert neighbours_of("2001:db8:0:2::1") not in one
    assert neighbours_of("192.0.2.1") != neighbours_of("192.0.2.2")
    limiter = Limiter()
    tried = [limiter.retry_at(neighbours_of(f"2001:db8:0:1::{n:x}"), 100) for n in range(1, MOST_TRIES + 2)]
    assert tried[MOST_TRIES - 1] is None
    assert tried[MOST_TRIES] is not None


def test_every_pair_of_list_and_asker() -> None:
    """Of several named, each is believed and nobody else is: every list of two, every asker."""
    people = ["10.0.0.1", "10.0.0.2", "192.0.2.0/24"]
    for first, second in itertools.permutations(people, 2):
        for asker, named in (
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.2", "10.0.0.2"),
            ("192.0.2.9", "192.0.2.0/24"),
            ("10.0.0.3", ""),
        ):
            peer = peer_of({"REMOTE_ADDR": asker, **HEADERS}, settings(first, second))
            assert (peer.login == "alice") is (named in (first, second)), (asker, first, second)
