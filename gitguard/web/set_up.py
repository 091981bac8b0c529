"""Set up a second factor: an app, recovery codes to keep, a secret shown once, its first code."""

from __future__ import annotations

import segno
from flask import Blueprint, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from gitguard.action import own, requests
from gitguard.action.requests import PendingRequest
from gitguard.factor import enrolment
from gitguard.factor.proof import SecondCodeWanted
from gitguard.message.reasons import Refusal
from gitguard.web import repeats
from gitguard.web.held import Held, HeldEnrolments
from gitguard.web.showing import refusal_in_words, say, say_not_all, show, texts
from gitguard.web.verify import went_on
from gitguard.web.visit import SIGNED_IN, needs, visit

pages = Blueprint("set_up", __name__, url_prefix="/set-up")
QUIET_MODULES = 4


def _held() -> HeldEnrolments:
    held: HeldEnrolments = current_app.extensions["held"]
    return held


def _mine() -> Held | None:
    here = visit()
    return _held().get(here.person.credential.text, here.moment)


@pages.get("")
@needs(SIGNED_IN)
def begin() -> ResponseReturnValue:
    """The admin's list of apps, and what has to be given first: an invite, a code, or nothing."""
    return _first_page()


def _first_page(error: Markup | str = "", status: int = 200) -> ResponseReturnValue:
    here = visit()
    with here.site.store.reading() as tx:
        needed = enrolment.needs_basis(here.site.desk, tx, here.person)
    enrolled = here.stand is not None and here.stand.enrolled
    # Another app voids all that rides on the one before it, so it lets nothing go on: that takes a code afterwards.
    asked = "" if enrolled else request.values.get("request", "")
    wanted = requests.request_of(here.site, here.person, asked, here.moment) if asked else None
    return show(
        "set_up.html",
        status=status,
        apps=here.settings.apps,
        needed=needed,
        enrolled=enrolled,
        wanted=wanted,
        error=error,
    )


@pages.post("/begin")
@needs(SIGNED_IN)
def start() -> ResponseReturnValue:
    """A fresh secret and recovery codes, which are shown now or, where there are none, the secret."""
    here = visit()
    given = request.form.get("given", "").strip()
    enrolled = here.stand is not None and here.stand.enrolled
    try:
        pending = own.begin_enrolment(here.site, here.person, given.encode() if given else None, here.moment)
    except SecondCodeWanted:
        return _first_page(texts()("confirm.second"))
    except Refusal as refusal:
        if refusal.reason not in ("invite-required", "code-rejected", "not-a-code", "throttled"):
            raise
        return _first_page(refusal_in_words(refusal), 429 if refusal.reason == "throttled" else 400)
    held = Held(
        pending, (here.person.user, here.person.account), "" if enrolled else request.form.get("request", "")
    )
    _held().put(here.person.credential.text, held)
    repeats.done_here()
    codes = _held().take_codes(held)
    if not codes:
        return _secret_page(held)
    return show("recovery_codes.html", codes=codes, setting_up=True)


@pages.post("/kept")
@needs(SIGNED_IN)
def kept() -> ResponseReturnValue:
    """The recovery codes are kept: now the secret. MUST: it is shown this once."""
    held = _mine()
    if held is None:
        return _over()
    repeats.done_here()
    return _secret_page(held)


def _secret_page(held: Held) -> ResponseReturnValue:
    if not _held().take_secret(held):
        return _code_page(held)
    return _code_page(held, secret=True)


def _code_page(
    held: Held, *, secret: bool = False, error: Markup | str = "", field: str = "code", status: int = 200
) -> ResponseReturnValue:
    parameters = held.pending.parameters
    return show(
        "app.html",
        status=status,
        pending=held.pending if secret else None,
        qr=qr_of(held.pending.uri) if secret else "",
        digits=parameters.digits,
        period=parameters.period_seconds,
        algorithm=parameters.algorithm,
        user=visit().person.user,
        wanted=_wanted(held),
        error=error,
        field=field,
        number=request.form.get("number", ""),
    )


def qr_of(uri: str) -> Markup:
    """The QR code of `uri` as SVG, to stand in the page."""
    code = segno.make(uri, error="m", micro=False)
    drawn = code.svg_inline(
        scale=1, border=QUIET_MODULES, omitsize=True, svgclass="qr-code", lineclass="qr-modules"
    )
    return Markup(drawn)  # noqa: S704 - drawn by segno from our own URI, which it holds only as modules


def _wanted(held: Held) -> PendingRequest | None:
    here = visit()
    return requests.request_of(here.site, here.person, held.request, here.moment) if held.request else None


@pages.post("/confirm")
@needs(SIGNED_IN)
def confirm() -> ResponseReturnValue:
    """The first code of the new app: the factor counts, and what led here may go on."""
    here, held = visit(), _mine()
    if held is None:
        return _over()
    wanted = _wanted(held)
    typed = request.form.get("code", "").encode("utf-8", "replace")
    try:
        done, followed = own.confirm(
            here.site,
            here.person,
            held.pending,
            typed,
            here.moment,
            wanted,
            request.form.get("number", ""),
        )
    except Refusal as refusal:
        if refusal.reason not in ("code-rejected", "not-a-code", "forbidden", "usage", "invite-required"):
            raise
        field = "number" if refusal.detail == "number" else "code"
        words = texts()("app.not_a_code") if refusal.reason == "not-a-code" else refusal_in_words(refusal)
        return _code_page(held, error=words, field=field, status=400)
    _held().drop(here.person.credential.text)
    say_not_all(followed.fault)
    if wanted is not None:
        return went_on(wanted)
    say("account.done.enrolled-again" if done.again else "account.done.enrolled")
    return redirect(url_for("account.account"), 303)


def _over() -> ResponseReturnValue:
    return show("set_up_over.html", status=410)
