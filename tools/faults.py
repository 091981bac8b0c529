"""Print the fault matrix as a table, measured now: the answer of each cell and the
slowest refusal of each row.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.agent_faults import EXPECTED, FAULTS, Asked, broken
from lab.faults import ACTIONS, CAN_MOUNT, MATRIX, row


def of_agent() -> int:
    """The same for what can happen to an agent, by each client; how many cells are wrong."""
    wrong = 0
    actions = ("read", "refused", "whole push", "status")
    for client in ("compiled", "python"):
        print(
            f"\n{f'the agent, asked by the {client} client':<56}"
            + "".join(f"{a:<20}" for a in actions)
            + "slowest"
        )
        folder = Path(tempfile.mkdtemp(prefix="gitguard-faults-"))
        with Asked.make(folder, client) as site:
            for fault in FAULTS:
                with broken(site.agent, fault):
                    cells = [site.act(action) for action in actions]
                good = [cell[:2] == EXPECTED[action] for cell, action in zip(cells, actions, strict=True)]
                wrong += good.count(False)
                marks = "".join(
                    f"{reason if fits else f'{reason} !':<20}"
                    for (reason, _, _), fits in zip(cells, good, strict=True)
                )
                print(f"{fault:<56}{marks}{max(seconds for _, _, seconds in cells):.2f} s", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    return wrong


def main() -> int:
    """Print the table; 1 if a cell is not what it should be."""
    folder = Path(tempfile.mkdtemp(prefix="gitguard-faults-"))
    wrong = 0
    print(f"{'what is broken':<34}" + "".join(f"{action:<22}" for action in ACTIONS) + "slowest")
    try:
        for number, (fault, (_, expected)) in enumerate(MATRIX.items()):
            cells = row(folder / str(number), fault)
            marks = [
                reason if reason == wish else f"{reason}, not {wish}"
                for (reason, _, _), wish in zip(cells, expected, strict=True)
            ]
            wrong += sum(reason != wish for (reason, _, _), wish in zip(cells, expected, strict=True))
            print(
                f"{fault:<34}"
                + "".join(f"{mark:<22}" for mark in marks)
                + f"{max(s for _, _, s in cells):.2f} s",
                flush=True,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    wrong += of_agent()
    if not CAN_MOUNT:
        print("left out: a full and a read-only file system, which need root and mount")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
