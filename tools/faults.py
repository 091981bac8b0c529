"""Print the fault matrix as a table, measured now: the answer of each cell and the
slowest refusal of each row.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.faults import ACTIONS, CAN_MOUNT, MATRIX, row


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
    if not CAN_MOUNT:
        print("left out: a full and a read-only file system, which need root and mount")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
