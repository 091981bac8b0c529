"""Judge every connection again, and end what today's answer refuses.

MUST: a parked connection does not outlive the decision that let it in. Every change calls this before a word
is said; `admin session sweep` calls it once a minute, for what merely expires. A connection whose session has
expired, and nothing worse, continues while it moves bytes; one that idles is ended. A session that was ended,
a user or key that is gone, a requirement that came after the gate looked, end it whatever it does.
"""

from __future__ import annotations

import contextlib
import json

from msgspec import Struct

from gitguard.action.installation import Installation
from gitguard.config.load import last_known, load
from gitguard.decision.still import EXPIRED, REFUSED, is_waiting, still_allowed
from gitguard.host.connections import GATE, GIT, HELD, LOOK, GateProcess, bytes_moved, end, still_moving
from gitguard.machine.files import replace
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment
from gitguard.store.gate_opening import query_of

DECIDED_SECONDS = 1.0  # a gate is done in a hundredth of that
FLOW_SECONDS = 2.0  # how long one that has expired is watched where no earlier sweep has looked at it
OLDEST_LOOK_SECONDS = 2  # an earlier look must be at least this old to tell idle from flowing


class Selection(Struct, frozen=True):
    """Connections that end whatever today's policy says of them: all of these users', of these keys.

    `waiting`: users whose commands that wait at a prompt end, and pushes that wait, while their transfers are
    judged; `prompts`: the same, but for pushes that wait.
    """

    users: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    prompts: frozenset[str] = frozenset()
    everyone: bool = False

    def has(self, process: GateProcess) -> bool:
        """Whether `process` is one of them."""
        return (
            self.everyone
            or process.user in self.users
            or process.credential.text in self.keys
            or (process.user in self.waiting and is_waiting(process))
            or (process.user in self.prompts and process.kind != HELD and is_waiting(process))
        )


NO_SELECTION = Selection()


def end_stale(installation: Installation, moment: Moment, selected: Selection = NO_SELECTION) -> int:
    """End the connections that `selected` names and those that today's policy
    refuses; how many connections ended.

    Raises nothing for one that cannot be judged: it is ended.
    """
    processes = installation.connections.processes()
    gone = [process for process in processes if selected.has(process)]
    rest = [process for process in processes if not selected.has(process)]
    try:
        try:
            config = load(*installation.places.of_gate)
        except Refusal:
            # A broken configuration refuses every new request. What runs is judged by the last good one.
            known = last_known(installation.places.config, installation.places.compiled)
            if known is None:
                raise
            config = known
        store = query_of(config)
        store.open()
    except BaseException:
        end(gone)
        raise
    try:
        answers = {process.pid: still_allowed(process, config, store, moment) for process in rest}
    finally:
        store.close()
    refused = [process for process in rest if answers[process.pid] == REFUSED]
    deciding = [
        process
        for process in refused
        if process.kind == GATE and not process.directory and not is_waiting(process)
    ]
    gone += [process for process in refused if process not in deciding]
    end(gone)
    late = installation.connections.settled(deciding, DECIDED_SECONDS)
    expired = {process.began for process in rest if answers[process.pid] == EXPIRED}
    idle = [process for process in rest if process.began in expired and process.kind == GIT]
    if idle:
        flows = still_moving(idle, _earlier(installation, moment), FLOW_SECONDS)
        late += [process for process in idle if process.began not in flows]
    end(late)
    _note(installation, [process for process in rest if process.kind == GIT], moment)
    return len({process.began for process in (*gone, *late) if not is_waiting(process)})


# -- what the last look saw ---------------------------------------------------------------------


def look_path(installation: Installation) -> str:
    """Where the last look at the connections is noted."""
    return f"{installation.settings.paths.state}/{LOOK}"


def _note(installation: Installation, processes: list[GateProcess], moment: Moment) -> None:
    data = json.dumps({"at": moment.at, "moved": bytes_moved(processes)}).encode()
    with contextlib.suppress(Refusal):  # a full disk costs the next look its memory, no more
        replace(look_path(installation), data, 0o600)


def _earlier(installation: Installation, moment: Moment) -> dict[str, int]:
    """What the last look counted, if it is old enough to compare with."""
    try:
        with open(look_path(installation), "rb") as file:
            seen = json.load(file)
        age = moment.at - int(seen["at"])
        counts = {str(name): int(count) for name, count in seen["moved"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return counts if age >= OLDEST_LOOK_SECONDS else {}
