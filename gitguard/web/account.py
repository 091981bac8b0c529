"""One's own account: the padlock, the session, keys and browsers, always, recovery codes, remove, events."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from msgspec import Struct

from gitguard.action import browsers, keys, requests, second_factor
from gitguard.action.effects import Effects
from gitguard.answer.log_reader import entries_before
from gitguard.decision.status import live_sessions
from gitguard.factor.change import ProofWanted
from gitguard.message.numbers import number
from gitguard.message.reasons import Refusal
from gitguard.store.rows import AuditRecord, Browser, Key, Session
from gitguard.web.context import SIGNED_IN, current, needs, renew
from gitguard.web.render import say, say_not_all, show, typed_code

pages = Blueprint("account", __name__, url_prefix="/account")
EVENTS = 15
LATEST_DECISIONS = 300
LATEST_RECORD = 10**15
FEW_REPOSITORIES = 1000  # so many are counted while someone waits


class OwnKey(Struct, frozen=True):
    """A key with its live sessions, each with its end (Unix seconds). `used_at`: 0 where the
    log's latest do not know it.
    """

    key: Key
    sessions: list[tuple[Session, int]]
    used_at: int
    signed_in_here: bool


class OwnBrowser(Struct, frozen=True):
    """A browser, and what signed it in, for people."""

    browser: Browser
    by: str
    is_this: bool


@pages.get("")
@needs(SIGNED_IN)
def account() -> ResponseReturnValue:
    """Everything about one's own account. MUST: what happened is shown to anyone who has verified here."""
    context = current()
    with context.installation.store.reading() as tx:
        user = tx.user(context.person.user)
        keys = tx.keys(context.person.user)
        sessions = list(live_sessions(tx, context.settings, context.moment, context.person.user))
        signed_in: list[Browser] = tx.browsers(context.person.user)
        verified = context.is_verified
        before = number(request.args.get("events", ""), LATEST_RECORD)
        events: list[AuditRecord] = tx.newest_audit(before, EVENTS, context.person.user) if verified else []
    live = [(session, ends_at) for session, ends_at in sessions if not session.is_browsers]
    used, origin = _used(), context.visitor.browser.origin if context.visitor is not None else ""
    names = {key.fingerprint: key.comment or key.fingerprint[:15] for key in keys}
    return show(
        "account.html",
        always=user is not None and user.always,
        keys=[
            OwnKey(
                key,
                [(s, ends) for s, ends in live if s.credential in (key.fingerprint, "")],
                used.get(key.fingerprint, 0),
                key.fingerprint == origin,
            )
            for key in keys
        ],
        browsers=[
            OwnBrowser(
                one,
                names.get(one.origin, one.origin.removeprefix("http:")),
                one.credential == context.browser,
            )
            for one in signed_in
            if 0 <= context.moment.age_of(one.signed_in) < browsers.BROWSER_SECONDS
        ],
        waiting=requests.shown(context.installation, context.person, context.moment, verified=verified),
        events=events,
        more=events[-1].seq if len(events) == EVENTS else 0,
        verified=verified,
    )


def _used() -> dict[str, int]:
    """Key -> when it was last used, as far as the latest decisions about this person say."""
    context = current()
    found: dict[str, int] = {}
    try:
        entries, _ = entries_before(
            str(context.settings.paths.access_log), None, LATEST_DECISIONS, context.person.user
        )
    except Refusal:
        return found  # the page is whole without it; doctor names a log that cannot be read
    for entry in entries:
        key, at = entry.get("key"), entry.get("at")
        if entry.get("user") == context.person.user and isinstance(key, str) and isinstance(at, int):
            found.setdefault(key, at)
    return found


def _code() -> bytes:
    """The code of the form; asks for one where it had no field. Raises ProofWanted."""
    typed = typed_code()
    if typed is None:
        raise ProofWanted
    return typed


def _back(done: str, effects: Effects | None = None) -> ResponseReturnValue:
    say(f"account.done.{done}")
    say_not_all(effects.fault if effects is not None else None)
    return redirect(url_for("account.account"), 303)


@pages.post("/leave")
@needs(SIGNED_IN)
def leave() -> ResponseReturnValue:
    """End this browser's session; it stays signed in."""
    context = current()
    return _back(
        "left", second_factor.leave(context.installation, context.person, context.moment, None).effects
    )


