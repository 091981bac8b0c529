"""People: who is there, enrolled or not; and what the server's admin does to one of them."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from gitguard.action import people, users
from gitguard.action.follow import Followed
from gitguard.action.roster import entry_of
from gitguard.action.sessions import Which, revoke
from gitguard.decision.standing import remaining
from gitguard.message.reasons import Refusal
from gitguard.web.showing import show
from gitguard.web.visit import SERVER_ADMIN, needs, visit

pages = Blueprint("people", __name__)
PAGE = 50
EVENTS = 20
DONE = ("suspended", "resumed", "unthrottled", "revoked")
FILTERS = {"": None, "enrolled": True, "not-enrolled": False}


def actor() -> str:
    """Who acts, for the trail: as on the server, by name."""
    return f"admin:{visit().person.user}"


@pages.get("/people")
@needs(SERVER_ADMIN)
def listing() -> ResponseReturnValue:
    """A page of people, by name."""
    here, holding = visit(), request.args.get("q", "").strip()
    which = request.args.get("which", "")
    with here.site.store.reading() as tx:
        rows = tx.find_users(holding, request.args.get("after", ""), PAGE + 1, enrolled=FILTERS.get(which))
        entries = [entry_of(here.site, tx, user, here.moment) for user in rows[:PAGE]]
    return show(
        "admin/people.html",
        entries=entries,
        more=rows[PAGE - 1].name if len(rows) > PAGE else "",
        q=holding,
        which=which if which in FILTERS else "",
        filters=tuple(FILTERS),
    )


@pages.get("/person")
@needs(SERVER_ADMIN)
def person() -> ResponseReturnValue:
    """One person: keys, sessions, latest events."""
    return _show(request.args.get("name", ""))


def _show(name: str, invite: str = "") -> ResponseReturnValue:
    here, lifetime = visit(), visit().settings.session.lifetime
    with here.site.store.reading() as tx:
        user = users.present(tx, name)
        entry = entry_of(here.site, tx, user, here.moment)
        keys = tx.keys(name)
        sessions = [
            (session, here.moment.at + left)
            for session in tx.sessions(name)
            if session.counts_under(here.settings.session.scope)
            and (left := remaining(session, lifetime, here.moment)) > 0
        ]
        events = tx.newest_audit(None, EVENTS, name)
    return show(
        "admin/person.html",
        entry=entry,
        keys=keys,
        sessions=sessions,
        events=events,
        invite=invite,
        done=request.args.get("done", "") if request.args.get("done") in DONE else "",
    )


def _back(name: str, done: str, followed: Followed | None = None) -> ResponseReturnValue:
    if followed is not None and followed.fault is not None:
        raise followed.fault
    return redirect(url_for("people.person", name=name, done=done), 303)


def _reason() -> str:
    reason = request.form.get("reason", "").strip()
    if not reason:
        raise Refusal("usage", text="say why: the audit trail is for people who ask")
    return reason


def _name() -> str:
    return request.form.get("name", "")


@pages.post("/person/reset")
@needs(SERVER_ADMIN)
def reset() -> ResponseReturnValue:
    """Take the second factor away; the invite that lets them come back is shown once."""
    here = visit()
    (done,) = people.reset(here.site, [_name()], here.moment, actor(), _reason())
    if done.followed.fault is not None:
        raise done.followed.fault
    return _show(done.name, done.token)


@pages.post("/person/invite")
@needs(SERVER_ADMIN)
def invite() -> ResponseReturnValue:
    """A fresh invite, shown once; the one before it is void."""
    here = visit()
    (done,) = people.invite(here.site, [_name()], here.moment, actor())
    return _show(done.name, done.token)


@pages.post("/person/suspend")
@needs(SERVER_ADMIN)
def suspend() -> ResponseReturnValue:
    """Nothing of theirs is let in, and what runs ends."""
    here = visit()
    done = people.set_state(here.site, _name(), "suspended", here.moment, actor(), _reason())
    return _back(done.name, "suspended", done.followed)


@pages.post("/person/resume")
@needs(SERVER_ADMIN)
def resume() -> ResponseReturnValue:
    """Let them in again."""
    here = visit()
    done = people.set_state(here.site, _name(), "active", here.moment, actor(), _reason())
    return _back(done.name, "resumed", done.followed)


@pages.post("/person/unthrottle")
@needs(SERVER_ADMIN)
def unthrottle() -> ResponseReturnValue:
    """Forget their wrong codes."""
    here, name = visit(), _name()
    people.unthrottle(here.site, name, here.moment, actor(), _reason())
    return _back(name, "unthrottled")


@pages.post("/person/revoke")
@needs(SERVER_ADMIN)
def revoke_sessions() -> ResponseReturnValue:
    """End all their sessions, with what rides on them; their browsers are signed out."""
    here, name = visit(), _name()
    if not name:
        raise Refusal("usage")
    _, followed = revoke(here.site, Which(user=name), here.moment, actor(), _reason())
    return _back(name, "revoked", followed)
