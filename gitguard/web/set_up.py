"""Set up a second factor: an app, recovery codes to keep, a secret shown once, its first code."""

from __future__ import annotations

import segno
from flask import Blueprint, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from gitguard.action import requests, second_factor
from gitguard.action.requests import ApprovalRequest
from gitguard.factor import enrolment
from gitguard.factor.enrolment import EnrolmentAuthorization, PendingEnrolment
from gitguard.factor.invite import PREFIX
from gitguard.factor.proof import SecondCodeWanted
from gitguard.message.reasons import Refusal, readable
from gitguard.session.methods import RECOVERY_CODE
from gitguard.web.context import SIGNED_IN, current, needs
from gitguard.web.enrolments import BrowserEnrolment, PendingEnrolments
from gitguard.web.render import refusal_in_words, say, say_not_all, show, texts
from gitguard.web.results import Results
from gitguard.web.verify import the_one, went_on

pages = Blueprint("set_up", __name__, url_prefix="/set-up")
QUIET_MODULES = 4
LATELY_SECONDS = 3600


def _enrolments() -> PendingEnrolments:
    begun: PendingEnrolments = current_app.extensions["enrolments"]
    return begun


def _once() -> Results:
    once: Results = current_app.extensions["once"]
    return once


def _lost() -> EnrolmentAuthorization | None:
    """On what another app may be set up here without one more code: a recovery code, whose session
    in this browser still stands.

    MUST: it ends with that session: by leaving, by an admin, by another network.
    """
    context = current()
    session = context.status.session if context.status is not None else None
    if session is None or session.method != RECOVERY_CODE:
        return None
    return _enrolments().lost(context.browser, context.moment)


def _mine() -> BrowserEnrolment | None:
    context = current()
    return _enrolments().get(context.browser, context.moment)


@pages.get("")
@needs(SIGNED_IN)
def begin() -> ResponseReturnValue:
    """The admin's list of apps, and what has to be given first: an invite, a code, or nothing."""
    return _first_page()


def _wanted_here(asked: str) -> ApprovalRequest | None:
    """The request that led here: by its id, or the one that there is of the key that signed in."""
    context = current()
    if asked:
        return requests.request_of(context.installation, context.person, asked, context.moment)
    return the_one(requests.shown(context.installation, context.person, context.moment, verified=False))


def _first_page(error: Markup | str = "", status: int = 200) -> ResponseReturnValue:
    context = current()
    enrolled = context.status is not None and context.status.enrolled
    lost = enrolled and _lost() is not None
    with context.installation.store.reading() as tx:
        needed = not lost and enrolment.needs_authorization(context.installation, tx, context.person)
    given = request.form.get("given", "").strip()
    return show(
        "set_up.html",
        status=status,
        apps=context.settings.apps,
        needed=needed,
        enrolled=enrolled,
        lost=lost,
        # A new app ends all that the one before it let in, so it allows nothing: that takes
        # a code afterwards.
        wanted=None if enrolled else _wanted_here(request.values.get("request", "")),
        given=readable(given, 60) if given.upper().startswith(PREFIX) else "",
        error=error,
    )


@pages.post("/begin")
@needs(SIGNED_IN)
def start() -> ResponseReturnValue:
    """A fresh secret and recovery codes; on to the codes or, where there are none, the secret."""
    context = current()
    given = request.form.get("given", "").strip()
    enrolled = context.status is not None and context.status.enrolled
    authorization = _lost() if enrolled and not given else None
    try:
        if authorization is not None:
            pending = second_factor.begin_enrolment_again(
                context.installation, context.person, authorization, context.moment
            )
        else:
            pending = second_factor.begin_enrolment(
                context.installation, context.person, given.encode() if given else None, context.moment
            )
    except SecondCodeWanted:
        return _first_page(texts()("confirm.second"))
    except Refusal as refusal:
        if refusal.reason not in ("invite-required", "code-rejected", "not-a-code", "throttled", "busy"):
            raise
        status = {"throttled": 429, "busy": 503}.get(refusal.reason, 400)
        return _first_page(refusal_in_words(refusal), status)
    begun = BrowserEnrolment(
        pending,
        (context.person.user, context.person.budget_key),
        "" if enrolled else request.form.get("request", ""),
        by_lost=authorization is not None,
    )
    _enrolments().put(context.browser, begun)
    if not pending.recovery_codes:
        return _to_secret(begun)
    name = _once().put(context.browser, pending.recovery_codes, is_secret=True)
    return redirect(url_for("set_up.codes", name=name), 303)


