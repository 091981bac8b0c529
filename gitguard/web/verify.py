"""Verify: what was refused, by which key, from where; and a code that lets it go on. Or: this is not me."""

from __future__ import annotations

import time

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from gitguard.action import requests
from gitguard.action.requests import PendingRequest
from gitguard.factor.proof import Proof
from gitguard.factor.verification import verify as open_by_code
from gitguard.message.moments import day
from gitguard.message.reasons import Refusal
from gitguard.web import repeats
from gitguard.web.showing import refusal_in_words, say, say_not_all, show, texts, typed_code
from gitguard.web.visit import SIGNED_IN, needs, renew, visit

pages = Blueprint("verify", __name__)
CONTINUES_SECONDS = 2.0  # a push that waits looks twice a second
LOOK_SECONDS = 0.1
# Where it goes on after a code that was asked for elsewhere; nothing else is a target.
THEN = (
    "account.account", "overview.overview", "people.listing", "policy.rules", "records.sessions", "records.audit", "records.log",
    "doctor.findings", "repositories.repositories",
)  # fmt: skip


def to_verify(endpoint: str) -> ResponseReturnValue:
    """A server admin's page wants a fresh code: on to verifying, and then to that page, or to the first of them."""
    target = (
        endpoint
        if endpoint in THEN
        else "repositories.repositories"
        if endpoint.startswith("repositor")
        else "overview.overview"
    )
    repeats.not_done()
    return redirect(url_for("verify.verify", then=target), 303)


@pages.get("/verify", defaults={"id_": ""})
@pages.get("/verify/<id_>")
@needs(SIGNED_IN)
def verify(id_: str) -> ResponseReturnValue:
    """The request that was named, or this browser alone; what else waits is listed. MUST: no request goes on that was not chosen."""
    here = visit()
    if here.stand is None or not here.stand.enrolled:
        return redirect(url_for("set_up.begin", request=id_ or None), 303)
    return _form(id_)


def _form(id_: str, error: Markup | str = "", field: str = "", status: int = 200) -> ResponseReturnValue:
    here = visit()
    shown = requests.shown(here.site, here.person, here.moment, verified=here.is_verified)
    named = requests.request_of(here.site, here.person, id_, here.moment) if id_ else None
    then = request.values.get("then", "")
    return show(
        "verify.html",
        status=status,
        gone=bool(id_) and named is None,
        wanted=named,
        others=[one for one in shown if named is None or one.asked.id != named.asked.id],
        then=then if then in THEN else "",
        for_admin=then in THEN and then != "account.account",
        error=error,
        field=field,
        number=request.form.get("number", ""),
    )


@pages.post("/verify")
@needs(SIGNED_IN)
def give_code() -> ResponseReturnValue:
    """A code: the session that the request needs, and this browser's own."""
    here = visit()
    id_ = request.form.get("request", "")
    typed = typed_code() or b""
    try:
        if not id_:
            done = open_by_code(here.site.desk, here.person, typed, here.moment)
            say("verify.done")
            _say_rest(done.proof)
            then = request.form.get("then", "")
            return redirect(url_for(then if then in THEN else "account.account"), 303)
        approved = requests.approve(
            here.site, here.person, id_, request.form.get("number", ""), typed, here.moment
        )
    except Refusal as refusal:
        if refusal.reason not in (
            "code-rejected",
            "not-a-code",
            "throttled",
            "forbidden",
            "usage",
            "not-available",
        ):
            raise
        field = {"number": "number", "gone": ""}.get(refusal.detail, "code")
        status = 429 if refusal.reason == "throttled" else 400
        return _form(id_, refusal_in_words(refusal), field, status)
    _say_rest(approved.proof)
    return went_on(approved.wanted)


def _say_rest(proof: Proof) -> None:
    """Wrong codes since the last time: the owner is the one who can tell whether they were theirs. And codes left."""
    rejected = proof.rejected
    if rejected is not None:
        say(
            "verify.rejected",
            count=rejected.failures,
            address=rejected.last_address or "?",
            day=day(rejected.last_at, visit().moment.at),
        )
    for change in proof.changes:
        say(
            "verify.changed",
            what=texts()(f"changed.{change.event}", subject=change.subject),
            credential=change.credential,
            address=change.address or "?",
            day=day(change.at, visit().moment.at),
        )
    if proof.method == "recovery-code":
        say("account.codes_left", left=proof.recovery_codes_left)


def went_on(wanted: PendingRequest) -> ResponseReturnValue:
    """Let through: it has just gone on by itself, or is to be run again."""
    continued = wanted.waits and _continues(wanted)
    renew()
    repeats.done_here()
    return show("done.html", wanted=wanted, continued=continued)


def _continues(wanted: PendingRequest) -> bool:
    """Whether the push that waits has gone on, watched for a moment."""
    here, ends = visit(), time.monotonic() + CONTINUES_SECONDS
    while time.monotonic() < ends:
        if requests.went_on(here.site, wanted, here.moment):
            return True
        time.sleep(LOOK_SECONDS)
    return False


@pages.post("/verify/not-me")
@needs(SIGNED_IN)
def not_me() -> ResponseReturnValue:
    """The request dies, the sessions and browsers of its key end, the server's admin hears of it."""
    here = visit()
    done = requests.deny(
        here.site,
        here.person,
        request.form.get("request", ""),
        request.form.get("key", ""),
        here.moment,
        typed_code(),
    )
    say_not_all(done.followed.fault)
    renew()
    with here.site.store.reading() as tx:
        keys = len(tx.keys(here.person.user))
    may = here.settings.account.allow_keys and keys > 1 and here.stand is not None and here.stand.enrolled
    repeats.done_here()
    return show("not_me.html", done=done, may_remove=may)
