"""What is going on and what was: sessions, the audit trail, the log of decisions. A page at a time."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from gitguard.action.sessions import Which, revoke
from gitguard.answer.reading_log import newest_entries
from gitguard.decision.standing import remaining
from gitguard.message.reasons import Refusal
from gitguard.web.admin.people import actor
from gitguard.web.showing import show
from gitguard.web.visit import SERVER_ADMIN, needs, visit

pages = Blueprint("records", __name__)
PAGE = 50
WINDOW = 1 << 19  # bytes of the log that a page looks through


def _number(name: str) -> int:
    """A whole number of the address, 0 for what is none."""
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


@pages.get("/sessions")
@needs(SERVER_ADMIN)
def sessions() -> ResponseReturnValue:
    """The sessions, the newest verification first; those that have run out are left out."""
    here, skipping = visit(), _number("skip")
    lifetime, scope = here.settings.session.lifetime, here.settings.session.scope
    with here.site.store.reading() as tx:
        rows = tx.newest_sessions(skipping, PAGE + 1)
    return show(
        "admin/sessions.html",
        rows=[
            (session, here.moment.at + left)
            for session in rows[:PAGE]
            if session.counts_under(scope) and (left := remaining(session, lifetime, here.moment)) > 0
        ],
        more=skipping + PAGE if len(rows) > PAGE else 0,
        done="revoked" if request.args.get("done") == "revoked" else "",
    )


@pages.post("/sessions/revoke")
@needs(SERVER_ADMIN)
def revoke_one() -> ResponseReturnValue:
    """End one session, with what rides on it."""
    here, number = visit(), request.form.get("session", "")
    user, reason = request.form.get("user", ""), request.form.get("reason", "").strip()
    if not (number.isascii() and number.isdigit() and len(number) < 19 and user and reason):
        raise Refusal("usage", text="say which session, whose it is, and why")
    _, followed = revoke(here.site, Which(user=user, number=int(number)), here.moment, actor(), reason)
    if followed.fault is not None:
        raise followed.fault
    return redirect(url_for("records.sessions", done="revoked"), 303)


@pages.get("/audit")
@needs(SERVER_ADMIN)
def audit() -> ResponseReturnValue:
    """The trail, the newest record first; with a user, what is about them among the latest records."""
    here, user = visit(), request.args.get("user", "").strip()
    with here.site.store.reading() as tx:
        rows = tx.newest_audit(_number("before") or None, PAGE, user)
    return show("admin/audit.html", rows=rows, more=rows[-1].seq if len(rows) == PAGE else 0, user=user)


@pages.get("/log")
@needs(SERVER_ADMIN)
def log() -> ResponseReturnValue:
    """The latest decisions; with words, those that name them."""
    here, about = visit(), request.args.get("q", "").strip()
    path = str(here.settings.paths.access_log)
    entries = newest_entries(path, PAGE if not about else WINDOW, WINDOW)
    if about:
        entries = [
            entry
            for entry in entries
            if about in (entry.get("user"), entry.get("repository"), entry.get("id"), entry.get("reason"))
        ]
    return show("admin/log.html", entries=entries[:PAGE], q=about)
