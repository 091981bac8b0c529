"""People: who is there, enrolled or not; and what the server's admin does to one of them."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from gitguard.action import steps, users
from gitguard.action.effects import Effects
from gitguard.action.roster import entry_of
from gitguard.action.sessions import Which, revoke
from gitguard.action.statistics import throttled
from gitguard.decision.status import live_sessions
from gitguard.message.reasons import Refusal
from gitguard.web.context import SERVER_ADMIN, current, needs
from gitguard.web.render import say, say_not_all, show, texts

pages = Blueprint("people", __name__)
PAGE = 50
EVENTS = 20
FILTERS = ("", "enrolled", "not-enrolled", "suspended", "throttled")


def actor() -> str:
    """Who acts, for the trail: as on the server, by name."""
    return f"admin:{current().person.user}"


@pages.get("/people")
@needs(SERVER_ADMIN)
def listing() -> ResponseReturnValue:
    """A page of people, by name."""
    context, containing = current(), request.args.get("q", "").strip()
    which = request.args.get("which", "")
    after = request.args.get("after", "")
    with context.installation.store.reading() as tx:
        count, _ = tx.count_users()
        if which == "throttled":
            names = [
                name
                for name in sorted(throttled(context.installation, tx, context.moment))
                if name > after and containing in name
            ]
            found = [tx.user(name) for name in names[: PAGE + 1]]
            rows = [user for user in found if user is not None]
        else:
            rows = tx.find_users(
                containing,
                after,
                PAGE + 1,
                enrolled={"enrolled": True, "not-enrolled": False}.get(which),
                state="suspended" if which == "suspended" else "",
            )
        entries = [entry_of(context.installation, tx, user, context.moment) for user in rows[:PAGE]]
    return show(
        "admin/people.html",
        entries=entries,
        more=rows[PAGE - 1].name if len(rows) > PAGE else "",
        q=containing,
        which=which if which in FILTERS else "",
        filters=FILTERS,
        after=after,
        count=count,
    )


@pages.get("/person")
@needs(SERVER_ADMIN)
def person() -> ResponseReturnValue:
    """One person: keys, sessions, latest events."""
    invite = current_app.extensions["once"].take(current().browser, request.args.get("invite", ""), str)
    return _show(request.args.get("name", ""), str(invite or ""))


def _show(name: str, invite: str = "", error: Markup | str = "", status: int = 200) -> ResponseReturnValue:
    context = current()
    with context.installation.store.reading() as tx:
        user = steps.present(tx, name)
        entry = entry_of(context.installation, tx, user, context.moment)
        keys = tx.keys(name)
        sessions = list(live_sessions(tx, context.settings, context.moment, name))
        events = tx.newest_audit(None, EVENTS, name)
    return show(
        "admin/person.html",
        entry=entry,
        keys=keys,
        sessions=sessions,
        events=events,
        invite=invite,
        error=error,
        status=status,
        reason=request.form.get("reason", ""),
        is_self=name == context.person.user,
    )


def _act(done: str, act: Callable[[str, str], users.Changed | Effects | None]) -> ResponseReturnValue:
    """Do it to the person of the form, with the reason that was given; an invite is shown this once."""
    name, reason = request.form.get("name", ""), request.form.get("reason", "").strip()
    if not reason:
        return _show(name, error=texts()("person.why"), status=400)
    changed = act(name, reason)
    effects = changed.effects if isinstance(changed, users.Changed) else changed
    say(f"person.done.{done}")
    say_not_all(effects.fault if effects is not None else None)
    token = changed.token if isinstance(changed, users.Changed) else ""
    return _to_person(name, token)


def _to_person(name: str, token: str = "") -> ResponseReturnValue:
    """Back to the person's page; an invite is shown there once."""
    shown = current_app.extensions["once"].put(current().browser, token, is_secret=True) if token else None
    return redirect(url_for("people.person", name=name, invite=shown), 303)


@pages.post("/person/reset")
@needs(SERVER_ADMIN, opens=True)
def reset() -> ResponseReturnValue:
    """Take the second factor away; the invite that lets them come back is shown once."""
    context = current()
    return _act(
        "reset", lambda name, why: users.reset(context.installation, [name], context.moment, actor(), why)[0]
    )


@pages.post("/person/invite")
@needs(SERVER_ADMIN, opens=True)
def invite() -> ResponseReturnValue:
    """A fresh invite, shown once; the one before it no longer works."""
    context = current()
    (done,) = users.invite(context.installation, [request.form.get("name", "")], context.moment, actor())
    return _to_person(done.name, done.token)


@pages.post("/person/suspend")
@needs(SERVER_ADMIN)
def suspend() -> ResponseReturnValue:
    """Nothing of theirs is let in, and what runs ends."""
    context = current()
    return _act(
        "suspended",
        lambda name, why: users.set_state(
            context.installation, name, "suspended", context.moment, actor(), why
        ),
    )


@pages.post("/person/resume")
@needs(SERVER_ADMIN, opens=True)
def resume() -> ResponseReturnValue:
    """Let them in again."""
    context = current()
    return _act(
        "resumed",
        lambda name, why: users.set_state(context.installation, name, "active", context.moment, actor(), why),
    )


@pages.post("/person/unthrottle")
@needs(SERVER_ADMIN, opens=True)
def unthrottle() -> ResponseReturnValue:
    """Forget their wrong codes."""
    context = current()

    def act(name: str, why: str) -> None:
        users.unthrottle(context.installation, name, context.moment, actor(), why)

    return _act("unthrottled", act)


@pages.post("/person/revoke")
@needs(SERVER_ADMIN)
def revoke_sessions() -> ResponseReturnValue:
    """End all their sessions, with the connections that they let in; their browsers are signed out."""
    context = current()
    if not request.form.get("name"):
        raise Refusal("usage")
    return _act(
        "revoked",
        lambda name, why: revoke(context.installation, Which(user=name), context.moment, actor(), why)[1],
    )
