"""What the server's admin sees first: people, and the last thirty days as a chart with its table."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gitguard.action.tally import tally
from gitguard.web.chart import chart_of
from gitguard.web.showing import show
from gitguard.web.visit import SERVER_ADMIN, needs, visit

pages = Blueprint("overview", __name__)


@pages.get("")
@needs(SERVER_ADMIN)
def overview() -> ResponseReturnValue:
    """People, and verifications and refusals by day."""
    here = visit()
    with here.site.store.reading() as tx:
        people, enrolled = tx.count_users()
    counted = tally(here.site, here.moment)
    return show(
        "admin/overview.html",
        people=people,
        enrolled=enrolled,
        days=counted.days,
        behind=counted.behind,
        fault=counted.fault,
        verified=chart_of([(day.date, {"verified": day.verified}) for day in counted.days]),
        refused=chart_of([(day.date, day.refused) for day in counted.days]),
    )
