"""What an admin does about a store that cannot be used, in words that end in a line to type."""

from __future__ import annotations

from gitguard.message.reasons import Refusal

LOOK_FIRST = 'look first what is lost (gitguard admin audit show), then: gitguard admin store accept-loss --reason "..."'
_NIGHT = 'docs/servers.md, "The night it breaks"'


def remedy(refusal: Refusal, *, is_file: bool) -> str:
    """The way out of `refusal`. `is_file`: the store is one, and not a database that others run."""
    if said := str(refusal.facts.get("remedy", "")) or refusal.hint:
        return said
    if refusal.reason == "store-went-back":
        return f"{LOOK_FIRST}; after a move with store copy: name the old store again, and copy once more ({_NIGHT})"
    if refusal.reason == "store-schema":
        return "gitguard admin init; if the store is newer: install that version"
    if not is_file:
        return f"mend the database, or what leads there; nothing else is needed ({_NIGHT})"
    return "put a backup in its place: gitguard admin store restore FILE"
