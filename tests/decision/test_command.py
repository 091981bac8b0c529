"""The parser of the client's command: what is understood, and that nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitguard.decision.command import LONGEST_BYTES, parse, quote, split, verb_of
from gitguard.message.reasons import Refusal


def reason_of(line: str) -> str:
    """The reason that `line` is refused with, "" if it is understood."""
    try:
        parse(line)
    except Refusal as refusal:
        return refusal.reason
    return ""


@pytest.mark.parametrize(
    ("line", "verb", "operation", "repository"),
    [
        ("git-upload-pack 'team/app.git'", "git-upload-pack", "read", "team/app.git"),
        ("git upload-pack '/team/app'", "git-upload-pack", "read", "/team/app"),
        ("git-receive-pack 'it'\\''s'", "git-receive-pack", "push", "it's"),
        ("git-receive-pack 'wow'\\!''", "git-receive-pack", "push", "wow!"),
        ("git-upload-archive 'a'", "git-upload-archive", "read", "a"),
        ("git-upload-pack a.git", "git-upload-pack", "read", "a.git"),
        ("git-upload-pack 'gr\u00fc\u00dfe'", "git-upload-pack", "read", "gr\u00fc\u00dfe"),
        ("git-lfs-authenticate a download", "git-lfs-authenticate", "read", "a"),
        ("git-lfs-authenticate 'a.git' upload", "git-lfs-authenticate", "push", "a.git"),
        ("git-lfs-authenticate a upload 0123abcd", "git-lfs-authenticate", "push", "a"),
        ("git-lfs-transfer a download", "git-lfs-transfer", "read", "a"),
    ],
)
def test_what_git_sends_is_understood(line: str, verb: str, operation: str, repository: str) -> None:
    """Every spelling that Git and git-lfs use gives one verb, one operation, one repository."""
    command = parse(line)
    assert (command.verb, command.operation, command.repository) == (verb, operation, repository)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("git -c core.hooksPath=/dev/null receive-pack 'a'", "unknown-command"),
        ("git-upload-pack '--strict' '/a'", "malformed-command"),
        ("git-upload-archive '--exec=id' 'a'", "malformed-command"),
        ("git-upload-pack 'a'; id", "malformed-command"),
        ("git-upload-pack $(id)", "malformed-command"),
        ("git-upload-pack `id`", "malformed-command"),
        ("git-upload-pack 'a' | id", "malformed-command"),
        ("git-upload-pack 'a' && id", "malformed-command"),
        ("git-upload-pack 'a'\nid", "malformed-command"),
        ("git-upload-pack 'a", "malformed-command"),
        ("git-upload-pack 'a' > /tmp/x", "malformed-command"),
        ('git-upload-pack "a"', "malformed-command"),
        ("git-upload-pack a\\ b", "malformed-command"),
        ("git-upload-pack '" + "a" * 100_000 + "'", "malformed-command"),
        ("git-upload-pack", "malformed-command"),
        ("git-upload-pack\t'a'", "malformed-command"),
        ("GIT-UPLOAD-PACK 'a'", "unknown-command"),
        ("git-foo 'a'", "unknown-command"),
        ("git-shell", "unknown-command"),
        ("git", "unknown-command"),
        ("scp -f /etc/passwd", "unknown-command"),
        ("rsync --server --sender . /", "unknown-command"),
        ("/usr/lib/openssh/sftp-server", "unknown-command"),
        ("bash", "unknown-command"),
        ("/usr/bin/git-upload-pack 'a'", "unknown-command"),
        ("git-lfs-authenticate a", "malformed-command"),
        ("git-lfs-authenticate a delete", "malformed-command"),
        ("git-lfs-authenticate a upload oid extra", "malformed-command"),
        ("git-lfs-transfer a Upload", "malformed-command"),
        ("git-lfs-lock a upload", "unknown-command"),
        ("   ", "malformed-command"),
    ],
)
def test_everything_else_is_refused(line: str, reason: str) -> None:
    """ATTACK: a client that sends whatever it likes. EXPECTED: a refusal by the tables, nothing tried."""
    assert reason_of(line) == reason


def test_greeting_is_the_empty_command() -> None:
    """`ssh git@HOST` without a command, and with an empty one, is our own greeting."""
    assert parse(None).verb == parse("").verb == "hello"


def test_gitlab_spellings_are_accepted() -> None:
    """Fingers that know GitLab's words reach the same verbs."""
    assert parse("2fa_verify 123456").words == ("verify", "123456")
    assert parse("2fa_recovery_codes").words == ("recovery-codes",)


def test_pass_commands_only_when_configured() -> None:
    """A downstream verb is let through only if the server's admin names it."""
    assert reason_of("create team/new") == "unknown-command"
    assert parse("create team/new", ("create",)).kind == "pass"


def test_length_counts_bytes() -> None:
    """The limit is in bytes, so that wide characters do not widen it."""
    assert reason_of("git-upload-pack '" + "\u20ac" * (LONGEST_BYTES // 3) + "'") == "malformed-command"


@given(
    st.text(
        st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f"),
        min_size=1,
        max_size=200,
    )
)
def test_git_quoting_round_trips(word: str) -> None:
    """Whatever Git quotes, the parser reads back as the very same word."""
    assert split("git-upload-pack " + quote(word)) == ("git-upload-pack", word)


@given(st.text(max_size=300))
def test_any_text_is_a_command_or_a_refusal(line: str) -> None:
    """No text raises anything but a Refusal, and what is understood is quoted back to the same words."""
    try:
        command = parse(line)
    except Refusal:
        return
    if command.kind == "git":
        again = parse(f"{command.verb} {quote(command.repository)}")
        assert (again.verb, again.repository) == (command.verb, command.repository)


@pytest.mark.parametrize(
    "line", ["git-upload-pack 'a", "git upload-pack 'a'; id", "git-receive-pack", "'git-upload-pack' x y"]
)
def test_git_verbs_get_a_packet_even_when_malformed(line: str) -> None:
    """A client that speaks Git's protocol is refused in it, even when its line cannot be read."""
    assert verb_of(line)


def test_other_verbs_get_text() -> None:
    """Nothing else is answered with a packet."""
    assert verb_of("2fa verify") == verb_of("git-lfs-transfer a upload") == verb_of(None) == ""