@pages.get("/codes/<name>")
@needs(SIGNED_IN)
def codes(name: str) -> ResponseReturnValue:
    """The recovery codes, once."""
    begun = _mine()
    if begun is None:
        return _over()
    found = _once().take(current().browser, name, tuple)
    return show("recovery_codes.html", codes=found or (), setting_up=True, name=begun.name)


@pages.post("/kept")
@needs(SIGNED_IN)
def kept() -> ResponseReturnValue:
    """The recovery codes are kept: now the secret. MUST: it is shown this once."""
    begun = _mine()
    return _over() if begun is None else _to_secret(begun)


def _to_secret(begun: BrowserEnrolment) -> ResponseReturnValue:
    context = current()
    name = ""
    if not begun.secret_given:
        begun.secret_given = True
        name = _once().put(context.browser, begun.pending, is_secret=True)
    return redirect(url_for("set_up.app", name=name or "shown"), 303)


@pages.get("/app/<name>")
@needs(SIGNED_IN)
def app(name: str) -> ResponseReturnValue:
    """The secret, once, as a QR code, a link and letters; and the field for its first code."""
    begun = _mine()
    if begun is None:
        return _over()
    return _code_page(begun, secret=_once().take(current().browser, name, PendingEnrolment) is begun.pending)


def _code_page(
    begun: BrowserEnrolment,
    *,
    secret: bool = False,
    error: Markup | str = "",
    field: str = "code",
    status: int = 200,
) -> ResponseReturnValue:
    parameters = begun.pending.parameters
    return show(
        "app.html",
        status=status,
        pending=begun.pending if secret else None,
        qr=qr_of(begun.pending.uri) if secret else "",
        digits=parameters.digits,
        period=parameters.period_seconds,
        algorithm=parameters.algorithm,
        user=current().person.user,
        name=begun.name,
        ends_at=begun.pending.ends_at,
        wanted=_wanted(begun),
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


def _wanted(begun: BrowserEnrolment) -> ApprovalRequest | None:
    context = current()
    return (
        requests.request_of(context.installation, context.person, begun.request, context.moment)
        if begun.request
        else None
    )


@pages.post("/confirm")
@needs(SIGNED_IN)
def confirm() -> ResponseReturnValue:
    """The first code of the new app: the factor counts, and what led here may continue."""
    context, begun = current(), _mine()
    if begun is None or (begun.by_lost and _lost() is None):
        return _over()
    if request.form.get("name", begun.name) != begun.name:
        return _code_page(begun, error=texts()("app.other_tab"), status=409)
    wanted = _wanted(begun)
    typed = request.form.get("code", "").encode("utf-8", "replace")
    try:
        done, effects = second_factor.confirm(
            context.installation,
            context.person,
            begun.pending,
            typed,
            context.moment,
            wanted,
            request.form.get("number", ""),
        )
    except Refusal as refusal:
        if refusal.reason not in ("code-rejected", "not-a-code", "forbidden", "usage", "invite-required"):
            raise
        field = "number" if refusal.detail == "number" else "code"
        words = texts()("app.not_a_code") if refusal.reason == "not-a-code" else refusal_in_words(refusal)
        return _code_page(begun, error=words, field=field, status=400)
    _enrolments().drop(context.browser)
    _once().forget(context.browser)
    say_not_all(effects.fault)
    if wanted is not None:
        return went_on(wanted)
    say("account.done.enrolled-again" if done.again else "account.done.enrolled")
    if begun.request:
        say("set_up.meanwhile", "warning")
    return redirect(url_for("account.account"), 303)


def _over() -> ResponseReturnValue:
    """Nothing is begun here: it took too long, or it is done, and someone came back to its page."""
    context = current()
    with context.installation.store.reading() as tx:
        factor = tx.totp_of(context.person.user)
    done = factor is not None and 0 <= context.moment.at - factor.enrolled_at < LATELY_SECONDS
    return show("set_up_over.html", status=410, done=done)
