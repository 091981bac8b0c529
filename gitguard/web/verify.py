"""Verify: what was refused, by which key, from where; a code lets it continue. Or: this is not me."""

from __future__ import annotations

import time

from flask import Blueprint, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from msgspec import Struct

from gitguard.action import requests
from gitguard.action.requests import ApprovalRequest, Denied
from gitguard.factor.attempt import Proof
from gitguard.factor.enrolment import EnrolmentAuthorization
from gitguard.factor.verification import verify as open_by_code
from gitguard.message.moments import day
from gitguard.message.reasons import Refusal
from gitguard.session.methods import RECOVERY_CODE
from gitguard.web import double_submit, return_to
from gitguard.web.context import SIGNED_IN, current, needs, renew
from gitguard.web.render import refusal_in_words, say, say_not_all, show, texts, typed_code
from gitguard.web.results import Results

pages = Blueprint("verify", __name__)
CONTINUES_SECONDS = 2.0  # a push that waits looks twice a second
LOOK_SECONDS = 0.1
TOLD_AGAIN = (
    "code-rejected",
    "not-a-code",
    "throttled",
    "forbidden",
    "usage",
    "not-available",
    "busy",
)  # said on the form itself


class Continued(Struct, frozen=True):
    """A request that was allowed; `by_itself`: the push that waited was seen to continue."""

    wanted: ApprovalRequest
    by_itself: bool


def to_verify() -> ResponseReturnValue:
    """A page wants a fresh code: on to verifying, and then back to it, path and query."""
    double_submit.not_done()
    return redirect(url_for("verify.verify", then=return_to.own_page(return_to.this_page()) or "/admin"), 303)


@pages.get("/verify", defaults={"id_": ""})
@pages.get("/verify/<id_>")
@needs(SIGNED_IN)
def verify(id_: str) -> ResponseReturnValue:
    """The request that was named, or the one that there is; several are listed. MUST: none
    continues that was not shown.
    """
    context = current()
    if context.status is None or not context.status.enrolled:
        return redirect(url_for("set_up.begin", request=id_ or None), 303)
    return _form(id_)


def the_one(found: list[ApprovalRequest]) -> ApprovalRequest | None:
    """What this browser is for, where that is beyond doubt: the one push that waits, or else the
    one request, of its own key.
    """
    own = current().person.signed_in_by
    mine = [one for one in found if own is not None and one.request.credential == own.text]
    waiting = [one for one in mine if one.waits]
    candidates = waiting or mine
    return candidates[0] if len(candidates) == 1 else None


def _form(id_: str, error: Markup | str = "", field: str = "", status: int = 200) -> ResponseReturnValue:
    context = current()
    then = return_to.own_page(request.values.get("then", ""))
    shown = requests.shown(context.installation, context.person, context.moment, verified=context.is_verified)
    if id_:
        wanted = requests.request_of(context.installation, context.person, id_, context.moment)
    elif then or request.method == "POST":
        wanted = None  # another page asked for the code; or the code was for this website
    else:
        wanted = the_one(shown)
    return show(
        "verify.html",
        status=status,
        gone=bool(id_) and wanted is None,
        wanted=wanted,
        others=[one for one in shown if wanted is None or one.request.id != wanted.request.id],
        then=then,
        for_admin=then.startswith(("/admin", "/repositor")),
        is_blind=context.is_blind,
        error=error,
        field=field,
        number=request.form.get("number", ""),
    )


