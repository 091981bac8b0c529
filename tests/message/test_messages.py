"""Reasons, sentences and moments."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from gitguard.machine.files import replace
from gitguard.message.moments import clock, duration, until
from gitguard.message.reasons import ALLOWED, REFUSED, Refusal, printable
from gitguard.message.refusals import (
    _SENTENCES,
    LONGEST_BYTES,
    RefusalContext,
    ServerAddress,
    first_line,
    refusal_text,
)


def test_the_table_is_the_contract() -> None:
    """Reasons and exit statuses are stable: scripts depend on them."""
    by_status: dict[int, set[str]] = {}
    for reason, status in REFUSED.items():
        by_status.setdefault(status, set()).add(reason)
    assert by_status == {
        1: {"internal-error"},
        2: {"usage"},
        10: {"verification-required", "verification-expired", "no-grant"},
        11: {"enrolment-required", "invite-required"},
        12: {"code-rejected", "not-a-code"},
        13: {"throttled"},
        14: {"forbidden", "not-available", "user-suspended", "user-unknown", "no-identity"},
        20: {"malformed-command", "unknown-command"},
        21: {"no-such-repository"},
        22: {"hook-not-live"},
        30: {"config-invalid"},
        40: {"store-unavailable", "log-unavailable", "agent-unavailable"},
        41: {"store-schema"},
        42: {"store-went-back"},
        43: {"busy"},
    }
    assert set(ALLOWED) == {"not-required", "verified", "hardware-key", "exempt", "break-glass"}
    assert set(ALLOWED).isdisjoint(REFUSED)


def test_every_reason_has_its_sentence() -> None:
    """No reason is silent, and no sentence is left over."""
    assert set(_SENTENCES) == set(REFUSED)


FULL = RefusalContext(
    ServerAddress(host="git.example.com", port=2222), user="alice", key="SHA256:" + "k" * 43, address="192.0.2.1", operation="read",
    repository="team/app", decision="7f3a2c00", ended_at=1_700_000_000, others=(("SHA256:" + "o" * 43, "192.0.2.9"),) * 5,
    now=1_700_000_100, help_line="ask ops", help_url="https://wiki.example.com",
)  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_the_first_line_alone_is_enough(reason: str) -> None:
    """Cause, way out and bracketed reason in one line of plain ASCII, the whole within a kilobyte."""
    refusal = Refusal(reason, "detail with /a/path", retry_at=1_700_000_400, word="x")
    line = first_line(refusal, FULL)
    assert line.startswith("gitguard: ")
    assert line.endswith(f"[{reason}]")
    assert line.isascii()
    assert "\n" not in line
    text = refusal_text(refusal, FULL)
    assert len(text) <= LONGEST_BYTES
    assert text.isascii()
    assert "id 7f3a2c00" in text
    assert "/a/path" not in text, "paths are for the admin's log"


def test_the_contracts_own_example() -> None:
    """The line that design and docs show."""
    view = RefusalContext(ServerAddress(host="git.example.com"), operation="push", repository="team/app")
    assert first_line(Refusal("verification-required"), view) == (
        "gitguard: verify to push to team/app: ssh -T git@git.example.com 2fa verify [verification-required]"
    )


def test_the_hint_carries_the_port() -> None:
    """On another port, the line works when pasted."""
    assert "ssh -T -p 2222 git@git.example.com 2fa verify" in first_line(
        Refusal("verification-required"), FULL
    )


def test_client_text_cannot_move_the_cursor() -> None:
    """Escapes, line breaks, percent signs and direction marks from a client come out harmless."""
    view = RefusalContext(ServerAddress(host="h"), operation="push", repository="a\x1b[2J\n%s\u202e{0}")
    text = first_line(Refusal("verification-required"), view)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "a?[2J?%s?{0}" in text


def test_printable_is_bounded() -> None:
    """However long the client's text, ours stays short."""
    assert printable("x" * 10_000) == "x" * 200 + "..."


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> object:
    """A server in another zone."""
    monkeypatch.setitem(os.environ, "TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_moments_carry_their_zone() -> None:
    """`14:32 UTC+1 (47 minutes left)`; another day is named."""
    at = 1_764_077_520  # 2025-11-25 13:32 UTC
    assert until(at, at - 47 * 60) == "14:32 UTC+1 (47 minutes left)"
    assert clock(at, at - 86400) == "2025-11-25 14:32 UTC+1"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (3600, "1 hour"),
        (7500, "2 hours 5 minutes"),
        (86400, "1 day"),
        (90000, "1 day 1 hour"),
        (-5, "0 seconds"),
    ],
)
def test_durations(seconds: int, text: str) -> None:
    """Whole units, two at most."""
    assert duration(seconds) == text