@pages.post("/leave-all")
@needs(SIGNED_IN)
def leave_all() -> ResponseReturnValue:
    """End every session, of all keys and browsers."""
    context = current()
    return _back(
        "left-all",
        second_factor.leave(
            context.installation, context.person, context.moment, typed_code(), everywhere=True
        ).effects,
    )


@pages.post("/leave-key")
@needs(SIGNED_IN)
def leave_key() -> ResponseReturnValue:
    """End the sessions of one of one's keys."""
    context, key = current(), request.form.get("key", "")
    if not key:
        raise Refusal("usage")
    left = second_factor.leave(context.installation, context.person, context.moment, typed_code(), key=key)
    return _back("key-left" if left.sessions else "nothing-left", left.effects)


@pages.post("/remove-key")
@needs(SIGNED_IN)
def remove_key() -> ResponseReturnValue:
    """Take one of one's keys away, for a code. A browser that it signed in is signed out with it."""
    context, key = current(), request.form.get("key", "")
    keys.check_own_allowed(context.installation)
    with context.installation.store.reading() as tx:
        keys.check_own(tx.keys(context.person.user), key)
    return _back(
        "key-removed", keys.remove_own(context.installation, context.person, key, _code(), context.moment)[1]
    )


@pages.post("/browser-out")
@needs(SIGNED_IN)
def browser_out() -> ResponseReturnValue:
    """Sign out another browser of one's own."""
    context = current()
    if context.visitor is None or not browsers.sign_out(
        context.installation, context.visitor, request.form.get("browser", ""), context.moment, typed_code()
    ):
        return _back("no-browser")
    return _back("browser-out")


@pages.post("/always")
@needs(SIGNED_IN)
def always() -> ResponseReturnValue:
    """2FA for everything I do: on or off."""
    context, switch = current(), request.form.get("switch", "")
    if switch not in ("on", "off"):
        raise Refusal("usage")
    if not context.settings.account.allow_always:
        raise Refusal("forbidden")
    _, effects = second_factor.always(
        context.installation, context.person, context.moment, typed_code(), on=switch == "on"
    )
    return _back(f"always-{switch}", effects)


@pages.post("/recovery-codes")
@needs(SIGNED_IN)
def recovery_codes() -> ResponseReturnValue:
    """A new set, shown once; the old one no longer works."""
    context = current()
    if context.settings.second_factor.recovery_codes == 0:
        raise Refusal("not-available")
    codes = second_factor.replace_recovery_codes(
        context.installation, context.person, _code(), context.moment
    )
    name = current_app.extensions["once"].put(context.browser, codes, is_secret=True)
    return redirect(url_for("account.new_codes", name=name), 303)


@pages.get("/recovery-codes/<name>")
@needs(SIGNED_IN)
def new_codes(name: str) -> ResponseReturnValue:
    """The new set, once."""
    codes = current_app.extensions["once"].take(current().browser, name, tuple)
    return show("recovery_codes.html", codes=codes or (), setting_up=False, name="")


@pages.get("/remove")
@needs(SIGNED_IN)
def before_removing() -> ResponseReturnValue:
    """What removing means. MUST: numbers, no names, before the code: a key alone is enough to read this."""
    context = current()
    _check_removal()
    with context.installation.store.reading() as tx:
        few = len(tx.find_repositories("", "", FEW_REPOSITORIES + 1)) <= FEW_REPOSITORIES
    closed = (
        second_factor.closed_without_factor(
            context.installation, context.person.user, context.moment, context.peer.address
        )
        if few
        else {}
    )
    return show("remove.html", closed={operation: len(names) for operation, names in closed.items()})


@pages.post("/remove")
@needs(SIGNED_IN)
def remove() -> ResponseReturnValue:
    """Remove the second factor, for a code."""
    context = current()
    _check_removal()
    done = second_factor.remove(context.installation, context.person, _code(), context.moment)
    renew()
    return _back("removed", done.effects)


def _check_removal() -> None:
    context = current()
    if not context.settings.account.allow_remove:
        raise Refusal("forbidden")
    if context.status is None or not context.status.enrolled:
        raise Refusal("enrolment-required")
