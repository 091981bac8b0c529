"""A person's own page over SSH: their keys, their sessions, the padlock in
words, what is required of them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab.person import Person
from lab.server import Server

pytestmark = pytest.mark.e2e


def code(server: Server, person: Person) -> str:
    """A code of theirs, and Enter; the one before it was used long ago."""
    server.clear_watermark(person)
    return server.fresh_code(person) + "\n"


def public(person: Person) -> str:
    """The public key, as it is pasted."""
    return Path(f"{person.key}.pub").read_text(encoding="utf-8").strip()


def test_a_person_adds_a_key_and_takes_one_away(shared_server: Server) -> None:
    """With a code; the key file follows like an admin's; the new key is known at
    once and verifies by itself.
    """
    server = shared_server
    alice = server.new_user("anna")
    laptop = server.new_key("anna-laptop")
    server.ssh(laptop, "2fa status", status=255)
    asked = f"2fa keys add {public(laptop)}"
    done = server.ssh(alice, asked, stdin=code(server, alice), status=0)
    assert f"added {laptop.fingerprint}" in done.out
    assert "not verified; verify with" in server.ssh(laptop, "2fa status", status=0).out

    again = server.ssh(alice, asked, stdin=code(server, alice), status=2)
    assert "is a key of yours already" in again.err
    gone = server.ssh(alice, f"2fa keys remove {laptop.fingerprint}", stdin=code(server, alice), status=0)
    assert f"removed {laptop.fingerprint}" in gone.out
    server.ssh(laptop, "2fa status", status=255)
    last = server.ssh(alice, f"2fa keys remove {alice.fingerprint}", status=2)
    assert "that is your last key" in last.err
    events = [row["event"] for row in json.loads(server.admin("audit", "show", "--json").out)]
    assert events.count("key-added") >= 2
    assert "key-removed" in events


def test_a_thief_with_the_key_adds_none(shared_server: Server) -> None:
    """Adversary: holds the key, from an address where its owner is verified. No
    code, no change; nothing is told.
    """
    server = shared_server
    alice = server.new_user("thief-of-key")
    mine = server.new_key("thief")
    asked = f"2fa keys add {public(mine)}"
    assert "[not-a-code]" in server.ssh(alice, asked, status=12).err
    assert "[code-rejected]" in server.ssh(alice, asked, stdin="000000\n", status=12).err
    assert mine.fingerprint not in server.admin("key", "list").out
    other = server.new_user("other-owner")
    taken = server.ssh(alice, f"2fa keys add {public(other)}", stdin=code(server, alice), status=2)
    assert "is in use on this server already" in taken.err
    assert "other-owner" not in taken.text
    foreign = server.ssh(alice, f"2fa keys remove {other.fingerprint}", status=2)
    assert "is not one of your keys" in foreign.err


def test_a_new_key_is_limited_as_the_one_that_added_it(shared_server: Server) -> None:
    """What the admin narrowed (`from`, a program behind the gate) nobody widens by a key of their own."""
    server = shared_server
    alice = server.new_user("narrow")
    narrow = server.new_key("narrow-2")
    server.admin("key", "remove", alice.fingerprint)
    (server.folder / "narrow.map").write_text(f"{alice.fingerprint} narrow\n")
    with open(server.key_file, "a", encoding="utf-8") as file:
        file.write(f'from="127.0.0.1,192.0.2.0/24" {public(alice)}\n')
    server.admin("key", "adopt", "--behind", "/usr/bin/env", str(server.folder / "narrow.map"))
    server.ssh(alice, f"2fa keys add {public(narrow)}", stdin=code(server, alice), status=0)
    (line,) = [line for line in server.key_file.read_text().splitlines() if narrow.fingerprint in line]
    assert 'from="127.0.0.1,192.0.2.0/24"' in line
    assert "-- /usr/bin/env" in line


def test_a_server_may_keep_keys_to_itself(server: Server) -> None:
    """`allow_keys = false`: refused before a code is asked for; the list stays."""
    alice = server.new_user("kept")
    server.configure(account={"allow_keys": False})
    try:
        refused = server.ssh(alice, f"2fa keys add {public(server.new_key('kept-2'))}", status=14)
        assert "does not let people change their own keys" in refused.err
        assert alice.fingerprint in server.ssh(alice, "2fa keys", status=0).out
    finally:
        server.configure(account={"allow_keys": True})


def test_leave_another_key(shared_server: Server) -> None:
    """`leave --key`: a session in scope reaches the owner's other key; the key alone does not."""
    server = shared_server
    alice = server.new_user("leaver")
    laptop = server.add_key(alice, "leaver-laptop")
    server.clear_watermark(alice)
    unproved = server.ssh(laptop, f"2fa leave --key {alice.fingerprint}", status=12)
    assert "[not-a-code]" in unproved.err
    server.verify(laptop)
    assert "1 session ended" in server.ssh(alice, f"2fa leave --key {laptop.fingerprint}", status=0).out
    assert "not verified" in server.ssh(laptop, "2fa status", status=0).out
    assert "verified until" in server.ssh(alice, "2fa status", status=0).out
    nobody = server.ssh(alice, "2fa leave --key SHA256:nothing", status=2)
    assert "is not one of your keys" in nobody.err


def test_status_says_what_is_demanded(shared_server: Server) -> None:
    """Numbers to anyone who has the key, names within a session (or a stolen key would
    learn what is worth stealing).
    """
    server = shared_server
    alice = server.new_user("asker")
    server.new_repository("asked/secret", "push")
    inside = server.ssh(alice, "2fa status", status=0).out
    assert "push to" in inside
    assert "asked/secret" in inside
    server.ssh(alice, "2fa leave", status=0)
    outside = server.ssh(alice, "2fa status", status=0).out
    assert re.search("^2FA required for you: .*push to", outside, re.MULTILINE)
    assert "asked/secret" not in outside
