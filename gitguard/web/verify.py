"""Verify: what was refused, by which key, from where; and a code that lets it go on. Or: this is not me."""

from __future__ import annotations

import time

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from gitguard.action import own, requests
from gitguard.action.requests import PendingRequest
from gitguard.message.reasons import Refusal
from gitguard.web.showing import refusal_in_words, show, texts
from gitguard.web.visit import SIGNED_IN, needs, renew, visit

pages = Blueprint("verify", __name__)
THEN = {
    "admin": "overview.overview",
    "account": "account.account",
}  # where it goes on; nothing else is a target
CONTINUES_SECONDS = 2.0  # a push that waits looks twice a second
LOOK_SECONDS = 0.1


@pages.get("/verify", defaults={"id_": ""})
@pages.get("/verify/<id_>")
@needs(SIGNED_IN)
def verify(id_: str) -> ResponseReturnValue:
    """The pending requests, one of them in front; or only the padlock of this browser."""
    here = visit()
    if here.stand is None or not here.stand.enrolled:
        return redirect(url_for("set_up.begin", request=id_ or None), 303)
    return _form(id_)


def _form(id_: str, error: Markup | str = "", field: str = "", status: int = 200) -> ResponseReturnValue:
    here = visit()
    shown = requests.shown(here.site, here.person, here.moment)
    named = requests.request_of(here.site, here.person, id_, here.moment) if id_ else None
    if not id_ and len(shown) == 1:
        named = shown[0]
    then = request.values.get("then", "")
    return show(
        "verify.html",
        status=status,
        gone=bool(id_) and named is None and not error,
        wanted=named,
        others=[one for one in shown if named is None or one.asked.id != named.asked.id],
        then=then if then in THEN else "",
        error=error,
        field=field,
        digits=here.settings.second_factor.digits,
        recovery=here.settings.second_factor.recovery_codes > 0,
    )


@pages.post("/verify")
@needs(SIGNED_IN)
def give_code() -> ResponseReturnValue:
    """A code: the session that the request needs, and this browser's own."""
    here = visit()
    id_ = request.form.get("request", "")
    typed = request.form.get("code", "").encode("utf-8", "replace")
    try:
        if not id_:
            own.verify(here.site, here.person, typed, here.moment)
            target = THEN.get(request.form.get("then", ""), THEN["account"])
            return redirect(url_for(target), 303)
        done = requests.approve(
            here.site, here.person, id_, request.form.get("number", ""), typed, here.moment
        )
    except Refusal as refusal:
        if refusal.reason not in ("code-rejected", "not-a-code", "throttled", "forbidden", "usage"):
            raise
        field = "number" if refusal.detail == "number" else "code"
        status = 429 if refusal.reason == "throttled" else 400
        return _form(id_, refusal_in_words(refusal), field if refusal.reason != "usage" else "", status)
    return went_on(done.wanted)


def went_on(wanted: PendingRequest) -> ResponseReturnValue:
    """Let through: it has just gone on by itself, or is to be run again."""
    continued = wanted.waits and _continues(wanted)
    renew()
    return show("done.html", wanted=wanted, continued=continued)


def _continues(wanted: PendingRequest) -> bool:
    """Whether the push that waits has gone on, watched for a moment."""
    here, ends = visit(), time.monotonic() + CONTINUES_SECONDS
    while time.monotonic() < ends:
        if not requests.waits(here.site, wanted):
            return True
        time.sleep(LOOK_SECONDS)
    return False


@pages.post("/verify/not-me")
@needs(SIGNED_IN)
def not_me() -> ResponseReturnValue:
    """The request dies, the sessions of its key end, the server's admin hears of it."""
    here = visit()
    wanted, ended, followed = requests.deny(
        here.site, here.person, request.form.get("request", ""), here.moment
    )
    problem = texts()("not_me.not_all") if followed.fault is not None else ""
    return show("not_me.html", wanted=wanted, ended=len(ended), transfers=followed.ended, problem=problem)
