"""What must follow a change, in this order: running transfers end, then files are written.

MUST: called after the commit and before a word is printed. What could not follow does not hide what was
done: it is the result's `fault`, and the caller says what stands and what does not.
"""

from __future__ import annotations

from msgspec import Struct

from gitguard.action.installation import Installation
from gitguard.action.revocation import NO_SELECTION, Selection, end_stale
from gitguard.host import key_file
from gitguard.machine.files import locked
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment


class Effects(Struct, frozen=True):
    """`ended`: connections that ended. `fault`: the first thing that could not follow, None if all did."""

    ended: int = 0
    fault: Refusal | None = None


def take_effect(
    installation: Installation,
    moment: Moment,
    selected: Selection = NO_SELECTION,
    *,
    keys: bool = False,
    without: frozenset[str] = frozenset(),
) -> Effects:
    """End what no longer stands; with `keys` update the key file too
    (`without`: foreign lines to take out).
    """
    ended, fault = 0, None
    try:
        ended = end_stale(installation, moment, selected)
    except Refusal as refusal:
        fault = refusal
    if keys:
        try:
            write_keys(installation, without=without)
        except Refusal as refusal:
            fault = fault or refusal
    return Effects(ended, fault)


def write_keys(installation: Installation, *, without: frozenset[str] = frozenset()) -> bool:
    """Bring our block of the key file in line with the store; whether it changed. Raises Refusal."""
    with locked(installation.lock):
        with installation.store.reading() as tx:
            keys = [] if installation.settings.paths.asks_for_keys else tx.keys()
        return key_file.write(installation.key_file, keys, installation.places.gate, without=without)
