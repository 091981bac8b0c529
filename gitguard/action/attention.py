"""What a server's admin should look at: what people reported and what is about to end, until
someone says that it was seen.

That it was seen is a record of the trail like any other act, by number, so every admin sees the same list.
"""

from __future__ import annotations

from msgspec import Struct

from gitguard.action.installation import Installation
from gitguard.answer.reported import SEEN, Concern, reported, seen_up_to
from gitguard.config.schema import Settings
from gitguard.host import notices
from gitguard.policy.rules import REQUIRE
from gitguard.session.moment import Moment

ENDING_SECONDS = 7 * 86400  # an exemption that ends within that


class Attention(Struct, frozen=True):
    """`concerns`: the trail's first, the latest of them on top; then `notices-dropped` and `exemption-ends`.

    `more`: how many others the trail has; `upto`: what to mark as seen, 0 for nothing.
    """

    concerns: tuple[Concern, ...]
    more: int
    upto: int


def attention(installation: Installation, moment: Moment) -> Attention:
    """What to look at now."""
    with installation.store.reading() as tx:
        found, more = reported(tx)
        upto = seen_up_to(tx, found)
    dropped = notices.last_dropped(str(installation.settings.paths.state))
    if dropped is not None:
        found.append(Concern("notices-dropped", 0, dropped.since, {"count": str(dropped.count)}))
    return Attention((*found, *_ending(installation.settings, moment)), more, upto)


def _ending(settings: Settings, moment: Moment) -> list[Concern]:
    """Exemptions whose end is near: whoever relies on them is refused then."""
    return [
        Concern("exemption-ends", 0, int(rule.until), {"rule": rule.name})
        for rule in settings.rules
        if rule.kind != REQUIRE and rule.until is not None and 0 <= rule.until - moment.at <= ENDING_SECONDS
    ]


def mark_seen(installation: Installation, upto: int, actor: str, moment: Moment) -> bool:
    """The trail was looked at up to record `upto`; whether that was news. What came since stays."""
    with installation.store.writing() as tx:
        there = [one for one in reported(tx)[0] if one.first <= upto]
        if there:
            latest = max(
                one.seq for one in there
            )  # what comes later is not seen, whatever number a form brings
            tx.record(SEEN, moment.at, actor, upto=min(upto, latest), count=len(there))
        return bool(there)
