"""What is going on and what was: sessions, the audit trail, the log of decisions. A page at a time."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from gitguard.action.sessions import Which, revoke
from gitguard.answer.log_reader import LogEntry, entries_before
from gitguard.decision.status import live
from gitguard.message.numbers import number
from gitguard.message.reasons import Refusal
from gitguard.web.admin.people import actor
from gitguard.web.context import SERVER_ADMIN, current, needs
from gitguard.web.render import say, say_not_all, show, texts

pages = Blueprint("records", __name__)
PAGE = 50


_MOST = 10**15  # what SQLite still counts exactly, as a browser does


def _number(name: str) -> int:
    """A whole number of the address, 0 for what is none."""
    return number(request.args.get(name, ""), _MOST) or 0


@pages.get("/sessions")
@needs(SERVER_ADMIN)
def sessions() -> ResponseReturnValue:
    """The sessions, the newest verification first, or one user's; those that have expired are left out."""
    context, skipping, user = current(), _number("skip"), request.args.get("user", "").strip()
    with context.installation.store.reading() as tx:
        rows = tx.sessions(user) if user else tx.newest_sessions(skipping, PAGE + 1)
    living = list(live(rows[:PAGE], context.settings, context.moment))
    # They are in order of age: behind a page of expired sessions there is no live one.
    more = skipping + PAGE if len(rows) > PAGE and living and not user else 0
    return show("admin/sessions.html", rows=living, more=more, user=user, skipping=skipping)


@pages.post("/sessions/revoke")
@needs(SERVER_ADMIN)
def revoke_one() -> ResponseReturnValue:
    """End one session, with the connections that it let in."""
    context, session = current(), number(request.form.get("session", ""), _MOST)
    user, reason = request.form.get("user", ""), request.form.get("reason", "").strip()
    if session is None or not (user and reason):
        raise Refusal("usage", text="name the session, whose it is, and why")
    _, effects = revoke(
        context.installation, Which(user=user, number=session), context.moment, actor(), reason
    )
    say("person.done.revoked")
    say_not_all(effects.fault)
    return redirect(url_for("records.sessions"), 303)


@pages.get("/audit")
@needs(SERVER_ADMIN)
def audit() -> ResponseReturnValue:
    """The trail, the newest record first; with a user, what is about them among the latest records."""
    context, user = current(), request.args.get("user", "").strip()
    with context.installation.store.reading() as tx:
        rows = tx.newest_audit(_number("before") or None, PAGE, user)
    more = rows[-1].seq if len(rows) == PAGE else 0
    return show("admin/audit.html", rows=rows, more=more, user=user, before=_number("before"))


@pages.get("/log")
@needs(SERVER_ADMIN)
def log() -> ResponseReturnValue:
    """The decisions, the newest first, a piece of the log at a time; with words, those that hold them."""
    context, containing = current(), request.args.get("q", "").strip()
    refused = "1" if request.args.get("refused") else ""
    error: Markup | str = ""
    entries: list[LogEntry] = []
    older = 0
    try:
        entries, older = entries_before(
            str(context.settings.paths.access_log),
            _number("before") or None,
            PAGE,
            containing or ("refused" if refused else ""),
        )
    except Refusal as refusal:
        error = texts()("log.unreadable", why=refusal.detail)
    if refused:
        entries = [entry for entry in entries if entry.get("verdict") == "refused"]
    return show(
        "admin/log.html",
        entries=entries,
        older=older,
        q=containing,
        refused=refused,
        before=_number("before"),
        error=error,
    )
