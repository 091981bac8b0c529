"""What the server admin sees first: what needs a look, people, and thirty days as charts with tables."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from msgspec import Struct

from gitguard.action.attention import attention, mark_seen
from gitguard.action.tally import tally
from gitguard.answer.reported import Concern
from gitguard.message.numbers import number
from gitguard.message.reasons import Refusal, readable
from gitguard.web.admin.doctor import Looks
from gitguard.web.admin.people import actor
from gitguard.web.chart import chart_of
from gitguard.web.context import SERVER_ADMIN, current, needs
from gitguard.web.render import show, texts

pages = Blueprint("overview", __name__)
_LATEST = 10**15


class Said(Struct, frozen=True):
    """A concern in words. `user`: whose page says more, "" for nobody's."""

    words: Markup
    at: int
    user: str


@pages.get("")
@needs(SERVER_ADMIN)
def overview() -> ResponseReturnValue:
    """What needs a look; people, and verifications and refusals by day."""
    context = current()
    found_here = attention(context.installation, context.moment)
    with context.installation.store.reading() as tx:
        people, enrolled = tx.count_users()
    counted = tally(context.installation, context.moment)
    looks: Looks = current_app.extensions["doctor"]
    found = looks.last.findings if looks.last is not None else ()
    return show(
        "admin/overview.html",
        concerns=[_said(one) for one in found_here.concerns],
        more=found_here.more,
        upto=found_here.upto,
        gaps=sum(one["level"] == "gap" for one in found),
        people=people,
        enrolled=enrolled,
        days=counted.days,
        behind=counted.behind,
        fault=counted.fault,
        verified=chart_of([(day.date, {"verified": day.verified}) for day in counted.days]),
        refused=chart_of([(day.date, day.refused) for day in counted.days]),
    )


def _said(one: Concern) -> Said:
    names = ("user", "key", "address", "repository", "last_address", "users", "reason", "rule", "count")
    facts = {name: readable(one.facts.get(name, "?"), 100) for name in names}
    words = texts()(f"concern.{one.kind}", **facts)
    if one.count > 1:
        words += Markup(" ") + texts()("attention.times", count=one.count)
    return Said(words, one.at, one.facts.get("user", ""))


@pages.post("/seen")
@needs(SERVER_ADMIN)
def seen() -> ResponseReturnValue:
    """All that was on the list was looked at; what came since stays."""
    context, upto = current(), number(request.form.get("upto", ""), _LATEST)
    if not upto:
        raise Refusal("usage")
    mark_seen(context.installation, upto, actor(), context.moment)
    return redirect(url_for("overview.overview"), 303)