@pages.post("/verify")
@needs(SIGNED_IN)
def give_code() -> ResponseReturnValue:
    """A code: the session that the request needs, and this browser's own."""
    context = current()
    id_ = request.form.get("request", "")
    typed = typed_code() or b""
    try:
        if not id_:
            done = open_by_code(context.installation, context.person, typed, context.moment)
            say("verify.done")
            say_rest(done.proof)
            then = return_to.own_page(request.form.get("then", ""))
            if done.proof.method == RECOVERY_CODE and not then:
                return redirect(url_for("set_up.begin"), 303)
            return redirect(return_to.link_to(then), 303)
        approved = requests.approve(
            context.installation, context.person, id_, request.form.get("number", ""), typed, context.moment
        )
    except Refusal as refusal:
        if refusal.reason not in TOLD_AGAIN:
            raise
        field = {"number": "number", "gone": ""}.get(refusal.detail, "code")
        status = {"throttled": 429, "busy": 503}.get(refusal.reason, 400)
        return _form(id_, refusal_in_words(refusal), field, status)
    say_rest(approved.proof)
    return went_on(approved.wanted)


def say_rest(proof: Proof) -> None:
    """Wrong codes since the last time: the owner can tell whether they were theirs. And codes left."""
    context = current()
    rejected = proof.rejected
    if rejected is not None:
        say(
            "verify.rejected",
            "warning",
            count=rejected.failures,
            address=rejected.last_address or "?",
            day=day(rejected.last_at, context.moment.at),
        )
    for change in proof.changes:
        say(
            "verify.changed",
            "warning",
            what=texts()(f"changed.{change.event}", subject=change.subject),
            credential=change.credential,
            address=change.address or "?",
            day=day(change.at, context.moment.at),
        )
    if proof.method == RECOVERY_CODE:
        current_app.extensions["enrolments"].note_lost(
            context.browser, EnrolmentAuthorization("factor", proof.enrolment.encode()), context.moment
        )
        say("account.codes_left", "warning", left=proof.recovery_codes_left)


def _once() -> Results:
    once: Results = current_app.extensions["once"]
    return once


def went_on(wanted: ApprovalRequest) -> ResponseReturnValue:
    """Allowed: on to the page that says whether it has just continued by itself, or is to be run again."""
    done = Continued(wanted, wanted.waits and _continues(wanted))
    return redirect(url_for("verify.done", name=_once().put(current().browser, done)), 303)


def _continues(wanted: ApprovalRequest) -> bool:
    """Whether the push that waits has continued, watched for a moment."""
    context, ends = current(), time.monotonic() + CONTINUES_SECONDS
    while time.monotonic() < ends:
        if requests.went_on(context.installation, wanted, context.moment):
            return True
        time.sleep(LOOK_SECONDS)
    return False


@pages.get("/verify/done/<name>")
@needs(SIGNED_IN)
def done(name: str) -> ResponseReturnValue:
    """What a code did; a page that is loaded again says the same."""
    context = current()
    what = _once().take(context.browser, name, Continued)
    if what is None:
        return redirect(url_for("account.account"), 303)
    return show(
        "done.html",
        wanted=what.wanted,
        continued=what.by_itself,
        is_lost=context.status is not None
        and context.status.session is not None
        and context.status.session.method == RECOVERY_CODE,
    )


@pages.post("/verify/not-me")
@needs(SIGNED_IN)
def not_me() -> ResponseReturnValue:
    """The request dies, the sessions and browsers of its key end, the server's admin hears of it."""
    context = current()
    stopped = requests.deny(
        context.installation,
        context.person,
        request.form.get("request", ""),
        request.form.get("key", ""),
        context.moment,
        typed_code(),
    )
    say_not_all(stopped.effects.fault)
    renew()
    return redirect(url_for("verify.stopped", name=_once().put(context.browser, stopped)), 303)


@pages.get("/verify/stopped/<name>")
@needs(SIGNED_IN)
def stopped(name: str) -> ResponseReturnValue:
    """What to do about a key that someone else has."""
    context = current()
    what = _once().take(context.browser, name, Denied)
    if what is None:
        return redirect(url_for("account.account"), 303)
    with context.installation.store.reading() as tx:
        keys = tx.keys(context.person.user)
    may = (
        context.settings.account.allow_keys
        and len(keys) > 1
        and context.status is not None
        and context.status.enrolled
    )
    return show(
        "not_me.html",
        done=what,
        may_remove=may,
        key=next((one for one in keys if one.fingerprint == what.key), None),
    )
