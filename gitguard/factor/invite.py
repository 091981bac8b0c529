"""Invites: a one-time token from the server admin that lets one user enrol. Stored only as a keyed hash."""

from __future__ import annotations

from gitguard.factor.code import ALPHABET, in_groups, letters_of, plain
from gitguard.factor.keyring import Keyring
from gitguard.store.contract import Reading, Writing

VALID_SECONDS = 7 * 86400
LENGTH = 24  # 120 random bits
PREFIX = "INV"


def issue(tx: Writing, keyring: Keyring, user: str, at: int) -> str:
    """A fresh invite for `user`; the one before it no longer works. The caller records why."""
    import secrets

    token = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    tx.put_invite(user, keyring.digest("invite", user, token), at + VALID_SECONDS)
    return f"{PREFIX}-{in_groups(token)}"


def canonical(typed: str) -> str | None:
    """The token in what a person typed, or None if it has not the shape of an invite."""
    text = plain(typed.strip())
    # The whole line that the admin sends may be pasted: `ssh -T git@HOST 2fa enroll INV-...`.
    before, _, rest = text.upper().rpartition(f" {PREFIX}-")
    letters = letters_of((rest if before else text).replace(" ", "")).removeprefix(PREFIX)
    return letters if len(letters) == LENGTH and all(c in ALPHABET for c in letters) else None


def fits(tx: Reading, keyring: Keyring, user: str, token: str, at: int) -> bytes | None:
    """The hash of the user's live invite if `token` is it, else None."""
    from hmac import compare_digest

    stored = tx.invite(user)
    digest = keyring.digest("invite", user, token)
    if stored is None or stored[1] <= at:
        return None
    return stored[0] if compare_digest(stored[0], digest) else None
