"""What the admin's program is told (`[notify]`): which records of the trail,
under which name, in which words.

Told after the commit, by a process of its own (host/notices.py). MUST: nothing here raises or waits, and no
code, secret or invite is in a record of the trail, so none is in a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gitguard.config.schema import Settings
from gitguard.session.moment import now
from gitguard.store.rows import Recorded

FEW = 2  # recovery codes left, from which on it is told

# Record of the trail -> (event of [notify], what happened in words).
_TOLD = {
    "enrolled": ("enrolled", "{user} set up a second factor"),
    "factor-reset": ("reset", "the second factor of {user} was reset"),
    "factor-removed": ("removed", "{user} removed their second factor"),
    "user-removed": ("removed", "the user {user} was removed"),
    "recovery-code-burned": ("recovery-code-used", "{user} used a recovery code; {left} left"),
    "recovery-codes-replaced": (
        "recovery-codes",
        "{user} has new recovery codes, by the key {key} from {address}",
    ),
    "key-added": ("new-key", "{user} has a new key {key}"),
    "new-network": ("new-address", "{user} verified from {address}, for the first time"),
    "throttled": ("throttled", "too many wrong codes for {user} with the key {key}, the last from {address}"),
    "many-users-guessed": (
        "throttled",
        "wrong codes for {users} people within a day, the last from {address}",
    ),
    "user-suspended": ("suspended", "{user} was suspended"),
    "request-denied": (
        "not-me",
        "{user} says that a request for {repository} with the key {key} from {address} was not theirs",
    ),
    "toggle-set": ("toggle", "what {repository} requires was changed"),
    "break-glass-begun": ("break-glass", "maintenance past 2FA began: {reason}"),
}


def listener(settings: Settings) -> Callable[[list[Recorded]], None]:
    """What `Store.heard` calls for this configuration."""

    def hear(records: list[Recorded]) -> None:
        tell(settings, [notice for record in records for notice in notices_of(record)])

    return hear


def tell(settings: Settings, told: list[dict[str, object]]) -> None:
    """Hand over those of `told` that the admin wants to hear of."""
    wanted = [notice for notice in told if notice["event"] in settings.notify.events]
    if settings.notify.command and wanted:
        from gitguard.host.told import news  # where nobody listens, nothing of it is loaded

        _hand_over(settings, news(str(settings.paths.state), wanted, now().at))


def tell_again(settings: Settings, at: int) -> None:
    """Hand over what came again since it was told, with its count."""
    if settings.notify.command:
        from gitguard.host.told import due

        _hand_over(settings, due(str(settings.paths.state), at))


def _hand_over(settings: Settings, wanted: list[dict[str, object]]) -> None:
    from gitguard.host import notices

    server = {"server": settings.host.name}
    try:
        notices.add(
            str(settings.paths.state),
            tuple(settings.notify.command),
            [{**notice, **server} for notice in wanted],
        )
    except OSError:
        return  # a full disk, say: the trail has the record, and doctor names the disk


def notices_of(record: Recorded) -> Iterator[dict[str, object]]:
    """The notices that a record of the trail gives rise to, without the server's name."""
    told = _TOLD.get(str(record["event"]))
    if told is None:
        return
    event, sentence = told
    text = sentence.format_map(_Known(record))
    yield {**record, "event": event, "text": text}
    left = record.get("left")
    if event == "recovery-code-used" and isinstance(left, int) and left <= FEW:
        yield {**record, "event": "few-recovery-codes", "text": text}


class _Known(dict[str, object]):
    """What is known of a record; a detail that it lacks is a question mark, and no reason to be silent."""

    def __missing__(self, _: str) -> str:
        return "?"
