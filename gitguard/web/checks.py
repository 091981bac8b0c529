"""Who may come in, and what a refusal says. MUST: whatever is not known here is a refusal."""

from __future__ import annotations

import logging

from flask import Flask, Response, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from gitguard.config.faults import ConfigurationError
from gitguard.factor.change import ProofWanted, prove_known
from gitguard.factor.proof import SecondCodeWanted
from gitguard.factor.verification import verify as open_by_code
from gitguard.message.reasons import Refusal, told_of
from gitguard.web import double_submit, return_to
from gitguard.web.confirm import confirm
from gitguard.web.context import ANYONE, SERVER_ADMIN, SIGNED_IN, current, renew
from gitguard.web.middleware import FREE
from gitguard.web.render import refusal_in_words, show, texts, typed_code
from gitguard.web.sign_in import sign_in_page
from gitguard.web.verify import say_rest, to_verify

LOG = logging.getLogger("gitguard.web")
STATUS = {
    "throttled": 429,
    "busy": 503,
    "no-such-repository": 404,
    "usage": 400,
    "not-a-code": 400,
    "code-rejected": 400,
}


def install(app: Flask) -> None:
    """Ask at each route who comes, and answer what is raised."""
    app.before_request(_check_need)
    app.register_error_handler(Refusal, refused)
    app.register_error_handler(ConfigurationError, _unreadable)
    app.register_error_handler(ProofWanted, _proof_wanted)
    app.register_error_handler(SecondCodeWanted, _second_wanted)
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(HTTPException, _plain)
    app.register_error_handler(Exception, _broken)


def _check_need() -> ResponseReturnValue | None:
    if request.endpoint in FREE or request.endpoint is None:
        return None
    view = current_app.view_functions[request.endpoint]
    need = getattr(view, "needs", None)
    context = current()
    if need == ANYONE:
        return None
    if need not in (SIGNED_IN, SERVER_ADMIN):
        raise Refusal("internal-error", f"{request.endpoint} does not say who may come")
    if context.visitor is None:
        return_to.remember()
        return sign_in_page(401)
    if need == SERVER_ADMIN:
        return _admit_admin(opens=getattr(view, "opens", False))
    return None


def _admit_admin(*, opens: bool) -> ResponseReturnValue | None:
    """A server admin with a recent code; else what asks for one. Forms keep
    their fields, pages their place.
    """
    context = current()
    if not context.is_admin:
        raise Refusal("forbidden")
    typed = typed_code()
    if not context.is_fresh:
        if request.method == "GET" or context.status is None or not context.status.enrolled:
            return to_verify()
        if typed is None or context.is_blind:
            double_submit.not_done()
            return confirm()
        done = open_by_code(context.installation, context.person, typed, context.moment)
        renew()
        say_rest(done.proof)
        typed = None  # it is spent: what needs one more asks for it
    current_app.extensions["recent"].use(context.browser, context.moment)
    if opens:
        prove_known(context.installation, context.person, context.moment, typed)
    return None


def refused(refusal: Refusal) -> ResponseReturnValue:
    """A page that says why; a code that was typed may be typed again there."""
    if refusal.is_our_fault:
        LOG.error("%s: %s", refusal.reason, refusal.detail or refusal.text)
        return show("unavailable.html", status=503, bare=True)
    status = STATUS.get(refusal.reason, 403)
    typed_again = refusal.reason in ("code-rejected", "not-a-code", "throttled", "busy")
    if typed_again and typed_code() is not None and current().visitor is not None:
        return confirm(refusal_in_words(refusal), status)
    return show("refused.html", status=status, error=refusal_in_words(refusal))


def _proof_wanted(_: ProofWanted) -> ResponseReturnValue:
    context = current()
    if context.status is None or not context.status.enrolled:
        return refused(Refusal("enrolment-required"))
    if request.method in ("GET", "HEAD"):
        return to_verify()
    return confirm()


def _second_wanted(_: SecondCodeWanted) -> ResponseReturnValue:
    return confirm(texts()("confirm.second"), 200)


def _unreadable(error: ConfigurationError) -> ResponseReturnValue:
    LOG.error("%s: %d faults in the configuration", error.path, len(error.faults))
    return show("unavailable.html", status=503, bare=True)


def _stale_form(_: CSRFError) -> ResponseReturnValue:
    return show("stale.html", status=400)


def _plain(error: HTTPException) -> ResponseReturnValue:
    code = error.code or 500
    if 300 <= code < 400:
        return error.get_response()
    if code == 405 and request.method == "GET":
        return redirect(url_for("sign_in.home"), 303)  # the address of a form that was sent
    if code == 421:  # no page of ours can be addressed under that name
        return Response(f"{texts()('plain.wrong_host')}\n", 421, mimetype="text/plain")
    known = {404: "not_found", 405: "not_found", 413: "too_large"}.get(code, "not_allowed")
    return show("plain.html", status=code, what=known, bare=True)


def _broken(error: Exception) -> ResponseReturnValue:
    """MUST: neither values nor paths leave; the log has the kind and the place."""
    LOG.error("internal-error: %s", told_of(error))
    return show("broken.html", status=500, bare=True)