def test_the_words_for_another_try_are_printable_too() -> None:
    """What was typed behind `2fa` is repeated for trying again: client text, so it moves
    no cursor and turns no line.
    """
    view = RefusalContext(ServerAddress(host="git.example.com"), words="repo require 'a\u202eb\x1b[2J' all")
    line = first_line(Refusal("code-rejected", "wrong"), view)
    assert "2fa repo require" in line
    assert "\u202e" not in line
    assert "\x1b" not in line


def test_a_refusal_does_not_change() -> None:
    """Whoever passes it on passes on what was said; another wording is another
    refusal, and the first one stays.
    """
    first = Refusal("throttled", "detail", hint="wait", retry_at=7)
    with pytest.raises(AttributeError):
        first.hint = "hurry"
    other = first.but(hint="hurry")
    assert (first.hint, other.hint) == ("wait", "hurry")
    assert (other.reason, other.detail, other.facts) == ("throttled", "detail", {"retry_at": 7})


def test_a_machine_fault_is_nobodys_usage(tmp_path: Path) -> None:
    """A full disk or a closed folder exits as the server's fault, for scripts that tell the two apart."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal) as caught:
        replace(str(tmp_path / "file" / "below"), b"", 0o600)
    assert caught.value.reason == "store-unavailable"
    assert caught.value.is_our_fault
    for path in (Path(__file__).parents[2] / "gitguard").rglob("*.py"):
        # What someone typed is theirs: files, the editor that they named, where to listen.
        if path.name not in ("user_supplied_file.py", "new_file.py", "configuration.py", "unix_socket.py"):
            assert not re.search(r'Refusal\(\s*"usage"[^)]*strerror', path.read_text()), path


@pytest.mark.parametrize("reason", ["verification-required", "verification-expired", "enrolment-required"])
def test_one_line_names_page_and_command(reason: str) -> None:
    """Where there is a web page, the first line names the page of this very request, and
    the command that does the same.
    """
    page = "https://git.example.com/2fa/verify/" + "0" * 44
    view = RefusalContext(
        ServerAddress(host="git.example.com"),
        operation="push",
        repository="team/app",
        page=page,
        number="4711",
    )
    text = refusal_text(Refusal(reason), view)
    first, *rest = text.splitlines()
    command = "2fa enroll" if reason == "enrolment-required" else "2fa verify"
    assert first.endswith(f"open {page} or run: ssh -T git@git.example.com {command} [{reason}]")
    assert any("4711" in line for line in rest)
    assert len(text.encode()) <= 1024
    plain = refusal_text(
        Refusal(reason),
        RefusalContext(ServerAddress(host="git.example.com"), operation="push", repository="team/app"),
    )
    assert "http" not in plain
    assert "number" not in plain


@pytest.mark.parametrize(
    "reason", ["forbidden", "throttled", "no-such-repository", "store-unavailable", "no-grant"]
)
def test_what_no_code_mends_names_no_page(reason: str) -> None:
    """The page is for what a verification lets through; other refusals do not send anyone there."""
    view = RefusalContext(ServerAddress(host="git.example.com"), page="https://git.example.com/verify/x")
    assert "http" not in refusal_text(Refusal(reason), view)
